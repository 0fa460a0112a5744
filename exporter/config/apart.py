"""A configuration that one process reads for another.

What it takes to read a large file, in time and in memory, does not bother whoever serves meanwhile: the reading process
takes all of it with it when it ends. It hands over the result in parts, each of which is taken in within about a
millisecond. They hold secrets, so they go through a pipe that only the two can see.
"""

import gc
import os
import pickle
import struct
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import fields, replace
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from exporter.config.load import load
from exporter.config.result import Config, ConfigError, Known, Problem, shared
from exporter.heartbeat import Heartbeat

Outcome: TypeAlias = Config | ConfigError

AT_ONCE = 200
"""Heartbeats, or problems, in one part."""

_NICENESS = 10
"""Who serves meanwhile goes first."""

HEADER = struct.Struct(">I")
"""What stands before each part: how many bytes it has."""

# Neither a terminal's Ctrl-C nor systemd's SIGTERM for the whole service is meant for a reader. Whoever started it ends
# it, and should that one be gone, nobody takes in the first part.
_PROGRAM = """
import signal, sys
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
sys.path[:] = sys.argv[2:]
from exporter.config.apart import main
main(sys.argv[1])
"""

_FIELDS = tuple(field.name for field in fields(Heartbeat))

_Column: TypeAlias = tuple[list[object], list[int]]
"""A field of some heartbeats: values that none before them has, and which of all values so far each of them has."""


class _Heartbeats(NamedTuple):
    columns: list[_Column]
    """For each field of a heartbeat, in their order."""


class _Problems(NamedTuple):
    problems: Sequence[Problem]


class _End(NamedTuple):
    config: Config | None
    """What there is beside heartbeats and warnings; None: the problems are errors."""


_Part: TypeAlias = _Heartbeats | _Problems | _End


def command(path: Path) -> list[str]:
    """The command that reads the configuration in a file and writes it to its standard output, part by part."""
    # -P: the working directory is no place to find modules in.
    return [sys.executable, "-P", "-c", _PROGRAM, os.fspath(path), *sys.path]


def main(path: str) -> None:
    """Read a configuration and hand it over. Does not return."""
    with suppress(OSError):  # systemd may not let us
        os.nice(_NICENESS)
    gc.disable()  # It ends before there could be garbage worth collecting.
    outcome: Outcome
    try:
        outcome = load(Path(path))
    except ConfigError as error:
        outcome = error
    with suppress(BrokenPipeError):  # nobody wants it any more
        for part in hand_over(outcome):
            sys.stdout.buffer.write(HEADER.pack(len(part)) + part)
        sys.stdout.buffer.flush()
    os._exit(0)  # without taking millions of objects apart first


def hand_over(outcome: Outcome) -> Iterator[bytes]:
    """The parts that an `Assembly` makes the same outcome of."""
    for part in _parts(outcome):
        yield pickle.dumps(part, pickle.HIGHEST_PROTOCOL)


def _parts(outcome: Outcome) -> Iterator[_Part]:
    if isinstance(outcome, ConfigError):
        yield from map(_Problems, _slices(outcome.problems))
        yield _End(None)
        return
    numbers: list[dict[object, int]] = [{} for _ in _FIELDS]
    row = attrgetter(*_FIELDS)
    for heartbeats in _slices(outcome.heartbeats):
        columns = zip(*map(row, heartbeats), strict=True)
        yield _Heartbeats([_column(known, values) for known, values in zip(numbers, columns, strict=True)])
    yield from map(_Problems, _slices(outcome.warnings))
    yield _End(replace(outcome, heartbeats=(), warnings=()))


def _column(known: dict[object, int], values: Sequence[object]) -> _Column:
    before = len(known)
    numbers = [known.setdefault(value, len(known)) for value in values]
    return list(islice(known, before, None)), numbers


def _slices(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), AT_ONCE):
        yield items[start : start + AT_ONCE]


class Assembly:
    """Makes a configuration of its parts. Whatever its heartbeats have alike they share."""

    def __init__(self, known: Known) -> None:
        """``known``: the heartbeat that there is under a name; it is kept where it is the same."""
        self._known = known
        self._values: list[list[Any]] = [[] for _ in _FIELDS]
        self._heartbeats: list[Heartbeat] = []
        self._problems: list[Problem] = []

    def take(self, data: bytes) -> Outcome | None:
        """Take in the next part. Returns the outcome if it was the last one, else None."""
        part: _Part = pickle.loads(data)  # noqa: S301  # from a process of our own
        if isinstance(part, _Heartbeats):
            self._heartbeats += shared(self._made(part.columns), self._known)
            return None
        if isinstance(part, _Problems):
            self._problems += part.problems
            return None
        if part.config is None:
            return ConfigError(self._problems)
        return replace(part.config, heartbeats=tuple(self._heartbeats), warnings=tuple(self._problems))

    def _made(self, columns: Sequence[_Column]) -> Iterator[Heartbeat]:
        for known, (values, _) in zip(self._values, columns, strict=True):
            known.extend(values)
        return map(
            Heartbeat,
            *(map(known.__getitem__, numbers) for known, (_, numbers) in zip(self._values, columns, strict=True)),
        )
