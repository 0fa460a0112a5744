"""Programs that the tests run beside the exporter."""

import shutil
import subprocess
from pathlib import Path

import pytest

PACKAGES = {
    "alertmanager": "prometheus-alertmanager",
    "amtool": "prometheus-alertmanager",
    "chromium": "chromium",
    "curl": "curl",
    "faketime": "faketime",
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "systemd-analyze": "systemd",
}
"""Debian's package of each."""

OTHER_NAMES = {"alertmanager": "prometheus-alertmanager"}
"""What Debian calls a program where it is not what its authors call it."""


def program(name: str) -> str:
    """The path of a program; fails and says how to install it where it is missing."""
    for candidate in filter(None, (name, OTHER_NAMES.get(name))):
        if path := shutil.which(candidate):
            return path
    pytest.fail(f"{name} is missing; install it with: apt-get install {PACKAGES[name]}")


def printed(name: str, *arguments: str | Path) -> str:
    """What a tool prints, once it has found nothing wrong."""
    done = subprocess.run([program(name), *arguments], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
