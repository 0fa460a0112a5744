"""The SQLite file: how it is made, locked and kept up to date, and which files are refused."""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from importlib import resources
from itertools import count, takewhile
from pathlib import Path

from exporter.store import StoreError, StoreRefused
from exporter.store.sqlite_copy import clear_leftovers, complete, flush, log_of, make_folder

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


def is_damage(error: sqlite3.Error) -> bool:
    """Whether it is what the file holds that SQLite cannot go on with."""
    return _kind(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


@contextmanager
def in_words_of(path: Path) -> Iterator[None]:
    """Turn what the disk does not do for an open database into StoreError, in words that help."""
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(f"{path} cannot be used at present: {in_words(error)}") from error
    except OSError as error:
        raise StoreError(f"{path} cannot be used at present: {error.strerror}") from error


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


def actual(path: Path) -> Path:
    """The file itself, if the path is a symbolic link to it: it is beside the file that SQLite keeps the log."""
    return Path(os.path.realpath(path)) if os.path.islink(path) else path  # noqa: PTH114 - Path's raises where it may not look


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


def open_as_it_is(path: Path) -> sqlite3.Connection:
    """A connection to our file, which is locked until it is closed, whatever version its schema has.

    Nothing is made, and nothing changed but that what a crash left in its log is brought in. Raises StoreRefused.
    """
    if not path.exists():
        raise StoreRefused(f"there is no database at {path}")
    _check_access(path)
    newest = len(_schema())
    with refusing(path):
        _look_into(path, newest)
        db = _connect(path, "mode=rw")
        try:
            version = _lock(db, path, newest)
        except BaseException:
            db.close()
            raise
    if version == 0:
        db.close()
        raise StoreRefused(f"{path} is empty")
    clear_leftovers(path)
    return db


def count_watched(path: Path) -> int:
    """How many heartbeats a file of ours that nobody has open watches. Raises StoreRefused unless it is whole."""
    with refusing(path):
        _look_into(path, len(_schema()))
        with closing(_connect(path, "mode=ro&immutable=1")) as db:
            (watched,) = db.execute("SELECT count(*) FROM heartbeats WHERE removed_at IS NULL").fetchone()
            return int(watched)


def _make_file(path: Path) -> None:
    try:
        if not path.exists():
            make_folder(path.parent)
            with suppress(FileExistsError):  # Somebody else was faster; whose it is, its lock decides.
                complete(path)
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode=0o600))
            flush(path.parent)
    except OSError as error:
        raise StoreRefused(_unreachable(path, error)) from error
    _check_access(path)


def _check_access(path: Path) -> None:
    try:
        unusable = [place for place in (path.parent, path) if not os.access(place, os.R_OK | os.W_OK)]
        is_file = path.is_file()
    except OSError as error:
        raise StoreRefused(_unreachable(path, error)) from error
    if not is_file:
        raise StoreRefused(f"{path} is not a file; give the path of one, which is made if missing")
    if unusable:
        raise StoreRefused(f"{unusable[0]} must be readable and writable for user {os.geteuid()}; it is not")


def _unreachable(path: Path, error: OSError) -> str:
    return f"{path} cannot be reached or made ({error.filename}: {error.strerror})"


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
    logged = log_of(path).exists()
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
    version = _lock(db, path, len(schema))
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA foreign_keys = ON")
    for number, script in enumerate(schema[version:], start=version + 1):
        db.executescript(
            f"BEGIN; {script}; PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {number}; COMMIT"
        )
    # Only now: so the mark is in the file itself from the first, and never in a log beside it alone.
    db.execute("PRAGMA journal_mode = WAL")
    with suppress(OSError):
        # What a look into a file with a log leaves; with the lock held nobody uses it.
        Path(f"{path}-shm").unlink()
    clear_leftovers(path)


def _lock(db: sqlite3.Connection, path: Path, newest: int) -> int:
    """Lock the file until it is closed; returns the version of its schema."""
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    db.execute("BEGIN EXCLUSIVE")  # What is locked once stays so.
    version = _identify(db, path, newest)
    db.execute("ROLLBACK")
    return version
