"""When the next check-in is due: intervals, cron lines and systemd calendars, and the durations they are written in.

Everything here is pure: no clock is read. A *moment* is a Unix time and a *duration* a length of time, both in whole
milliseconds, which is the resolution of Prometheus's own timestamps and durations; integers keep sums and
comparisons exact where floating-point seconds would not.
"""

import re
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from heapq import merge
from typing import Protocol, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError
from oncalendar import OnCalendar as OnCalendarMoments
from oncalendar import OnCalendarError

Moment: TypeAlias = int
Duration: TypeAlias = int

SECOND: Duration = 1_000
MINUTE: Duration = 60 * SECOND
HOUR: Duration = 60 * MINUTE
DAY: Duration = 24 * HOUR

LONG_GAP: Duration = 8 * HOUR
"""A gap that is at least this long counts as merely "long": from here on neither the automatic grace (an eighth, at
most one hour) nor the tolerance for early check-ins (at most five minutes) grows with it."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)

_UNITS: dict[str, Duration] = {
    "y": 365 * DAY,
    "w": 7 * DAY,
    "d": DAY,
    "h": HOUR,
    "m": MINUTE,
    "s": SECOND,
    "ms": 1,
}
_DURATION = re.compile("".join(rf"(?:(?P<{unit}>[0-9]+){unit})?" for unit in _UNITS))
_LONGEST: Duration = 292 * _UNITS["y"]  # Prometheus holds durations in 64-bit nanoseconds, which end here.
_LONGEST_TEXT = 500  # Nothing sensible is longer; far beyond, the libraries' parsers fail in ways of their own.

_CRON_ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}


class ScheduleError(ValueError):
    """A duration, time zone, cron line or calendar that means nothing; the message says what would be right."""


def _check_length(text: str) -> None:
    if len(text) > _LONGEST_TEXT:
        raise ScheduleError(f'"{text[:20]}…" is too long (at most {_LONGEST_TEXT} characters)')


def parse_duration(text: str) -> Duration:
    """The length that a Prometheus duration such as ``90s``, ``1h30m`` or ``2w`` stands for; a bare ``0`` is one.

    Raises ScheduleError. The grammar is that of Prometheus's configuration files.
    """
    _check_length(text)
    match = _DURATION.fullmatch(text)
    if text == "0":
        return 0
    if match is None or not text:
        raise ScheduleError(f'"{text}" is not a duration (examples: 90s, 10m, 1h30m)')
    length = sum(int(count) * _UNITS[unit] for unit, count in match.groupdict(default="0").items())
    if length > _LONGEST:
        raise ScheduleError(f'"{text}" is too long (at most 292y)')
    return length


def format_duration(length: Duration) -> str:
    """The Prometheus duration for a length of at least 0, spelled as Prometheus spells it: 90 minutes are ``1h30m``.

    Years and weeks appear only where they divide what is left, so 90 days are ``90d`` and not ``12w6d``.
    """
    if length == 0:
        return "0s"
    parts = []
    for unit, size in _UNITS.items():
        if unit in ("y", "w") and length % size:
            continue
        count, length = divmod(length, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)


def parse_timezone(name: str) -> tzinfo:
    """The time zone of an IANA name such as ``Europe/Berlin``. Raises ScheduleError."""
    if name == "UTC":
        return UTC  # The calendar libraries take a short cut for this very object.
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ScheduleError(f'"{name}" is not a time zone (examples: UTC, Europe/Berlin, America/New_York)') from None


def to_datetime(moment: Moment, zone: tzinfo = UTC) -> datetime:
    """The moment as a date and time in a zone."""
    return (_EPOCH + moment * _MILLISECOND).astimezone(zone)


def to_moment(when: datetime) -> Moment:
    """The moment of an aware date and time, parts of a millisecond cut off."""
    return (when - _EPOCH) // _MILLISECOND


class Schedule(Protocol):
    """The moments at which a heartbeat is expected to check in."""

    @property
    def text(self) -> str:
        """The schedule in one canonical spelling, for people and labels: 60m and 1h are both ``1h``."""

    @property
    def identity(self) -> str:
        """What two schedules share when they count as the same: kind, text and, where it matters, time zone."""

    def due_after(self, moment: Moment) -> Moment | None:
        """The first scheduled moment later than ``moment``; None when there is none any more."""

    def gap_before(self, due: Moment) -> Duration | None:
        """From the scheduled moment before ``due`` to ``due``; None when that is at least LONG_GAP, or the first."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Due a fixed length of time after the last check-in."""

    every: Duration

    @classmethod
    def parse(cls, text: str) -> "Interval":
        """The schedule of ``interval: <text>``, at least one second. Raises ScheduleError."""
        every = parse_duration(text)
        if every < SECOND:
            raise ScheduleError(f'"{text}" is too short for an interval (at least 1s)')
        return cls(every)

    @property
    def text(self) -> str:
        return format_duration(self.every)

    @property
    def identity(self) -> str:
        # Without the zone: elapsed time is the same everywhere, and a job that is overdue must not stop being so
        # because somebody set a default time zone.
        return f"interval {self.text}"

    def due_after(self, moment: Moment) -> Moment:
        return moment + self.every

    def gap_before(self, due: Moment) -> Duration | None:
        return self.every if self.every < LONG_GAP else None


