"""The HTTP surface: pings, the page of metrics, probes and the page for people."""
