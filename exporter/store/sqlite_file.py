"""The SQLite file: how it is made, locked and kept up to date, and which files are refused."""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from importlib import resources
from itertools import count, takewhile
from pathlib import Path

from exporter.store import StoreRefused

APPLICATION_ID = int.from_bytes(b"HbEx")
"""Marks our files (see https://www.sqlite.org/pragma.html#pragma_application_id)."""

BUSY_FOR = 2.0
"""Seconds for which a file that another process holds is waited for: about what a quick restart needs."""


def _kind(error: sqlite3.Error) -> int:
    # The bits above only say where it happened; errors of the module itself have no code.
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF


def in_words(error: sqlite3.Error) -> str:
    """The cause of an error as somebody who looks after the disk would put it."""
    match _kind(error):
        case sqlite3.SQLITE_FULL:
            return "the disk is full"
        case sqlite3.SQLITE_IOERR:
            return f"the disk fails ({error.sqlite_errorname})"
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            return f"it or its folder cannot be written by user {os.geteuid()} ({error.sqlite_errorname})"
        case _:
            return str(error)


def _refusal(path: Path, error: sqlite3.Error) -> str:
    match _kind(error):
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return f"{path} is held by another process; stop that one, or give this one a file of its own"
        case sqlite3.SQLITE_NOTADB:
            return _damaged(path, "it is no SQLite database, or no longer one")
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_ERROR:
            return _damaged(path, str(error))
        case _:
            return f"{path} cannot be opened: {in_words(error)}"


def _damaged(path: Path, finding: str) -> str:
    return f"{path} is damaged ({finding}); restore a backup, or move it and any {path.name}-wal away to begin anew"


@contextmanager
def refusing(path: Path) -> Iterator[None]:
    """Turn what SQLite says against a file into StoreRefused, in words that help."""
    try:
        yield
    except sqlite3.Error as error:
        raise StoreRefused(_refusal(path, error)) from error


def open_file(path: Path) -> sqlite3.Connection:
    """A connection to our file, which is locked until it is closed and has the newest schema.

    The file, readable by its owner only, and its folder are made if missing. Raises StoreRefused, and then has changed
    nothing that was there.
    """
    _make_file(path)
    schema = _schema()
    with refusing(path):
        _look_into(path, len(schema))
        db = _connect(path, "mode=rw")
        try:
            _take_over(db, path, schema)
        except BaseException:
            db.close()
            raise
        return db


class Presence:
    """Tells whether an open database still is the one that its path names.

    SQLite would go on writing to a file that was deleted, and all that is acknowledged from then on would be gone when
    it is closed.
    """

    def __init__(self, path: Path) -> None:
        """``path``: of a database that was just opened."""
        self._path = path
        self._files: dict[Path, tuple[int, int]] = {}
        self.missing()

    def missing(self) -> Path | None:
        """The file of the database that was deleted or replaced, if one was."""
        for file in (self._path, Path(f"{self._path}-wal")):
            try:
                found = file.stat()
            except OSError:
                if file in self._files:
                    return file
                continue  # The log is made by the first commit.
            identity = (found.st_dev, found.st_ino)
            if self._files.setdefault(file, identity) != identity:
                return file
        return None


def _make_file(path: Path) -> None:
    try:
        if not path.exists():
            folders = [path.parent, *(folder.parent for folder in path.parents if not folder.exists())]
            path.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileExistsError):  # Somebody else was faster; whose it is, its lock decides.
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode=0o600))
            for folder in folders:
                _sync(folder)
        unusable = [place for place in (path.parent, path) if not os.access(place, os.R_OK | os.W_OK)]
    except OSError as error:
        raise StoreRefused(f"{path} cannot be reached or made ({error.filename}: {error.strerror})") from error
    if not path.is_file():
        raise StoreRefused(f"{path} is not a file; give the path of one, which is made if missing")
    if unusable:
        raise StoreRefused(f"{unusable[0]} must be readable and writable for user {os.geteuid()}; it is not")


def _sync(folder: Path) -> None:
    """Make the names in a folder survive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _schema() -> Sequence[str]:
    """The scripts that lead from each version of the schema to the next, from none to the newest."""
    folder = resources.files("exporter.store")
    scripts = takewhile(lambda script: script.is_file(), (folder / f"sqlite-{version}.sql" for version in count(1)))
    return [script.read_text(encoding="utf-8") for script in scripts]


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True, isolation_level=None, timeout=BUSY_FOR)


def _look_into(path: Path, newest: int) -> None:
    """Refuse a file that is not ours or not whole, before anything opens it that could write to it.

    Whatever a wrong or damaged file still holds belongs to whoever wants to rescue it, and when a crash has left a
    log beside it, even opening it or closing it would write. Raises sqlite3.Error too.
    """
    logged = Path(f"{path}-wal").exists()
    # A rollback journal is in use only while a file of ours is being made, so what such a crash left holds nothing,
    # may look damaged, and is put right by SQLite itself when it is opened for writing.
    half_made = Path(f"{path}-journal").exists()
    with closing(_connect(path, "mode=ro" if logged else "mode=ro&immutable=1")) as db:
        try:
            _identify(db, path, newest)
            (found,) = db.execute("PRAGMA quick_check(1)").fetchone()
        except sqlite3.DatabaseError:
            if half_made:
                return
            raise
    if found != "ok" and not half_made:
        raise StoreRefused(_damaged(path, found.splitlines()[-1]))


def _identify(db: sqlite3.Connection, path: Path, newest: int) -> int:
    """The version of the schema in the file, 0 if it is empty. Raises StoreRefused for one that we did not write."""
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    (objects,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if (application, version, objects) == (0, 0, 0):
        return 0
    if application != APPLICATION_ID:
        raise StoreRefused(f"{path} belongs to another program; give the path of a file that does not exist yet")
    if version > newest:
        raise StoreRefused(
            f"{path} was written by a newer version (schema {version}, this one knows up to {newest});"
            " run that version, or restore a backup from before it"
        )
    return int(version)


def _take_over(db: sqlite3.Connection, path: Path, schema: Sequence[str]) -> None:
    """Lock the file until it is closed, and bring its schema up to date."""
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA foreign_keys = ON")
    db.execute("BEGIN EXCLUSIVE")  # What is locked once stays so.
    version = _identify(db, path, len(schema))
    db.execute("ROLLBACK")
    for number, script in enumerate(schema[version:], start=version + 1):
        db.executescript(
            f"BEGIN; {script}; PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {number}; COMMIT"
        )
    # Only now: so the mark is in the file itself from the first, and never in a log beside it alone.
    db.execute("PRAGMA journal_mode = WAL")
    with suppress(OSError):
        # What a look into a file with a log leaves; with the lock held nobody uses it.
        Path(f"{path}-shm").unlink()
