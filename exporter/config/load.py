"""Files -> Config, or every error in all of them at once."""

import gc
import glob
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from exporter.config.declare import AnyFile, Declarations
from exporter.config.document import Document
from exporter.config.fields import shown
from exporter.config.model import HeartbeatsFile, MainFile
from exporter.config.result import Config, ConfigError, Problem
from exporter.config.validate import Checked, check


class LargeConfig(Exception):
    """A configuration whose files are larger than the caller would read."""


def load(path: Path, most: int | None = None) -> Config:
    """The configuration in a file, in the further files that it names, and in the secret files that all these name.

    Raises ConfigError, and nothing else, with everything that is wrong in any of them. Reads no clock. Where ``most``
    is given, raises LargeConfig instead as soon as it shows that the main file and the further ones have more bytes
    than that. A main file that can be read but once, such as a pipe, is read whatever its size.
    """
    with collector_at_rest():
        return _load(path, _Sizes(most))


class _Sizes:
    """Adds up how large the files are."""

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._total = 0

    def add(self, status: os.stat_result) -> None:
        """Count a file in. Raises LargeConfig."""
        if not stat.S_ISREG(status.st_mode):
            self._most = None  # A pipe can be read once only, so all the rest is read here, too.
        else:
            self._total += status.st_size
            if self._most is not None and self._total > self._most:
                raise LargeConfig


def _load(path: Path, sizes: _Sizes) -> Config:
    main = check(_read(path, sizes), MainFile)
    further, missed = _further(main, sizes)
    files: list[AnyFile] = [main, *further]
    declarations = Declarations(main)
    keys = tuple(declarations.keys())
    heartbeats = tuple(heartbeat for file in files for heartbeat in declarations.heartbeats(file))
    errors = [*(problem for file in files for problem in file.problems), *declarations.errors]
    if errors:
        raise ConfigError(_sorted(errors, files))
    pings = main.content.pings
    return Config(
        heartbeats=heartbeats,
        outage_grace=main.content.outage_grace,
        keys=keys,
        body_limit=pings.body_limit,
        history=pings.history,
        trusted_proxies=tuple(pings.trusted_proxies),
        warnings=_sorted([*missed, *_empty(files), *declarations.warnings], files),
    )


def _read(path: Path, sizes: _Sizes) -> Document:
    try:
        sizes.add(path.stat())
        return Document.parse(str(path), path.read_bytes())
    except OSError as error:
        return _unreadable(path, error.strerror)


def _read_further(path: Path, sizes: _Sizes) -> Document:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return _unreadable(path, "not a file")  # A named pipe would keep us waiting for a writer.
    except OSError as error:
        return _unreadable(path, error.strerror)
    return _read(path, sizes)


def _unreadable(path: Path, reason: str | None) -> Document:
    return Document(str(path), problems=(Problem(str(path), 0, "", f"cannot be read: {reason}"),))


def _further(main: Checked[MainFile], sizes: _Sizes) -> tuple[list[Checked[HeartbeatsFile]], list[Problem]]:
    """The further files that the main one names, each once, and a warning for every name that matches none."""
    folder = Path(main.document.file).parent
    itself = os.path.realpath(main.document.file)  # which minds no loop of links, unlike Path.resolve
    found: dict[str, Checked[HeartbeatsFile]] = {}
    warnings = []
    for index, pattern in enumerate(main.content.heartbeat_files):
        # Not Path.glob, which takes no absolute pattern and follows ** down whole trees.
        matches = [folder / match for match in sorted(glob.glob(pattern, root_dir=folder))]  # noqa: PTH207
        others = [(path, real) for path in matches if (real := os.path.realpath(path)) != itself]
        if not others:
            warnings.append(
                main.document.problem(("heartbeat_files", index), f"no further file matches {shown(pattern)}")
            )
        for path, real in others:
            if real not in found:
                found[real] = check(_read_further(path, sizes), HeartbeatsFile)
    return list(found.values()), warnings


def _empty(files: list[AnyFile]) -> Iterator[Problem]:
    """A warning for each file without heartbeats; the main file may leave them to others."""
    main, *further = files
    if not any(file.content.heartbeats for file in files):
        yield main.document.problem((), "there are no heartbeats, so nothing is watched")
    for file in further:
        if not file.content.heartbeats:
            yield file.document.problem((), "there are no heartbeats in this file")


def _sorted(problems: list[Problem], files: list[AnyFile]) -> tuple[Problem, ...]:
    """By file, in the order in which they are read, and line."""
    rank = {file.document.file: position for position, file in enumerate(files)}
    return tuple(sorted(problems, key=lambda problem: (rank[problem.file], problem.line)))


@contextmanager
def collector_at_rest() -> Iterator[None]:
    """Without the cyclic garbage collector, while something large is made that stays.

    Reading a large file makes millions of objects, all of them alive: going over them again and again would take
    several times as long as everything else.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
