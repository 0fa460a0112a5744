"""How a running exporter reads its configuration: without keeping those waiting whom it serves."""

import asyncio
import signal
from contextlib import suppress
from pathlib import Path

from exporter.config import Config, ConfigError, Problem
from exporter.config.apart import HEADER, Assembly, Outcome, command
from exporter.config.load import LargeConfig, load
from exporter.config.result import Known

LARGE = 256 * 1024
"""Bytes from which on a configuration is read by a process of its own. That takes a third of a second to start, and
what is smaller takes less, while the event loop gets its turn every few milliseconds."""


def nothing_known(name: str) -> None:
    """Knows no heartbeat: where there has been no configuration before."""
    del name


async def read(path: Path, known: Known = nothing_known) -> Config:
    """What `load` makes of the file, with the heartbeats that are ``known`` kept where they are the same.

    Raises ConfigError, also where the process that reads it comes to harm.
    """
    try:
        return await asyncio.to_thread(_read_here, path, known)
    except LargeConfig:
        return await _read_apart(path, known)


def _read_here(path: Path, known: Known) -> Config:
    return load(path, LARGE).sharing(known)


async def _read_apart(path: Path, known: Known) -> Config:
    try:
        # In a session of its own, a Ctrl-C on our terminal does not reach it.
        reader = await asyncio.create_subprocess_exec(
            *command(path), stdout=asyncio.subprocess.PIPE, start_new_session=True
        )
    except OSError as error:
        raise _failed(path, f"no process can be started that reads it: {error.strerror}") from None
    assert reader.stdout is not None  # It is a pipe.
    try:
        outcome = await _taken_over(reader.stdout, known)
        code = await reader.wait()
    finally:
        if reader.returncode is None:  # We were cancelled.
            reader.kill()
            await reader.wait()
    if outcome is None:
        raise _failed(path, f"the process that reads it {_fate(code)}")
    if isinstance(outcome, ConfigError):
        raise outcome
    return outcome


async def _taken_over(stream: asyncio.StreamReader, known: Known) -> Outcome | None:
    """What a process hands over; None if it ends before it has done so."""
    assembly = Assembly(known)
    outcome = None
    with suppress(asyncio.IncompleteReadError):
        while outcome is None:
            (size,) = HEADER.unpack(await stream.readexactly(HEADER.size))
            outcome = assembly.take(await stream.readexactly(size))
            await asyncio.sleep(0)  # What is there already is read without giving others their turn.
    return outcome


def _fate(code: int) -> str:
    if code == -signal.SIGKILL:
        return "was killed (the kernel does so when memory runs out)"
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit status {code}"


def _failed(path: Path, reason: str) -> ConfigError:
    return ConfigError([Problem(str(path), 0, "", f"cannot be read: {reason}")])
