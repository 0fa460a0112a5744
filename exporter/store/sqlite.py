"""Records and the history of pings in one SQLite file.

The file is locked for as long as it is open, so nobody else changes it and the records in memory are always those on
disk: pings are folded over them without a read, and what is written is each record and what is kept of the pings,
once per batch. One thread owns the connection and does everything, in the order in which it was asked for.
"""

import asyncio
import sqlite3
import time
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeVar, TypeVarTuple

from exporter.heartbeat import Heartbeat, Liveness, Name, Outage, Ping, Record
from exporter.schedule import Duration, Moment
from exporter.store import KEEP_REMOVED, Arrival, StoreError, StoreRefused
from exporter.store.sqlite_copy import unnamed_copy
from exporter.store.sqlite_file import actual, in_words, in_words_of, is_damage, open_file, refusing
from exporter.store.sqlite_presence import Presence
from exporter.store.sqlite_rows import PING, RECORD, Row, ping_of_row, record_of_row, row_of_ping, row_of_record


def _values(columns: str) -> str:
    return ", ".join("?" for _ in columns.split(","))


_READ_RECORDS = f"SELECT {RECORD} FROM heartbeats"
_WRITE_RECORD = (
    f"INSERT INTO heartbeats ({RECORD}) VALUES ({_values(RECORD)}) ON CONFLICT (name) DO UPDATE SET "
    + ", ".join(f"{column} = excluded.{column}" for column in RECORD.split(", ")[1:])
)
_DELETE_RECORD = "DELETE FROM heartbeats WHERE name = ?"

_ID = "(SELECT id FROM heartbeats WHERE name = ?)"
_READ_PINGS = f"SELECT {PING} FROM pings WHERE heartbeat = {_ID} ORDER BY number DESC"
_WRITE_PING = f"INSERT INTO pings (heartbeat, {PING}) VALUES ({_ID}, {_values(PING)})"
_DELETE_PINGS = f"DELETE FROM pings WHERE heartbeat = {_ID} AND number <= ?"

_INCOMPLETE = (
    "SELECT 1 FROM heartbeats LEFT JOIN pings ON heartbeat = id WHERE pings > 0 GROUP BY id"
    " HAVING max(number) IS NOT pings OR count(number) <> pings - min(number) + 1"
)
"""Heartbeats whose last pings are not all there, whatever their number."""

_READ_LIVENESS = "SELECT alive_at, outage_start, outage_end, heard_until FROM liveness"
_WRITE_LIVENESS = "REPLACE INTO liveness (id, alive_at, outage_start, outage_end, heard_until) VALUES (1, ?, ?, ?, ?)"

LOOK_AGAIN_AFTER = 10.0
"""Seconds after which a database is looked at again as a whole: for a large one that takes a while."""

_T = TypeVar("_T")
_Arguments = TypeVarTuple("_Arguments")


class _Opened(NamedTuple):
    """A database that was just opened, and all records in it."""

    db: sqlite3.Connection
    presence: Presence
    records: dict[Name, Record]


