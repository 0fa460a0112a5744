"""A Prometheus exporter for heartbeats: jobs check in, silence is the alarm."""

__version__ = "0.1.0"
