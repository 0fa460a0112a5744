"""Records and the history of pings in one SQLite file.

The file is locked for as long as it is open, so nobody else changes it and the records in memory are always those on
disk: pings are folded over them without a read, and a batch of them is one append to a journal (see
`exporter.store.sqlite_journal`). One thread owns the connection and does everything, in the order in which it was
asked for.
"""

import asyncio
import sqlite3
import time
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
from exporter.store.sqlite_journal import Journal, row_of_entry
from exporter.store.sqlite_presence import Presence
from exporter.store.sqlite_rows import RECORD, record_of_row, row_of_record


def _values(columns: str) -> str:
    return ", ".join("?" for _ in columns.split(","))


_READ_RECORDS = f"SELECT {RECORD} FROM heartbeats"
_WRITE_RECORD = (
    f"INSERT INTO heartbeats ({RECORD}) VALUES ({_values(RECORD)}) ON CONFLICT (name) DO UPDATE SET "
    + ", ".join(f"{column} = excluded.{column}" for column in RECORD.split(", ")[1:])
)
_DELETE_RECORD = "DELETE FROM heartbeats WHERE name = ?"

_INCOMPLETE = (
    "SELECT 1 FROM heartbeats LEFT JOIN pings ON heartbeat = id WHERE pings > 0 GROUP BY id"
    " HAVING max(number) IS NOT pings OR count(number) <> pings - min(number) + 1"
)
"""Heartbeats whose last pings are not all there, whatever their number."""

_READ_LIVENESS = "SELECT alive_at, outage_start, outage_end, heard_until FROM liveness"
_WRITE_LIVENESS = "REPLACE INTO liveness (id, alive_at, outage_start, outage_end, heard_until) VALUES (1, ?, ?, ?, ?)"

QUIET_SECONDS = 0.05
"""After how long without a call the journal is settled."""

SETTLED_AT_ONCE = 256
"""Entries that are settled before others get their turn, who wait for it: some milliseconds."""

SETTLED_AT_END = 10_000
"""Entries that are settled before the store is closed; the rest is when it is opened next."""

LOOK_AGAIN_AFTER = 10.0
"""Seconds after which a database is looked at again as a whole: for a large one that takes a while."""

_T = TypeVar("_T")
_Arguments = TypeVarTuple("_Arguments")


class _Opened(NamedTuple):
    """A database that was just opened, and all records in it."""

    db: sqlite3.Connection
    presence: Presence
    journal: Journal
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
        self._db, self._presence, self._journal, self._records = opened
        self._adopted: dict[Name, Heartbeat] = {}
        """The heartbeats that were adopted last, and which all have their records."""
        self._asked_at = 0.0
        """When it was last called, by the loop's clock."""
        self._settling: asyncio.Task[None] | None = None
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
        records = await self._run(self._commit, arrivals, history)
        if self._settling is None:
            self._settling = asyncio.create_task(self._settle_in_quiet())
        return records

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
        if self._settling is not None:
            self._settling.cancel()
            await asyncio.wait((self._settling,))
        try:
            await self._run(self._close)
        finally:
            self._thread.shutdown(wait=False)

    async def _run(self, work: Callable[[*_Arguments], _T], *arguments: *_Arguments) -> _T:
        loop = asyncio.get_running_loop()
        self._asked_at = loop.time()
        return await loop.run_in_executor(self._thread, work, *arguments)

    async def _settle_in_quiet(self) -> None:
        """Settle the journal, a little at a time, whenever nobody has asked for anything for a while."""
        loop = asyncio.get_running_loop()
        try:
            while self._journal.entries:
                await asyncio.sleep(QUIET_SECONDS)
                while self._journal.entries and loop.time() - self._asked_at >= QUIET_SECONDS:
                    await loop.run_in_executor(self._thread, self._settle)
        except StoreError:
            pass  # Whoever calls next is told, and what is in the journal is safe there.
        finally:
            self._settling = None

    # From here on in the thread.

    def _adopt(self, heartbeats: Collection[Heartbeat], now: Moment) -> dict[Name, Record]:
        watched = {heartbeat.name: self._adopted_record(heartbeat, now) for heartbeat in heartbeats}
        removed = {name: record.removed(now) for name, record in self._records.items() if name not in watched}
        expired = {
            name
            for name, record in removed.items()
            if record.removed_at is not None and now - record.removed_at >= KEEP_REMOVED
        }
        kept = watched | {name: record for name, record in removed.items() if name not in expired}
        changed = [(name, record) for name, record in kept.items() if record is not self._records.get(name)]
        # What waits in the journal would bring former records back.
        settled = self._journal.waiting([*(name for name, _ in changed), *expired])
        with self._transaction():
            self._journal.settle(settled)
            self._db.executemany(_WRITE_RECORD, (row_of_record(name, record) for name, record in changed))
            self._db.executemany(_DELETE_RECORD, ((name,) for name in expired))
        self._journal.settled(settled)
        self._records = kept
        self._adopted = {heartbeat.name: heartbeat for heartbeat in heartbeats}
        return watched

    def _adopted_record(self, heartbeat: Heartbeat, now: Moment) -> Record:
        record = self._records.get(heartbeat.name)
        if record is None:
            return Record.armed(heartbeat, now)
        return record if self._adopted.get(heartbeat.name) is heartbeat else record.adopted(heartbeat, now)

    def _commit(self, arrivals: Sequence[Arrival], history: int) -> dict[Name, Record]:
        if self._journal.full:
            self._settle(max(SETTLED_AT_ONCE, 2 * len(arrivals)))
        touched: dict[Name, Record] = {}
        rows = []
        for heartbeat, ping in arrivals:
            name = heartbeat.name
            record = touched.get(name) or self._records.get(name) or Record.armed(heartbeat, ping.at)
            touched[name] = record = record.after(ping, heartbeat)
            rows.append(row_of_entry(history, name, record, ping))
        with self._transaction():
            self._journal.append(rows)
        self._journal.noted(rows)
        self._records.update(touched)
        return touched

    def _settle(self, at_most: int = SETTLED_AT_ONCE) -> None:
        portions = self._journal.next(self._records, at_most)
        with self._transaction():
            self._journal.settle(portions)
        self._journal.settled(portions)

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
            return list(self._journal.history(name))

    def _backup(self) -> BinaryIO:
        self._ensure_presence()
        self._ensure_integrity()
        while self._journal.entries:
            self._settle(SETTLED_AT_END)
        with in_words_of(self._path):
            self._undo()
            return unnamed_copy(self._db, self._path)

    def _close(self) -> None:
        if self._journal.entries:
            with suppress(StoreError):  # It is safe in the journal, too.
                self._settle(SETTLED_AT_END)
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
            if _read_records(self._db) | self._journal.records() != self._records:
                return "it holds other records"
            if (
                Journal(self._db).entries != self._journal.entries
                or self._db.execute(_INCOMPLETE).fetchone() is not None
            ):
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
        self._db, self._presence, self._journal, self._records = opened
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
            journal = Journal(db)
            records = _read_records(db) | journal.records()  # which makes the log, too
        return _Opened(db, Presence(path), journal, records)
    except OSError as error:
        db.close()
        raise StoreRefused(f"{path} was taken away while it was being opened ({error.strerror})") from error
    except BaseException:
        db.close()
        raise


def _read_records(db: sqlite3.Connection) -> dict[Name, Record]:
    return dict(map(record_of_row, db.execute(_READ_RECORDS)))
