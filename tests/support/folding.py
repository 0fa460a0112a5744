"""Heartbeats, pings and moments in few words, and records folded over them."""

from datetime import datetime
from typing import Any

from exporter.heartbeat import Assessment, Heartbeat, Name, Ping, Record, RunId, Signal, assess
from exporter.schedule import Cron, Interval, Moment, OnCalendar, parse_timezone, to_datetime, to_moment


def moment(text: str) -> Moment:
    """The moment of a date and time with its offset, such as ``2026-10-25T02:30+01:00``."""
    return to_moment(datetime.fromisoformat(text))


def shown(at: Moment | None, timezone: str = "UTC") -> str | None:
    """The moment as its zone shows it, with the offset, to the minute."""
    return None if at is None else to_datetime(at, parse_timezone(timezone)).isoformat(timespec="minutes")


def every(interval: str, **fields: Any) -> Heartbeat:
    """A heartbeat with an interval."""
    return Heartbeat(Name("job"), Interval.parse(interval), **fields)


def cron(line: str, timezone: str = "UTC", **fields: Any) -> Heartbeat:
    """A heartbeat with a cron line."""
    return Heartbeat(Name("job"), Cron.parse(line, timezone), timezone, **fields)


def calendar(expressions: str, timezone: str = "UTC", **fields: Any) -> Heartbeat:
    """A heartbeat with systemd calendar expressions."""
    return Heartbeat(Name("job"), OnCalendar.parse(expressions, timezone), timezone, **fields)


def _run(rid: str | None) -> RunId | None:
    return None if rid is None else RunId(rid)


def success(at: Moment, rid: str | None = None, exit_status: int | None = None) -> Ping:
    return Ping(at, Signal.SUCCESS, _run(rid), exit_status)


def fail(at: Moment, rid: str | None = None, exit_status: int | None = None) -> Ping:
    return Ping(at, Signal.FAIL, _run(rid), exit_status)


def start(at: Moment, rid: str | None = None) -> Ping:
    return Ping(at, Signal.START, _run(rid))


def log(at: Moment) -> Ping:
    return Ping(at, Signal.LOG)


def fold(heartbeat: Heartbeat, record: Record, *pings: Ping) -> Record:
    """The record once the pings are counted, in this order."""
    for ping in pings:
        record = record.after(ping, heartbeat)
    return record


def lived(heartbeat: Heartbeat, armed_at: Moment, *pings: Ping) -> Record:
    """The record of a heartbeat that was armed and then sent the pings."""
    return fold(heartbeat, Record.armed(heartbeat, armed_at), *pings)


def overdue_from(heartbeat: Heartbeat, record: Record, deadline: Moment) -> bool:
    """Whether the heartbeat is overdue at the moment, and was not a millisecond before."""
    before, then = (assess(heartbeat, record, now, None) for now in (deadline - 1, deadline))
    return then.overdue and not before.overdue


def at(heartbeat: Heartbeat, record: Record, now: Moment) -> Assessment:
    """What the record means at ``now``, had there been no outage of ours."""
    return assess(heartbeat, record, now, None)
