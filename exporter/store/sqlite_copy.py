"""Whole copies of an open database: for a backup, and for writing a database anew that was deleted while in use."""

import os
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO


def log_of(path: Path) -> Path:
    """The log beside a database; part of it for as long as it exists."""
    return Path(f"{path}-wal")


def copy_of(path: Path) -> Path:
    """Where a copy is written, one at a time, by whoever holds the lock of the database."""
    return Path(f"{path}-copy")


def _whole_copy_of(path: Path) -> Path:
    """Where a copy waits that is whole and on disk, and is about to be the database."""
    return Path(f"{path}-rescued")


def unnamed_copy(db: sqlite3.Connection, path: Path) -> BinaryIO:
    """A copy of the open database in a file without a name, which is gone once it is closed.

    Raises sqlite3.Error or OSError.
    """
    clear_leftovers(path)
    try:
        return write_copy(db, copy_of(path)).open("rb", buffering=0)
    finally:
        clear_leftovers(path)


def write_copy(db: sqlite3.Connection, target: Path) -> Path:
    """Write a copy of the open database into a new file, readable by its owner only, and not yet flushed to disk.

    Returns the file. Raises sqlite3.Error or OSError.
    """
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode=0o600))
    db.execute("VACUUM INTO ?", (target.absolute().as_uri(),))  # which fills a file that is empty
    return target


def put_in_place(copy: Path, path: Path) -> None:
    """Make a copy that is whole and on disk the database at a path at which there is none; nothing is overwritten.

    A crash on the way is made up for by `complete`. Raises OSError.
    """
    copy.rename(_whole_copy_of(path))
    complete(path)


def complete(path: Path) -> None:
    """Put a whole copy that waits for it, if there is one, in the place of a database that is gone. Raises OSError."""
    if _whole_copy_of(path).exists():
        # In this order: a log that outlived its database would be taken for a part of the new one.
        with suppress(FileNotFoundError):
            log_of(path).unlink()
        os.link(_whole_copy_of(path), path)  # which unlike a renaming never replaces a file
        flush(path.parent)


def clear_leftovers(path: Path) -> None:
    """Remove what a crash left of copies. Only for whoever holds the lock of the database, or knows it deleted."""
    copy = copy_of(path)
    for file in (copy, Path(f"{copy}-journal"), _whole_copy_of(path)):
        with suppress(OSError):  # They are in nobody's way, and the next occasion comes.
            file.unlink()


def make_folder(folder: Path) -> None:
    """Make a folder and those that it is in, as far as they are missing, and flush their names. Raises OSError."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for place in missing:
        flush(place.parent)


def flush(place: Path) -> None:
    """Make what is in a file, or the names in a folder, survive a loss of power. Raises OSError.

    Never for a database that this process has open: closing the file once more would drop its locks.
    """
    descriptor = os.open(place, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
