"""Where it was measured: the machine's kind, versions, and the commit."""

import os
import platform
import re
import sqlite3
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from bench.programs import BenchError, output_of, program
from exporter.server import new_event_loop

PACKAGES = ("aiohttp", "prometheus-client", "uvloop")


def facts(folder: Path) -> dict[str, Any]:
    """What a reader needs to know of the run, with the disk under a folder; nothing that names this machine."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "machine": {
            "cpu": _first_of("/proc/cpuinfo", "model name"),
            "cores": os.cpu_count(),
            "memory_gib": round(int(_first_of("/proc/meminfo", "MemTotal").split()[0]) / 1024**2, 1),
            "kernel": platform.release().partition("-")[0],
            "file_system": file_system(folder),
        },
        "versions": {
            "python": platform.python_version(),
            "event_loop": _event_loop(),
            "sqlite": sqlite3.sqlite_version,
            **{package: version for package in PACKAGES if (version := _installed(package))},
            **{name: _version(name) for name in ("prometheus-pushgateway", "prometheus")},
        },
    }


def in_words(told: dict[str, Any]) -> str:
    """All of it in a few lines of Markdown."""
    machine, versions = told["machine"], told["versions"]
    return (
        f"Measured {told['date'][:10]} at commit {told['commit']}: {machine['cpu']}, {machine['cores']} cores, "
        f"{machine['memory_gib']} GiB, {machine['file_system']}, Linux {machine['kernel']}; "
        + ", ".join(f"{name} {version}" for name, version in versions.items())
        + "."
    )


def file_system(folder: Path) -> str:
    """The kind of the file system that a folder is on."""
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    parents = {str(folder.resolve()), *map(str, folder.resolve().parents)}
    _, kind = max((mount for mount in mounts if mount[0] in parents), key=lambda mount: len(mount[0]))
    return kind


def _commit() -> str:
    try:
        commit = output_of(["git", "rev-parse", "--short=12", "HEAD"], within=30).strip()
        changed = output_of(["git", "status", "--porcelain", "--", "exporter", "bench"], within=30)
    except (BenchError, FileNotFoundError):
        return "unknown"
    return f"{commit} with changes" if changed else commit


def _first_of(path: str, field: str) -> str:
    """The first value of a field in one of the kernel's lists."""
    found = re.search(rf"^{field}\s*:\s*(.*)$", Path(path).read_text(), re.MULTILINE)
    return found[1].strip() if found else "unknown"


def _event_loop() -> str:
    loop = new_event_loop()
    loop.close()
    return type(loop).__module__.partition(".")[0]


def _installed(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _version(name: str) -> str:
    printed = output_of([program(name), "--version"], within=30, errors_too=True)
    found = re.search(r"version ([^ ,]+)", printed)
    return found[1] if found else "unknown"
