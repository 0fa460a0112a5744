"""The configuration: YAML files -> a frozen `Config`, or every error in them at once."""

from exporter.config.load import load
from exporter.config.result import Config, ConfigError, Problem
from exporter.config.schema import json_schema

__all__ = ["Config", "ConfigError", "Problem", "json_schema", "load"]
