"""The heartbeats that are measured: a configuration of any size, and the paths at which they are pinged."""

import secrets
from dataclasses import dataclass
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

from bench.programs import BenchError, output_of, python

INTERVALS = ("1m", "5m", "1h", "1d")
TEAMS = 17
CHANGED_EVERY = 100
"""Of the other configuration, one in so many heartbeats differs."""


@dataclass(frozen=True)
class Heartbeats:
    """Some heartbeats, in a folder of their own."""

    count: int
    config: Path
    """Their configuration."""
    changed: Path
    """The same, but for the interval, or the minute, of one in a hundred."""
    secret: Path
    """From which their tokens are derived."""
    paths: Path
    """A file with the path of each one's ping URL, a line each, in no order: jobs do not ping by their names' order."""

    @property
    def some_path(self) -> str:
        """The path of one of them, for loads that know only one."""
        with self.paths.open() as lines:
            return next(lines).strip()

    def sample(self, number: int, seed: int) -> Path:
        """A file with the paths of so many of them, chosen by chance."""
        chosen = Random(seed).sample(self.paths.read_text().splitlines(), number)
        return write_lines(self.paths.with_name(f"paths-{number}-{seed}.txt"), chosen)


def make(folder: Path, count: int) -> Heartbeats:
    """So many heartbeats: four in five have an interval, the others a cron line; each has two labels."""
    folder.mkdir()
    secret, config, changed = folder / "ping-secret", folder / "config.yaml", folder / "changed.yaml"
    secret.touch(mode=0o600)
    secret.write_text(secrets.token_urlsafe(32))
    _write_config(config, count, shift_every=None)
    _write_config(changed, count, shift_every=CHANGED_EVERY)
    printed = output_of(
        python("exporter.ctl", "urls", f"--config.file={config}", f"--ping.secret-file={secret}"), within=300
    )
    paths = [urlsplit(line.split("\t")[1]).path for line in printed.splitlines()]
    if len(paths) != count:
        raise BenchError(f"heartbeatctl urls printed {len(paths)} URLs for {count} heartbeats")
    Random(count).shuffle(paths)
    return Heartbeats(count, config, changed, secret, write_lines(folder / "paths.txt", paths))


def name_of(index: int) -> str:
    """The name of a heartbeat."""
    return f"job-{index:06d}"


def write_lines(path: Path, lines: list[str]) -> Path:
    """Write a file with these lines."""
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def _write_config(path: Path, count: int, shift_every: int | None) -> None:
    lines = ["heartbeats:"]
    for index in range(count):
        shift = 1 if shift_every is not None and index % shift_every == 0 else 0
        lines += [
            f"  - name: {name_of(index)}",
            f"    {_schedule(index, shift)}",
            f"    labels: {{team: team-{index % TEAMS}, severity: {('critical', 'warning')[index % 2]}}}",
        ]
    write_lines(path, lines)


def _schedule(index: int, shift: int) -> str:
    if index % 5 == 0:
        return f'cron: "{(index // 5 + shift) % 60} {(index // 300) % 24} * * *"'
    return f"interval: {INTERVALS[(index + shift) % len(INTERVALS)]}"
