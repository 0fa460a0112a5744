"""Backups: a folder that can take the place of the exporter's own."""

import os
import shutil
import tempfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from exporter.store import StoreError
from exporter.store.control import NotRunningError, ask_for_backup
from exporter.store.sqlite_copy import flush, unnamed_copy
from exporter.store.sqlite_file import actual, count_watched, in_words_of, open_as_it_is


class BackupError(Exception):
    """No backup was made, and nothing is left of it. The message says why."""


@dataclass(frozen=True, slots=True)
class Backup:
    """What was written."""

    database: str
    size: int
    """Bytes of the database."""
    heartbeats: int
    """Those that were watched; records that are kept in case theirs come back are in it as well."""
    secret: str | None
    """The file with the ping secret, if it is in it."""


def make_backup(storage: Path, secret: Path | None, destination: Path) -> Backup:
    """Write the database, whether an exporter has it open or not, and the secret file into a new folder.

    The folder appears whole, readable by its owner only and on disk, or not at all. Raises BackupError.
    """
    try:
        _check(destination)
        draft = Path(tempfile.mkdtemp(dir=destination.parent, prefix=f".{destination.name}-"))  # mode 0700
        try:
            return _write(storage, secret, draft, destination)
        finally:
            shutil.rmtree(draft, ignore_errors=True)  # which is not there any more if all went well
    except StoreError as error:
        raise BackupError(str(error)) from error
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise BackupError(f"{destination} cannot be written: {error.strerror}{where}") from error


def _check(destination: Path) -> None:
    if not destination.parent.is_dir():
        raise BackupError(f"{destination.parent} is no folder; give a new folder in one that exists")
    if os.path.lexists(destination) and not (destination.is_dir() and not any(destination.iterdir())):
        raise BackupError(f"{destination} exists already; give a folder that does not, or an empty one")


def _write(storage: Path, secret: Path | None, draft: Path, destination: Path) -> Backup:
    database = draft / storage.name
    with _copy_of_database(storage) as copy:
        _keep(copy, database)
    try:
        heartbeats = count_watched(database)  # What cannot be read would be no backup.
    except StoreError as error:
        raise BackupError(f"the copy cannot be used: {error}") from error
    if secret is not None:
        with secret.open("rb") as copy:
            _keep(copy, draft / secret.name)
    size = database.stat().st_size
    flush(draft)
    draft.rename(destination)
    flush(destination.parent)
    return Backup(database.name, size, heartbeats, None if secret is None else secret.name)


def _copy_of_database(storage: Path) -> BinaryIO:
    try:
        return ask_for_backup(storage)
    except NotRunningError:
        pass
    path = actual(storage)
    with in_words_of(path), closing(open_as_it_is(path)) as db:
        return unnamed_copy(db, path)


def _keep(copy: BinaryIO, target: Path) -> None:
    descriptor = os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode=0o600)
    with open(descriptor, "wb") as file:  # noqa: PTH123 - made with its mode
        shutil.copyfileobj(copy, file)
        file.flush()
        os.fsync(descriptor)
