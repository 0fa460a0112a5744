"""The checks of files for a person or a pipeline, as the commands offer them."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from exporter.config import Config, ConfigError, load
from exporter.web_config import WebConfig, load_web_config

AnyConfig = TypeVar("AnyConfig", Config, WebConfig)


def check_config(path: Path) -> int:
    """Print a configuration's warnings and errors on standard error; 0 if it can be used, else 1."""
    return _check(path, load, lambda config: _counted(len(config.heartbeats), "heartbeat"))


def check_web_config(path: Path) -> int:
    """Print a web config's warnings and errors on standard error; 0 if it can be used, else 1."""
    return _check(
        path,
        load_web_config,
        lambda config: f"{'TLS' if config.tls else 'no TLS'}, {_counted(len(config.users), 'user')}",
    )


def _check(path: Path, read: Callable[[Path], AnyConfig], describe: Callable[[AnyConfig], str]) -> int:
    try:
        config = read(path)
    except ConfigError as error:
        print(error, file=sys.stderr)
        print(f"{path}: {_counted(len(error.problems), 'error')}", file=sys.stderr)
        return 1
    for problem in config.warnings:
        print(f"{problem} (warning)", file=sys.stderr)
    print(f"{path}: good, {describe(config)}")
    return 0


def _counted(count: int, thing: str) -> str:
    return f"{count} {thing}{'s' * (count != 1)}"
