"""The check of a configuration for a person or a pipeline, as both commands offer it."""

import sys
from pathlib import Path

from exporter.config import ConfigError, load


def check_config(path: Path) -> int:
    """Print a configuration's warnings and errors on standard error; 0 if it can be used, else 1."""
    try:
        config = load(path)
    except ConfigError as error:
        print(error, file=sys.stderr)
        count = len(error.problems)
        print(f"{path}: {count} error{'s' * (count != 1)}", file=sys.stderr)
        return 1
    for problem in config.warnings:
        print(f"{problem} (warning)", file=sys.stderr)
    count = len(config.heartbeats)
    print(f"{path}: good, {count} heartbeat{'s' * (count != 1)}")
    return 0