class _Worked:
    """What was worked out last of a calendar, which many ask the same of: a look at a calendar takes long.

    Each is replaced as a whole, so that threads may share it.
    """

    __slots__ = ("dues", "gaps")

    def __init__(self) -> None:
        self.dues: tuple[tuple[Moment, Moment | None], ...] = ()
        """Moments, each with the first scheduled one after it: the same that is due after any moment in between."""
        self.gaps: tuple[tuple[Moment, Duration | None], ...] = ()
        """Scheduled moments, each with the gap before it."""


_WORKED_AT_MOST = 4
"""More than the moments that one check-in asks about: its own due one and the next."""


class _Calendar(ABC):
    """What cron lines and systemd calendars share: scheduled moments come from an iterator of dates in one zone."""

    __slots__ = ()
    timezone: str
    _worked: _Worked

    @abstractmethod
    def _dates(self, after: datetime) -> Iterator[datetime]:
        """The scheduled dates after one, in its zone; some before it may come, too."""

    def _moments_after(self, moment: Moment) -> Iterator[Moment]:
        try:
            for when in self._dates(to_datetime(moment, parse_timezone(self.timezone))):
                # Both libraries compute in local time, so in an hour that the clock repeats they may step back.
                if (found := to_moment(when)) > moment:
                    yield found
        except OverflowError:  # the end of the calendar, year 9999
            return

    def due_after(self, moment: Moment) -> Moment | None:
        for known, due in self._worked.dues:
            if known <= moment and (due is None or moment < due):
                return due
        due = next(self._moments_after(moment), None)
        self._worked.dues = ((moment, due), *self._worked.dues[: _WORKED_AT_MOST - 1])
        return due

    def gap_before(self, due: Moment) -> Duration | None:
        for known, gap in self._worked.gaps:
            if known == due:
                return gap
        gap = self._look_before(due)
        self._worked.gaps = ((due, gap), *self._worked.gaps[: _WORKED_AT_MOST - 1])
        return gap

    def _look_before(self, due: Moment) -> Duration | None:
        # Neither library steps back reliably across changes of the clock, so look ahead from ever earlier moments.
        window = MINUTE
        while True:
            before = None
            for moment in self._moments_after(due - window - SECOND):
                if moment >= due:
                    break
                before = moment
            if before is not None:
                gap = due - before
                return gap if gap < LONG_GAP else None
            if window >= LONG_GAP:
                return None
            window = min(8 * window, LONG_GAP)


