"""Schedules as they are declared: each text is parsed once, each calendar looked at once, however many share it."""

from typing import Literal, TypeAlias

from exporter.schedule import Cron, Duration, Moment, OnCalendar, Schedule, ScheduleError

Calendar: TypeAlias = Literal["cron", "oncalendar"]

_REFERENCE: Moment = 1_704_067_200_000
"""2024-01-01 00:00 UTC, a Monday. Calendars are judged from here, so that a warning does not depend on the day."""
_LOOKED_AT = 10
"""How many moments of a calendar are looked at."""


class Schedules:
    """The schedules of one configuration."""

    def __init__(self) -> None:
        self._calendars: dict[tuple[Calendar, str, str], Schedule | ScheduleError] = {}
        self._gaps: dict[str, Duration | None] = {}

    def calendar(self, kind: Calendar, text: str, timezone: str) -> Schedule:
        """The schedule of a cron line or a systemd calendar in a time zone. Raises ScheduleError."""
        key = (kind, text, timezone)
        if key not in self._calendars:
            try:
                self._calendars[key] = (Cron if kind == "cron" else OnCalendar).parse(text, timezone)
            except ScheduleError as error:
                self._calendars[key] = error
        known = self._calendars[key]
        if isinstance(known, ScheduleError):
            raise ScheduleError(*known.args)
        return known

    def interval(self, schedule: Schedule) -> Duration | None:
        """The interval, or the shortest one between a calendar's next moments; None where there are not two."""
        if schedule.identity not in self._gaps:
            self._gaps[schedule.identity] = _shortest_gap(schedule)
        return self._gaps[schedule.identity]


def _shortest_gap(schedule: Schedule) -> Duration | None:
    shortest: Duration | None = None
    before = schedule.due_after(_REFERENCE)
    for _ in range(_LOOKED_AT):
        due = None if before is None else schedule.due_after(before)
        if before is None or due is None:
            break
        shortest = due - before if shortest is None else min(shortest, due - before)
        before = due
    return shortest
