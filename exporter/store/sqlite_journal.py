"""Pings on disk at once, and in their tables later.

In its tables each ping belongs to another place: a record here, a heartbeat's history there, and the first of it
dropped. Written there while its sender waits, it would cost two or three pages of the disk. So it is appended to a
journal, whose pages fill one after another, and settled when nobody waits: in SQL, so that Python has little part in
it, and heartbeat after heartbeat, since what belongs to neighbours stands on the same pages. Journal and tables
together are the truth, and a settlement is one transaction, so a crash at any moment changes nothing.
"""

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from exporter.heartbeat import Name, Ping, Record
from exporter.store.sqlite_rows import PING, RECORD, Row, ping_of_row, record_of_row, row_of_ping, row_of_record

ENTRIES_AT_MOST = 100_000
"""Entries that may wait to be settled: some seconds' worth of the most that comes, and as many to read at a start."""

BYTES_AT_MOST = 64 << 20
"""Bytes of bodies that may wait with them."""

_COLUMNS = f"entry, kept, {RECORD}, {PING}"
_NAME = 1
_APPEND = f"INSERT INTO journal ({_COLUMNS}) VALUES ({', '.join('?' for _ in _COLUMNS.split(', '))})"

_SETTLE_RECORDS = (
    f"INSERT INTO heartbeats ({RECORD}) SELECT {RECORD} FROM journal"
    " WHERE entry IN (SELECT value FROM json_each(:latest)) ON CONFLICT (name)"
    f" DO UPDATE SET {', '.join(f'{column} = excluded.{column}' for column in RECORD.split(', ')[1:])}"
)
_SETTLE_PINGS = f"""\
INSERT INTO pings (heartbeat, number, {PING})
SELECT heartbeats.id, journal.pings, {PING} FROM journal JOIN heartbeats USING (name)
WHERE entry IN (SELECT value FROM json_each(:entries)) ORDER BY 1, 2"""
_DROP_PINGS = """\
DELETE FROM pings WHERE (heartbeat, number) IN (
    SELECT heartbeat, number FROM (
        SELECT name, max(pings - kept) AS dropped FROM journal
        WHERE entry IN (SELECT value FROM json_each(:entries)) GROUP BY name
    ) JOIN heartbeats USING (name) JOIN pings ON heartbeat = heartbeats.id AND number <= dropped
)"""
_DROP_ENTRIES = "DELETE FROM journal WHERE entry IN (SELECT value FROM json_each(:entries))"

_READ_ENTRIES = "SELECT name, entry, length(body) FROM journal ORDER BY entry"
_READ_RECORDS = f"SELECT {RECORD} FROM journal WHERE entry IN (SELECT max(entry) FROM journal GROUP BY name)"
_READ_PINGS = f"""\
SELECT {PING} FROM (
    SELECT number, {PING} FROM pings WHERE heartbeat = (SELECT id FROM heartbeats WHERE name = :name)
    UNION ALL SELECT pings AS number, {PING} FROM journal WHERE name = :name
) WHERE number > (SELECT coalesce(max(pings - kept), 0) FROM journal WHERE name = :name) ORDER BY number DESC"""


class Journal:
    """The journal of an open database. What is done to the database is a part of the transaction that is open."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._waiting: defaultdict[Name, list[int]] = defaultdict(list)
        """The entries on disk that wait to be settled, the oldest first."""
        self._round: list[Name] = []
        """Whose entries settle before it is the turn of all others again, the next one last."""
        self._last = 0
        self._bytes = 0
        self.entries = 0
        """How many wait to be settled."""
        for name, entry, size in db.execute(_READ_ENTRIES):
            self._note(name, entry, size)

    @property
    def full(self) -> bool:
        """Whether some should be settled before more is appended."""
        return self.entries > ENTRIES_AT_MOST or self._bytes > BYTES_AT_MOST

    def append(self, rows: Sequence[Row]) -> None:
        """Add an entry for each of these rows."""
        self._db.executemany(_APPEND, ((self._last + number, *row) for number, row in enumerate(rows, start=1)))

    def noted(self, rows: Iterable[Row]) -> None:
        """What was appended is on disk."""
        for row in rows:
            self._note(row[_NAME], self._last + 1, len(row[-1]))

    def _note(self, name: Name, entry: int, size: int) -> None:
        self._waiting[name].append(entry)
        self._last = entry
        self._bytes += size
        self.entries += 1

    def settle(self, heartbeats: Iterable[Name], at_most: int | None = None) -> Sequence[Name]:
        """Move about so many entries, or all, to their tables; ``heartbeats``: all of them, neighbours side by side.

        Returns whose entries they are, for `settled`.
        """
        if at_most is None or not self._round:
            self._round = [name for name in heartbeats if name in self._waiting][::-1]
        names = self._next(at_most)
        waiting = [self._waiting[name] for name in names]
        entries = {"entries": json.dumps([*chain(*waiting)]), "latest": json.dumps([one[-1] for one in waiting])}
        for statement in (_SETTLE_RECORDS, _SETTLE_PINGS, _DROP_PINGS, _DROP_ENTRIES) if names else ():
            self._db.execute(statement, entries)
        return names

    def _next(self, at_most: int | None) -> Sequence[Name]:
        """Those of the round whose turn it is, until they have so many entries."""
        first, count = len(self._round), 0
        while first and (at_most is None or count < at_most):
            first -= 1
            count += len(self._waiting[self._round[first]])
        return self._round[: first - 1 if first else None : -1]

    def settled(self, names: Sequence[Name]) -> None:
        """What was settled is on disk."""
        del self._round[len(self._round) - len(names) :]
        self.entries -= sum(len(self._waiting.pop(name)) for name in names)
        if not self.entries:
            self._bytes = 0

    def records(self) -> dict[Name, Record]:
        """The records that the entries leave behind."""
        return dict(map(record_of_row, self._db.execute(_READ_RECORDS)))

    def history(self, name: Name) -> Iterator[Ping]:
        """The pings that are kept of a heartbeat, whether they are settled or not, newest first."""
        return map(ping_of_row, self._db.execute(_READ_PINGS, {"name": name}))


def row_of_entry(kept: int, name: Name, record: Record, ping: Ping) -> Row:
    """What is appended for a ping and the record that it leaves behind; ``kept``: how many of the last pings are.

    Its columns are the journal's, the number of the entry aside.
    """
    return (kept, *row_of_record(name, record), *row_of_ping(ping))
