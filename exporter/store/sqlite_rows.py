"""What the columns of SQLite's tables hold: records and pings, there and back.

Columns are named after fields and stand in their order, but for those of a record's run, which are two.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

from exporter.heartbeat import Name, Ping, Record, Run, RunId, Signal

Row: TypeAlias = Sequence[Any]

RECORD = ", ".join(("name", *Record._fields)).replace("run,", "run_rid, run_started_at,")
"""The columns of a record, its heartbeat's name first."""

PING = ", ".join(Ping._fields)
"""The columns of a ping, without those that say whose it is and which."""

_RUN = Record._fields.index("run")
_PAUSED = Record._fields.index("paused")


def row_of_record(name: Name, record: Record) -> Row:
    """The values of RECORD's columns."""
    row: list[Any] = [name, *record]
    row[_PAUSED + 1] = int(record.paused)
    row[_RUN + 1 : _RUN + 2] = (None, None) if record.run is None else record.run
    return row


def record_of_row(row: Row) -> tuple[Name, Record]:
    """The heartbeat's name and its record, from the values of RECORD's columns."""
    name, *before, rid, started_at = row[: _RUN + 3]
    before[_PAUSED] = bool(before[_PAUSED])
    run = None if started_at is None else Run(rid, started_at)
    return Name(name), Record._make((*before, run, *row[_RUN + 3 :]))


def row_of_ping(ping: Ping) -> Row:
    """The values of PING's columns."""
    return (
        ping.at,
        ping.signal.value,
        ping.rid,
        ping.exit_status,
        int(ping.ignored),
        _encodable(ping.method),
        _encodable(ping.remote),
        _encodable(ping.user_agent),
        ping.body,
    )


def ping_of_row(row: Row) -> Ping:
    """The ping, from the values of PING's columns."""
    at, signal, rid, exit_status, ignored, method, remote, user_agent, body = row
    return Ping(
        at=at,
        signal=Signal(signal),
        rid=None if rid is None else RunId(rid),
        exit_status=exit_status,
        ignored=bool(ignored),
        method=method,
        remote=remote,
        user_agent=user_agent,
        body=body,
    )


def _encodable(text: str) -> str:
    """The text with whatever UTF-8 cannot express, such as a stray byte in a header, written as an escape."""
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()
