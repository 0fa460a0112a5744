"""The metrics: their names, the page they are shown on, and those of the process itself."""
