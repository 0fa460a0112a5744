"""How a running exporter is asked for a backup: through a Unix socket beside its database.

Only the exporter's own user and root may connect. Whoever does, and sends `BACKUP`, is answered with `OK` and the
descriptor of a copy, or with what is wrong.
"""

import asyncio
import os
import socket
import stat
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, NoReturn

import structlog

from exporter.store import StoreError

ASKED_WITHIN = 5.0
"""Seconds that somebody who has connected may take to say what is wanted; nobody else is answered meanwhile."""
LOOKED_AFTER_EVERY = 5.0
"""Seconds after which it is seen whether the socket is still there."""
ANSWERED_WITHIN = 600.0
"""Seconds for which an answer is waited for."""

_BACKUP = b"BACKUP\n"
_OK = b"OK\n"
_LONGEST = 4096
_LONGEST_ADDRESS = 107  # bytes, a limit of Linux

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class NotRunningError(Exception):
    """No exporter answers at the socket."""


def socket_of(storage: Path) -> Path:
    """Where the exporter that has this database open is asked."""
    return Path(f"{storage}-control")


def ask_for_backup(storage: Path) -> BinaryIO:
    """A copy of the database that a running exporter has open, in a file that is the caller's to close.

    Raises NotRunningError, or StoreError when there is an exporter and no copy.
    """
    path = socket_of(storage)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(ANSWERED_WITHIN)
        try:
            with _address(path) as address:
                connection.connect(address)
        except (FileNotFoundError, ConnectionRefusedError):
            raise NotRunningError from None
        except OSError as error:
            raise StoreError(f"the exporter cannot be asked through {path}: {error.strerror or error}") from error
        try:
            connection.sendall(_BACKUP)
            answer, descriptors, _, _ = socket.recv_fds(connection, _LONGEST, 1)
        except OSError as error:
            raise StoreError(f"the exporter does not answer at {path}: {error.strerror or error}") from error
    if descriptors:
        return open(descriptors[0], "rb", buffering=0)  # noqa: PTH123 - it has no path
    raise StoreError(answer.decode(errors="replace") or f"the exporter has closed {path} without an answer")


@asynccontextmanager
async def answering(storage: Path, backup: Callable[[], Awaitable[BinaryIO]]) -> AsyncIterator[None]:
    """Answer whoever asks for a backup for as long as the block lasts; for the process that has the database open.

    Where no socket can be made a warning is logged, and nobody is answered.
    """
    path = socket_of(storage)
    try:
        door = _Door(path)
    except OSError as error:
        log.warning(
            "no backup can be asked for while the exporter runs: its socket cannot be made",
            path=str(path),
            reason=error.strerror or str(error),
        )
        yield
        return
    task = asyncio.create_task(_answer_each(door, backup))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait((task,))
        door.close()


class _Door:
    """The socket where one is asked."""

    def __init__(self, path: Path) -> None:
        """Raises OSError."""
        self._path = path
        self.listener = _listen(path)
        self._made = path.stat()

    def ensure(self) -> None:
        """Make it anew if it was deleted, as happens when somebody deletes all that belongs to the database."""
        if self._is_there():
            return
        with suppress(OSError):  # The folder is gone, too; it is tried again later.
            listener = _listen(self._path)
            self.listener.close()
            self.listener, self._made = listener, self._path.stat()

    def close(self) -> None:
        self.listener.close()
        if self._is_there():
            self._path.unlink()

    def _is_there(self) -> bool:
        try:
            return os.path.samestat(self._made, self._path.stat())
        except OSError:
            return False


def _listen(path: Path) -> socket.socket:
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise FileExistsError(None, "there is something else in its place")
        path.unlink()  # Who holds the lock of the database knows that nobody answers there any more.
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.setblocking(False)
        os.fchmod(listener.fileno(), 0o600)  # which is what the socket's file is then made with
        with _address(path) as address:
            listener.bind(address)
        listener.listen()
    except BaseException:
        listener.close()
        raise
    return listener


@contextmanager
def _address(path: Path) -> Iterator[str]:
    """The path as a socket's address, also if it is longer than one may be."""
    if len(os.fsencode(path)) <= _LONGEST_ADDRESS:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


async def _answer_each(door: _Door, backup: Callable[[], Awaitable[BinaryIO]]) -> NoReturn:
    loop = asyncio.get_running_loop()
    while True:
        try:
            async with asyncio.timeout(LOOKED_AFTER_EVERY):
                connection, _ = await loop.sock_accept(door.listener)
        except TimeoutError:
            door.ensure()
            continue
        except OSError as error:  # as when no more files may be open
            log.warning("somebody who asks for a backup waits", reason=error.strerror)
            await asyncio.sleep(1)
            continue
        with connection, suppress(OSError):  # Who asked has gone, or says nothing.
            async with asyncio.timeout(ASKED_WITHIN):
                asked = await loop.sock_recv(connection, _LONGEST)
            if asked == _BACKUP:
                await _answer(connection, backup)
            else:
                connection.send(b"not understood: this exporter is of another version")


async def _answer(connection: socket.socket, backup: Callable[[], Awaitable[BinaryIO]]) -> None:
    copying = asyncio.ensure_future(backup())
    try:
        copy = await asyncio.shield(copying)
    except asyncio.CancelledError:
        with suppress(StoreError):
            (await copying).close()  # What has begun comes to its end all the same, and is nobody's then.
        raise
    except StoreError as error:
        log.warning("no backup: the store cannot be copied", reason=str(error))
        connection.send(str(error).encode()[:_LONGEST])
        return
    with copy:
        socket.send_fds(connection, [_OK], [copy.fileno()])
    log.info("copied the store for a backup")
