"""What the columns of SQLite's tables hold: records and pings, there and back."""

from typing import Any, TypeAlias

from exporter.heartbeat import Name, Ping, Record, Run, RunId, Signal

Row: TypeAlias = tuple[Any, ...]

RECORD = (
    "name, armed_at, schedule, paused, removed_at, answered, last_seen, last_success, last_failure, last_start,"
    " successes, failures, starts, logs, pings, consecutive_failures, run_rid, run_started_at, awaiting_since,"
    " last_duration, last_lateness, last_exit_status"
)
"""The columns of a record, its heartbeat's name first."""

PING = "number, at, signal, rid, exit_status, ignored, method, remote, user_agent, body"
"""The columns of a ping, without those that say whose it is."""


def row_of_record(name: Name, record: Record) -> Row:
    """The values of RECORD's columns."""
    run = record.run
    return (
        name,
        record.armed_at,
        record.schedule,
        int(record.paused),
        record.removed_at,
        record.answered,
        record.last_seen,
        record.last_success,
        record.last_failure,
        record.last_start,
        record.successes,
        record.failures,
        record.starts,
        record.logs,
        record.pings,
        record.consecutive_failures,
        None if run is None else run.rid,
        None if run is None else run.started_at,
        record.awaiting_since,
        record.last_duration,
        record.last_lateness,
        record.last_exit_status,
    )


def record_of_row(row: Row) -> tuple[Name, Record]:
    """The heartbeat's name and its record, from the values of RECORD's columns."""
    name, armed_at, schedule, paused, removed_at, answered, *counts, rid, started_at, awaiting_since = row[:19]
    last_seen, last_success, last_failure, last_start, successes, failures, starts, logs, pings, consecutive = counts
    last_duration, last_lateness, last_exit_status = row[19:]
    return Name(name), Record(
        armed_at=armed_at,
        schedule=schedule,
        paused=bool(paused),
        removed_at=removed_at,
        answered=answered,
        last_seen=last_seen,
        last_success=last_success,
        last_failure=last_failure,
        last_start=last_start,
        successes=successes,
        failures=failures,
        starts=starts,
        logs=logs,
        pings=pings,
        consecutive_failures=consecutive,
        run=None if started_at is None else Run(rid, started_at),
        awaiting_since=awaiting_since,
        last_duration=last_duration,
        last_lateness=last_lateness,
        last_exit_status=last_exit_status,
    )


def row_of_ping(name: Name, number: int, ping: Ping) -> Row:
    """The heartbeat's name and the values of PING's columns; ``number`` counts the heartbeat's pings."""
    return (
        name,
        number,
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
    _, at, signal, rid, exit_status, ignored, method, remote, user_agent, body = row
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
