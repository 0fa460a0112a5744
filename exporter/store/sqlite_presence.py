"""Whether an open database still is the one that its path names, and how it becomes that again.

SQLite would go on writing to a file that was deleted, and all that is acknowledged from then on would be gone when it
is closed.
"""

import os
import sqlite3
from enum import Enum, auto
from pathlib import Path

from exporter.store import StoreError
from exporter.store.sqlite_copy import (
    clear_leftovers,
    copy_of,
    flush,
    log_of,
    make_folder,
    put_in_place,
    write_copy,
)


class _Whereabouts(Enum):
    HERE = auto()
    DELETED = auto()
    MOVED = auto()
    REPLACED = auto()


class _Watched:
    """One file: its path, and a hold on the file itself that outlives its name.

    The hold is a descriptor that only names the file: closing an ordinary one would drop the locks that SQLite has on
    it in this process. And while it is held, no other file can be mistaken for it.
    """

    def __init__(self, path: Path, at: Path | None = None) -> None:
        """``at``: where the file is now, if not at its path yet. Raises OSError."""
        self.path = path
        self._name = os.fspath(path)
        self._hold = os.open(at or path, os.O_PATH | os.O_CLOEXEC)
        # Each look at a file lets other threads have the interpreter, and may have to wait for it: one look has to do.
        self._found = self._file = os.fstat(self._hold)
        self._content = _sign(self._file)

    def close(self) -> None:
        os.close(self._hold)

    def note(self) -> None:
        """Take what is in the file now for what belongs there."""
        self._content = _sign(os.fstat(self._hold))

    def touched(self) -> bool:
        """Whether somebody had written to it since it was noted, when its whereabouts were last asked for."""
        return _sign(self._found) != self._content

    def whereabouts(self) -> _Whereabouts:
        try:
            self._found = os.stat(self._name)  # noqa: PTH116 - for every commit, and twice as fast as Path's
        except (FileNotFoundError, NotADirectoryError):
            return _Whereabouts.MOVED if os.fstat(self._hold).st_nlink else _Whereabouts.DELETED
        return _Whereabouts.HERE if os.path.samestat(self._found, self._file) else _Whereabouts.REPLACED


def _sign(file: os.stat_result) -> tuple[int, int]:
    """What changes when somebody writes to a file."""
    return file.st_size, file.st_mtime_ns


class Presence:
    """Watches the files of a database that was just opened."""

    def __init__(self, path: Path) -> None:
        """Raises OSError."""
        self._path = path
        self._database = _Watched(path)
        try:
            self._log = _Watched(log_of(path))
        except BaseException:
            self._database.close()
            raise
        self._written_anew = False

    def close(self) -> None:
        """Let go of the files."""
        self._database.close()
        self._log.close()

    def note(self) -> None:
        """Take what is in the files now for our own; to be called after each transaction."""
        self._database.note()
        self._log.note()

    def touched(self) -> bool:
        """Whether somebody else had written to the files since, when they were last looked for."""
        return self._database.touched() or self._log.touched()

    @property
    def waits_to_be_opened(self) -> bool:
        """Whether the database was written anew, is at its path, and must be opened there. Raises OSError."""
        return self._written_anew and self._database.whereabouts() is _Whereabouts.HERE

    def deleted(self) -> Path | None:
        """The file that was deleted for good, with nothing in its place; None when all are there.

        Raises StoreError for a file that was moved or replaced, or cannot be looked for.
        """
        try:
            found = {watched.path: watched.whereabouts() for watched in (self._database, self._log)}
        except OSError as error:
            raise StoreError(f"{error.filename or self._path} cannot be reached: {error.strerror}") from error
        for file, whereabouts in found.items():
            if whereabouts is _Whereabouts.REPLACED:
                raise StoreError(
                    f"{file} was replaced by another file while it was in use; move that one away, and the database "
                    "is written anew, or restart the exporter to go on with what is there now"
                )
        for file, whereabouts in found.items():
            if whereabouts is _Whereabouts.MOVED:
                raise StoreError(f"{file} was moved away while it was in use; move it back, and all goes on")
        return next((file for file, whereabouts in found.items() if whereabouts is _Whereabouts.DELETED), None)

    def write_anew(self, db: sqlite3.Connection) -> None:
        """Write the open database, of which a file was deleted, to its path again, and watch that one from now on.

        Happens wholly or, when it raises StoreError, sqlite3.Error or OSError, not at all. Nobody else's file is
        replaced. What a crash leaves half done is completed when the path is opened next.
        """
        path = self._path
        make_folder(path.parent)
        clear_leftovers(path)
        try:
            copy = write_copy(db, copy_of(path))
            flush(copy)
            self.deleted()  # raises for what has come there meanwhile
            successor = _Watched(path, at=copy)
            try:
                if self._database.whereabouts() is _Whereabouts.HERE:
                    copy.replace(path)
                    flush(path.parent)
                else:
                    put_in_place(copy, path)
            finally:
                self._follow(successor)
        finally:
            clear_leftovers(path)

    def _follow(self, successor: _Watched) -> None:
        """Watch what was written anew, if it has come to its place, whatever failed after that."""
        if successor.whereabouts() is _Whereabouts.HERE:
            self._database, successor = successor, self._database
            self._written_anew = True
        successor.close()
