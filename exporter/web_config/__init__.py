"""The web configuration, in exporter-toolkit's format: a YAML file -> TLS, headers and users, or every error in it."""

from exporter.web_config.load import load_web_config
from exporter.web_config.result import ClientAuth, TlsSettings, WebConfig, WebConfigError, canonical

__all__ = ["ClientAuth", "TlsSettings", "WebConfig", "WebConfigError", "canonical", "load_web_config"]
