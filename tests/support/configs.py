"""Configurations in a folder of their own, and what is said of them."""

from pathlib import Path

import pytest

from exporter.config import Config, ConfigError, load
from exporter.heartbeat import Heartbeat


def write(folder: Path, text: str, name: str = "config.yaml", mode: int = 0o600) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def load_text(folder: Path, text: str) -> Config:
    return load(write(folder, text))


def one(folder: Path, text: str) -> Heartbeat:
    """The only heartbeat that a configuration declares."""
    (heartbeat,) = load_text(folder, text).heartbeats
    return heartbeat


def problems(folder: Path, text: str) -> list[str]:
    """The lines of the error that a configuration brings, with paths relative to its folder."""
    with pytest.raises(ConfigError) as caught:
        load_text(folder, text)
    return str(caught.value).replace(f"{folder}/", "").splitlines()


def warnings(folder: Path, text: str) -> list[str]:
    """The warnings that a good configuration brings, with paths relative to its folder."""
    return [str(warning).replace(f"{folder}/", "") for warning in load_text(folder, text).warnings]