class SqliteStore:
    """A `exporter.store.Store` in one file.

    Should its files be deleted while it is open, nothing is taken until they are written anew, from the connection,
    which reads them still.
    """

    def __init__(self, path: Path, thread: ThreadPoolExecutor, opened: _Opened) -> None:
        """Takes over the database, whose connection belongs to the thread."""
        self._path = path
        self._thread = thread
        self._db, self._presence, self._records = opened
        self._deletion_told = False
        self._damage: str | None = None
        """What was last found wrong with the database."""
        self._suspicious = False
        """Whether somebody may have written to it, or it was found damaged."""
        self._looked_at = float("-inf")

    @classmethod
    async def open(cls, path: Path) -> "SqliteStore":
        """The store in this file; the file, readable by its owner only, and its folder are made if missing.

        Raises StoreRefused.
        """
        path = actual(path)
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sqlite")
        try:
            opened = await asyncio.get_running_loop().run_in_executor(thread, _open, path)
        except BaseException:
            thread.shutdown(wait=False)
            raise
        return cls(path, thread, opened)

    async def adopt(self, heartbeats: Collection[Heartbeat], now: Moment) -> Mapping[Name, Record]:
        return await self._run(self._adopt, heartbeats, now)

    async def commit(self, arrivals: Sequence[Arrival], history: int) -> Mapping[Name, Record]:
        return await self._run(self._commit, arrivals, history)

    async def beat(self, now: Moment, outage_grace: Duration, *, restarted: bool = False) -> Liveness:
        return await self._run(self._beat, now, outage_grace, restarted)

    async def liveness(self, outage_grace: Duration) -> Liveness:
        return await self._run(self._liveness, outage_grace)

    async def history(self, name: Name) -> Sequence[Ping]:
        return await self._run(self._history, name)

    async def backup(self) -> BinaryIO:
        """A copy of the database as it is now, in a file without a name that is the caller's to close.

        The store does nothing else meanwhile. Raises StoreError.
        """
        return await self._run(self._backup)

    async def close(self) -> None:
        try:
            await self._run(self._close)
        finally:
            self._thread.shutdown(wait=False)

    async def _run(self, work: Callable[[*_Arguments], _T], *arguments: *_Arguments) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    # From here on in the thread.

    def _adopt(self, heartbeats: Collection[Heartbeat], now: Moment) -> dict[Name, Record]:
        watched: dict[Name, Record] = {}
        for heartbeat in heartbeats:
            record = self._records.get(heartbeat.name)
            watched[heartbeat.name] = Record.armed(heartbeat, now) if record is None else record.adopted(heartbeat, now)
        removed = {name: record.removed(now) for name, record in self._records.items() if name not in watched}
        expired = {
            name
            for name, record in removed.items()
            if record.removed_at is not None and now - record.removed_at >= KEEP_REMOVED
        }
        kept = watched | {name: record for name, record in removed.items() if name not in expired}
        changed = [(name, record) for name, record in kept.items() if record is not self._records.get(name)]
        with self._transaction():
            self._db.executemany(_WRITE_RECORD, (row_of_record(name, record) for name, record in changed))
            self._db.executemany(_DELETE_RECORD, ((name,) for name in expired))
        self._records = kept
        return watched

    def _commit(self, arrivals: Sequence[Arrival], history: int) -> dict[Name, Record]:
        touched: dict[Name, Record] = {}
        kept: defaultdict[Name, deque[Row]] = defaultdict(lambda: deque(maxlen=history))
        for heartbeat, ping in arrivals:
            name = heartbeat.name
            record = touched.get(name) or self._records.get(name) or Record.armed(heartbeat, ping.at)
            touched[name] = record = record.after(ping, heartbeat)
            kept[name].append(row_of_ping(name, record.pings, ping))
        with self._transaction():
            self._db.executemany(_WRITE_RECORD, [row_of_record(name, record) for name, record in touched.items()])
            self._db.executemany(_WRITE_PING, [row for rows in kept.values() for row in rows])
            self._db.executemany(
                _DELETE_PINGS,
                [(name, record.pings - history) for name, record in touched.items() if record.pings > history],
            )
        self._records.update(touched)
        return touched

    def _beat(self, now: Moment, outage_grace: Duration, restarted: bool) -> Liveness:
        with self._transaction():
            liveness = self._read_liveness(outage_grace).at(now, outage_grace, restarted=restarted)
            outage = liveness.outage
            span = (None, None) if outage is None else (outage.start, outage.end)
            self._db.execute(_WRITE_LIVENESS, (liveness.alive_at, *span, liveness.heard_until))
        return liveness

    def _liveness(self, outage_grace: Duration) -> Liveness:
        with self._transaction():
            return self._read_liveness(outage_grace)

    def _read_liveness(self, outage_grace: Duration) -> Liveness:
        row = self._db.execute(_READ_LIVENESS).fetchone()
        if row is None:
            return Liveness()
        alive_at, start, end, heard_until = row
        return Liveness(alive_at, None if start is None else Outage(start, end, outage_grace), heard_until)

    def _history(self, name: Name) -> list[Ping]:
        with self._transaction():
            return [ping_of_row(row) for row in self._db.execute(_READ_PINGS, (name,))]

    def _backup(self) -> BinaryIO:
        self._ensure_presence()
        self._ensure_integrity()
        with in_words_of(self._path):
            self._undo()
            return unnamed_copy(self._db, self._path)

    def _close(self) -> None:
        # Whoever has just noticed a deletion would have tried again, and this is the last occasion. What still keeps it
        # from being written anew was told when it was tried before.
        for _ in range(2):
            with suppress(StoreError):
                self._ensure_presence()
        self._presence.close()
        self._db.close()

    def _ensure_presence(self) -> None:
        """See that the database is where it belongs; one that was deleted is written anew. Raises StoreError."""
        with in_words_of(self._path):
            waits = self._presence.waits_to_be_opened
        if not waits:
            deleted = self._presence.deleted()
            if deleted is None:
                self._deletion_told = False
                return
            if not self._deletion_told:
                self._deletion_told = True
                raise StoreError(f"{deleted} was deleted while it was in use; the database is being written anew")
            with in_words_of(self._path):
                self._undo()
                self._presence.write_anew(self._db)
        self._reopen()

    def _ensure_integrity(self) -> None:
        """See that nobody else has written to the database, and that it is whole if it was found not to be.

        It is looked at as a whole only then, and not again at once: on some file systems the time of the last change
        comes late, as if somebody else had written. Raises StoreError.
        """
        self._suspicious = self._suspicious or self._presence.touched()
        if not self._suspicious:
            return
        if time.monotonic() >= self._looked_at + LOOK_AGAIN_AFTER:
            self._damage = self._find_damage()
            self._looked_at = time.monotonic()
            self._suspicious = self._damage is not None
        if self._damage is not None:
            raise StoreError(
                f"{self._path} is damaged, or was written to by another program ({self._damage}); nothing is taken"
                " until it is as it was: stop the exporter, and restore a backup"
            )

    def _find_damage(self) -> str | None:
        """What is wrong with the database as it is on disk."""
        try:
            self._undo()
            self._db.execute("PRAGMA shrink_memory")  # What is remembered of it may hide what is there now.
            (found,) = self._db.execute("PRAGMA quick_check(1)").fetchone()
            if found != "ok":
                return str(found).splitlines()[-1]
            if dict(map(record_of_row, self._db.execute(_READ_RECORDS))) != self._records:
                return "it holds other records"
            if self._db.execute(_INCOMPLETE).fetchone() is not None:
                return "pings are missing in it"
        except sqlite3.Error as error:
            return in_words(error)
        return None

    def _reopen(self) -> None:
        opened = _open(self._path)
        # Only now, so that until all is well again there is a connection that has everything.
        self._presence.close()
        with suppress(sqlite3.Error):
            self._db.close()
        self._db, self._presence, self._records = opened
        self._deletion_told = False
        self._damage, self._suspicious = None, False

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._ensure_presence()
        self._ensure_integrity()
        try:
            with in_words_of(self._path):
                self._undo()  # What made the last transaction fail may have kept it from being undone, too.
                self._db.execute("BEGIN")
                yield
                self._db.execute("COMMIT")
        except StoreError as error:
            if isinstance(error.__cause__, sqlite3.Error) and is_damage(error.__cause__):
                self._damage = in_words(error.__cause__)
                self._suspicious = True
                self._looked_at = time.monotonic()
            raise
        finally:
            with suppress(sqlite3.Error):
                self._undo()
            self._presence.note()

    def _undo(self) -> None:
        if self._db.in_transaction:  # SQLite has ended it by itself after some errors.
            self._db.execute("ROLLBACK")


def _open(path: Path) -> _Opened:
    db = open_file(path)
    try:
        with refusing(path):
            records = dict(map(record_of_row, db.execute(_READ_RECORDS)))  # which makes the log, too
        return _Opened(db, Presence(path), records)
    except OSError as error:
        db.close()
        raise StoreRefused(f"{path} was taken away while it was being opened ({error.strerror})") from error
    except BaseException:
        db.close()
        raise
