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
from functools import cache
from itertools import chain
from typing import Any, TypeAlias

from exporter.heartbeat import Name, Ping, Record
from exporter.store.sqlite_rows import PING, RECORD, Row, ping_of_row, record_of_row, row_of_ping, row_of_record

ENTRIES_AT_MOST = 100_000
"""Entries that may wait to be settled: some seconds' worth of the most that comes, and as many to read at a start."""

BYTES_AT_MOST = 64 << 20
"""Bytes of bodies that may wait with them."""

_COLUMNS = f"entry, kept, {RECORD}, {PING}"
_NAME = 1
_VALUES = f"({', '.join('?' for _ in _COLUMNS.split(', '))})"
_APPENDED_AT_MOST = 256
"""Rows in one statement, whose values are far fewer than SQLite takes since 3.32."""

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


@cache
def _appending(count: int) -> str:
    return f"INSERT INTO journal ({_COLUMNS}) VALUES {', '.join([_VALUES] * count)}"


_READ_ENTRIES = "SELECT name, entry, length(body) FROM journal ORDER BY entry"
_READ_RECORDS = f"SELECT {RECORD} FROM journal WHERE entry IN (SELECT max(entry) FROM journal GROUP BY name)"
_READ_PINGS = f"""\
SELECT {PING} FROM (
    SELECT number, {PING} FROM pings WHERE heartbeat = (SELECT id FROM heartbeats WHERE name = :name)
    UNION ALL SELECT pings AS number, {PING} FROM journal WHERE name = :name
) WHERE number > (SELECT coalesce(max(pings - kept), 0) FROM journal WHERE name = :name) ORDER BY number DESC"""


Portion: TypeAlias = tuple[Name, int]
"""A heartbeat, and how many of its oldest entries."""


class Journal:
    """The journal of an open database. What is done to the database is a part of the transaction that is open."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._appended: list[Name] = []
        """Whose the last entries on disk are, as they came: to sort them is left to when they settle."""
        self._waiting: defaultdict[Name, list[int]] = defaultdict(list)
        """All entries before these, the oldest first."""
        self._round: list[Name] = []
        """Whose entries settle before it is the turn of all others again, the next one last."""
        self._last = 0
        self._bytes = 0
        self.entries = 0
        """How many wait to be settled."""
        for name, entry, size in db.execute(_READ_ENTRIES):
            self._waiting[name].append(entry)
            self._last = entry
            self._bytes += size
            self.entries += 1

    @property
    def full(self) -> bool:
        """Whether some should be settled before more is appended."""
        return self.entries > ENTRIES_AT_MOST or self._bytes > BYTES_AT_MOST

    def append(self, rows: Sequence[Row]) -> None:
        """Add an entry for each of these rows."""
        first = 0
        while first < len(rows):
            # As many as a power of two, so that there are few statements to be known, and few steps in which other
            # threads of Python's are given their turn, to be waited for.
            count = min(1 << (len(rows) - first).bit_length() - 1, _APPENDED_AT_MOST)
            values: list[Any] = []
            for entry, row in enumerate(rows[first : first + count], start=self._last + first + 1):
                values.append(entry)
                values += row
            self._db.execute(_appending(count), values)
            first += count

    def noted(self, rows: Sequence[Row]) -> None:
        """What was appended is on disk."""
        self._appended += [row[_NAME] for row in rows]
        self._bytes += sum([len(row[-1]) for row in rows])
        self._last += len(rows)
        self.entries += len(rows)

    def _sort(self) -> None:
        for entry, name in enumerate(self._appended, start=self._last - len(self._appended) + 1):
            self._waiting[name].append(entry)
        self._appended.clear()

    def waiting(self, names: Iterable[Name]) -> list[Portion]:
        """All entries of these heartbeats, as far as they have any."""
        self._sort()
        return [(name, len(self._waiting[name])) for name in names if name in self._waiting]

    def next(self, heartbeats: Iterable[Name], at_most: int) -> list[Portion]:
        """Whose turn it is to be settled, until they have so many entries or all have had their turn.

        ``heartbeats``: all of them, neighbours side by side.
        """
        if not self._round:
            self._sort()
            self._round = [name for name in heartbeats if name in self._waiting][::-1]
        portions: list[Portion] = []
        left = at_most
        while self._round and left:
            name = self._round[-1]
            count = min(left, len(self._waiting.get(name, ())))  # 0: it was settled out of its turn
            if count:
                portions.append((name, count))
            if left > count or count == len(self._waiting[name]):
                self._round.pop()
            left -= count
        return portions

    def settle(self, portions: Sequence[Portion]) -> None:
        """Move the oldest entries of these heartbeats to their tables; to be told `settled` then."""
        entries = [self._waiting[name][:count] for name, count in portions]
        listed = {"entries": json.dumps([*chain(*entries)]), "latest": json.dumps([one[-1] for one in entries])}
        for statement in (_SETTLE_RECORDS, _SETTLE_PINGS, _DROP_PINGS, _DROP_ENTRIES) if entries else ():
            self._db.execute(statement, listed)

    def settled(self, portions: Iterable[Portion]) -> None:
        """What was settled is on disk."""
        for name, count in portions:
            del self._waiting[name][:count]
            if not self._waiting[name]:
                del self._waiting[name]
            self.entries -= count
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