@dataclass(frozen=True, slots=True)
class Cron(_Calendar):
    """Due at the moments of a cron line, daylight saving treated as Debian's cron treats it (see cron(8))."""

    expression: str
    timezone: str
    _worked: _Worked = field(default_factory=_Worked, init=False, repr=False, compare=False)

    @classmethod
    def parse(cls, text: str, timezone: str = "UTC") -> "Cron":
        """The schedule of ``cron: <text>``: five fields, or @hourly … @yearly. Raises ScheduleError."""
        parse_timezone(timezone)
        _check_length(text)
        words = text.split()
        if text.strip().lower() == "@reboot":
            raise ScheduleError('"@reboot" has no time at which it is due; give five fields, or an interval')
        if len(words) == 1 and words[0].startswith("@"):
            alias = _CRON_ALIASES.get(words[0].lower())
            if alias is None:
                raise ScheduleError(f'"{text}" is not one of {", ".join(_CRON_ALIASES)}')
            words = alias.split()
        if len(words) != 5:
            raise ScheduleError(
                f'"{text}" has {len(words)} fields; a cron line has five: minute hour day-of-month month day-of-week'
            )
        schedule = cls(" ".join(words), timezone)
        try:
            first = schedule.due_after(0)
        except CronSimError as error:
            raise ScheduleError(f'"{text}" is not a cron line ({error}; example: 0 3 * * 1-5)') from None
        if first is None:
            raise ScheduleError(f'"{text}" never comes')
        return schedule

    @property
    def text(self) -> str:
        return self.expression

    @property
    def identity(self) -> str:
        return f"cron {self.expression.upper()} {self.timezone}"

    def _dates(self, after: datetime) -> Iterator[datetime]:
        minute, hour = self.expression.split()[:2]
        if after.tzinfo is UTC or not (minute.startswith("*") or hour.startswith("*")):
            return CronSim(self.expression, after)
        return self._whenever_the_clock_shows(after)

    def _whenever_the_clock_shows(self, after: datetime) -> Iterator[datetime]:
        # cron(8) runs a job with a wildcard whenever the clock shows its time: twice in a repeated hour, never in a
        # skipped one. CronSim knows that too, but where the clock changes by half an hour (Lord Howe) or at a quarter
        # to (Chatham) it misses moments or never returns. So it is asked what the clock shows, without a time zone.
        zone, clock, span = after.tzinfo, after.replace(tzinfo=None), timedelta(hours=3)
        soon = (after.astimezone(UTC) + span).astimezone(zone).replace(tzinfo=None)
        repeats: deque[datetime] = deque()
        for shown in CronSim(self.expression, min(clock, soon - span)):  # earlier, if the clock is about to go back
            first, second = (shown.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
            if first.astimezone(zone).replace(tzinfo=None) != shown:
                continue  # skipped
            while repeats and repeats[0] < first:
                yield repeats.popleft()
            yield first
            if second > first:
                repeats.append(second)


@dataclass(frozen=True, slots=True)
class OnCalendar(_Calendar):
    """Due at the moments of one or several systemd calendar expressions, one a line (see systemd.time(7)).

    A line may end in a time zone of its own; the heartbeat's zone holds for the others.
    """

    expressions: str
    timezone: str
    _worked: _Worked = field(default_factory=_Worked, init=False, repr=False, compare=False)

    @classmethod
    def parse(cls, text: str, timezone: str = "UTC") -> "OnCalendar":
        """The schedule of ``oncalendar: <text>``. Raises ScheduleError, also for one that can never come."""
        parse_timezone(timezone)
        lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
        if not lines:
            raise ScheduleError(f'"{text}" is not a systemd calendar expression (example: Mon..Fri 08:00)')
        for line in lines:
            _check_length(line)
            try:
                first = cls(line, timezone).due_after(0)
            except (OnCalendarError, OSError) as error:  # OSError: for a time zone like "Europe", which is a folder
                reason = error if isinstance(error, OnCalendarError) else "Bad time zone"
                raise ScheduleError(
                    f'"{line}" is not a systemd calendar expression ({reason}; example: Mon..Fri 08:00)'
                ) from None
            if first is None:
                raise ScheduleError(f'"{line}" never comes')
        return cls("\n".join(lines), timezone)

    @property
    def text(self) -> str:
        return self.expressions

    @property
    def identity(self) -> str:
        return f"oncalendar {self.expressions.lower()} {self.timezone}"

    def _dates(self, after: datetime) -> Iterator[datetime]:
        # Line by line, since the library orders the moments of several by what the local clock shows, also when that
        # goes back.
        return merge(*(OnCalendarMoments(line, after) for line in self.expressions.splitlines()), key=to_moment)
