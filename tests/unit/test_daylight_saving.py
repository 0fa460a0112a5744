"""When the clock goes forward and back.

Europe/Berlin: at 01:00 UTC on 29 March and 25 October 2026. America/New_York: at 07:00 UTC on 8 March and 06:00 UTC on
1 November 2026.
"""

from datetime import datetime, timedelta

import pytest
from cronsim import CronSim
from folding import moment, shown

from exporter.schedule import HOUR, MINUTE, SECOND, Cron, Duration, OnCalendar, Schedule, parse_timezone, to_datetime

BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"
HALF_HOUR, QUARTER_TO = (
    "Australia/Lord_Howe",
    "Pacific/Chatham",
)  # the clock changes by half an hour; at 02:45 and 03:45


def walk(schedule: Schedule, after: str, count: int, timezone: str) -> list[str | None]:
    """The first moments after one, as the zone shows them."""
    found, last = [], moment(after)
    for _ in range(count):
        due = schedule.due_after(last)
        assert due is not None
        found.append(shown(due, timezone))
        last = due
    return found


@pytest.mark.parametrize(
    ("line", "timezone", "after", "expected"),
    [
        # What would have run in the skipped hour runs at once after it, and only once.
        ("30 2 * * *", BERLIN, "2026-03-28T12:00+01:00", ["2026-03-29T03:00+02:00", "2026-03-30T02:30+02:00"]),
        ("0,30 2 * * *", BERLIN, "2026-03-28T12:00+01:00", ["2026-03-29T03:00+02:00", "2026-03-30T02:00+02:00"]),
        ("30 2,3 * * *", BERLIN, "2026-03-28T12:00+01:00", ["2026-03-29T03:00+02:00", "2026-03-29T03:30+02:00"]),
        ("0 2,3 * * *", BERLIN, "2026-03-28T12:00+01:00", ["2026-03-29T03:00+02:00", "2026-03-30T02:00+02:00"]),
        ("59 1 * * *", BERLIN, "2026-03-28T12:00+01:00", ["2026-03-29T01:59+01:00", "2026-03-30T01:59+02:00"]),
        ("30 2 29 3 *", BERLIN, "2026-03-28T12:00+01:00", ["2026-03-29T03:00+02:00", "2027-03-29T02:30+02:00"]),
        ("30 2 * * *", NEW_YORK, "2026-03-07T12:00-05:00", ["2026-03-08T03:00-04:00", "2026-03-09T02:30-04:00"]),
        ("@daily", NEW_YORK, "2026-03-07T12:00-05:00", ["2026-03-08T00:00-05:00", "2026-03-09T00:00-04:00"]),
        # What would run in the repeated hour runs the first time only.
        ("30 2 * * *", BERLIN, "2026-10-24T12:00+02:00", ["2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00"]),
        ("30 2 * * *", BERLIN, "2026-10-25T02:15+01:00", ["2026-10-26T02:30+01:00", "2026-10-27T02:30+01:00"]),
        ("0,30 2,3 * * *", BERLIN, "2026-10-25T02:00+02:00", ["2026-10-25T02:30+02:00", "2026-10-25T03:00+01:00"]),
        ("0,30 2,3 * * *", BERLIN, "2026-10-25T02:00+01:00", ["2026-10-25T03:00+01:00", "2026-10-25T03:30+01:00"]),
        ("30 1 * * *", NEW_YORK, "2026-10-31T12:00-04:00", ["2026-11-01T01:30-04:00", "2026-11-02T01:30-05:00"]),
        ("0 1-2 * * *", NEW_YORK, "2026-11-01T01:00-04:00", ["2026-11-01T02:00-05:00", "2026-11-02T01:00-05:00"]),
    ],
)
def test_a_job_at_a_fixed_time_runs_once_whatever_the_clock_does(
    line: str, timezone: str, after: str, expected: list[str]
) -> None:
    assert walk(Cron.parse(line, timezone), after, 2, timezone) == expected


@pytest.mark.parametrize(
    ("line", "timezone", "after", "expected"),
    [
        # Nothing is made up for in the skipped hour.
        ("*/30 * * * *", BERLIN, "2026-03-29T01:00+01:00", ["2026-03-29T01:30+01:00", "2026-03-29T03:00+02:00"]),
        ("*/30 2 * * *", BERLIN, "2026-03-29T01:00+01:00", ["2026-03-30T02:00+02:00", "2026-03-30T02:30+02:00"]),
        ("30 * * * *", BERLIN, "2026-03-29T01:00+01:00", ["2026-03-29T01:30+01:00", "2026-03-29T03:30+02:00"]),
        ("0 */2 * * *", BERLIN, "2026-03-29T00:00+01:00", ["2026-03-29T04:00+02:00", "2026-03-29T06:00+02:00"]),
        ("@hourly", NEW_YORK, "2026-03-08T01:00-05:00", ["2026-03-08T03:00-04:00", "2026-03-08T04:00-04:00"]),
        # The repeated hour comes twice.
        ("*/30 * * * *", BERLIN, "2026-10-25T02:30+02:00", ["2026-10-25T02:00+01:00", "2026-10-25T02:30+01:00"]),
        ("*/30 2 * * *", BERLIN, "2026-10-25T02:00+02:00", ["2026-10-25T02:30+02:00", "2026-10-25T02:00+01:00"]),
        ("*/30 2 * * *", BERLIN, "2026-10-25T02:00+01:00", ["2026-10-25T02:30+01:00", "2026-10-26T02:00+01:00"]),
        ("30 * * * *", BERLIN, "2026-10-25T02:00+02:00", ["2026-10-25T02:30+02:00", "2026-10-25T02:30+01:00"]),
        ("0 */2 * * *", BERLIN, "2026-10-25T01:00+02:00", ["2026-10-25T02:00+02:00", "2026-10-25T02:00+01:00"]),
        ("@hourly", NEW_YORK, "2026-11-01T01:00-04:00", ["2026-11-01T01:00-05:00", "2026-11-01T02:00-05:00"]),
        # Also where the clock does not change by whole hours at a full hour.
        ("* 5 * * 0", HALF_HOUR, "2026-04-05T01:00+11:00", ["2026-04-05T05:00+10:30", "2026-04-05T05:01+10:30"]),
        ("*/15 1 * * *", HALF_HOUR, "2026-04-05T01:30+11:00", ["2026-04-05T01:45+11:00", "2026-04-05T01:30+10:30"]),
        ("50 */3 * * *", QUARTER_TO, "2026-04-05T02:50+13:45", ["2026-04-05T03:50+12:45", "2026-04-05T06:50+12:45"]),
        ("*/15 3 * * *", QUARTER_TO, "2026-04-05T03:30+13:45", ["2026-04-05T03:00+12:45", "2026-04-05T03:15+12:45"]),
    ],
)
def test_a_job_with_a_wildcard_runs_whenever_the_clock_shows_its_time(
    line: str, timezone: str, after: str, expected: list[str]
) -> None:
    assert walk(Cron.parse(line, timezone), after, 2, timezone) == expected


@pytest.mark.parametrize(
    ("text", "timezone", "after", "expected"),
    [
        ("02:30", BERLIN, "2026-03-28T12:00+01:00", ["2026-03-30T02:30+02:00", "2026-03-31T02:30+02:00"]),
        ("*:0/30", BERLIN, "2026-03-29T01:00+01:00", ["2026-03-29T01:30+01:00", "2026-03-29T03:00+02:00"]),
        ("02:30", NEW_YORK, "2026-03-07T12:00-05:00", ["2026-03-09T02:30-04:00", "2026-03-10T02:30-04:00"]),
        ("02:30", BERLIN, "2026-10-24T12:00+02:00", ["2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00"]),
        ("02:30", BERLIN, "2026-10-25T02:15+01:00", ["2026-10-26T02:30+01:00", "2026-10-27T02:30+01:00"]),
        ("*:0/30", BERLIN, "2026-10-25T02:15+01:00", ["2026-10-25T03:00+01:00", "2026-10-25T03:30+01:00"]),
        ("01:30", NEW_YORK, "2026-10-31T12:00-04:00", ["2026-11-01T01:30-04:00", "2026-11-02T01:30-05:00"]),
        # 02:45 local time is 00:45 in UTC, so before 01:30 there, although the local clock then shows 02:30.
        ("02:45\n01:30 UTC", BERLIN, "2026-10-25T02:30+02:00", ["2026-10-25T02:45+02:00", "2026-10-25T02:30+01:00"]),
        (
            "00:30 UTC\n01:30 UTC",
            BERLIN,
            "2026-10-25T02:00+02:00",
            ["2026-10-25T02:30+02:00", "2026-10-25T02:30+01:00"],
        ),
        # A line in UTC knows no daylight saving.
        ("02:30 UTC", BERLIN, "2026-03-28T12:00+01:00", ["2026-03-29T04:30+02:00", "2026-03-30T04:30+02:00"]),
    ],
)
def test_a_calendar_skips_what_the_clock_skips_and_repeats_nothing(
    text: str, timezone: str, after: str, expected: list[str]
) -> None:
    assert walk(OnCalendar.parse(text, timezone), after, 2, timezone) == expected


LINES = [
    "* * * * *",
    "*/20 * * * *",
    "*/45 1,3 * * *",
    "50 */3 * * *",
    "7 2 * * *",
    "0,30 1-3 * * *",
    "* 0 * * *",
    "@daily",
]
CALENDARS = ["*:0/7", "02:30", "hourly", "01..03:0/15", "02:30\n01:15 UTC\n02:45 America/New_York"]
CHANGES = [
    (BERLIN, "2026-03-29T01:00+00:00"),
    (BERLIN, "2026-10-25T01:00+00:00"),
    (NEW_YORK, "2026-03-08T07:00+00:00"),
    (NEW_YORK, "2026-11-01T06:00+00:00"),
    (HALF_HOUR, "2026-04-04T15:00+00:00"),
    (HALF_HOUR, "2026-10-03T15:30+00:00"),
    (QUARTER_TO, "2026-04-04T14:00+00:00"),
    (QUARTER_TO, "2026-09-26T14:00+00:00"),
    ("America/Havana", "2025-11-02T05:00+00:00"),  # at midnight
    ("Antarctica/Troll", "2026-10-25T01:00+00:00"),  # by two hours
]


@pytest.mark.parametrize(("timezone", "change"), CHANGES)
def test_the_changes_above_are_changes_of_the_clock(timezone: str, change: str) -> None:
    zone, at = parse_timezone(timezone), moment(change)
    assert to_datetime(at - 1, zone).utcoffset() != to_datetime(at, zone).utcoffset()


@pytest.mark.parametrize(("timezone", "change"), CHANGES)
@pytest.mark.parametrize("text", LINES + CALENDARS)
def test_due_is_later_than_what_was_asked_and_never_goes_back(text: str, timezone: str, change: str) -> None:
    schedule = (Cron if text in LINES else OnCalendar).parse(text, timezone)
    last = 0
    for asked in range(moment(change) - 4 * HOUR, moment(change) + 4 * HOUR, 7 * MINUTE + 333):
        due = schedule.due_after(asked)
        assert due is not None
        assert due > asked
        assert due >= last
        last = due


@pytest.mark.parametrize(("timezone", "change"), CHANGES)
@pytest.mark.parametrize("line", ["*/20 * * * *", "*/45 1,3 * * *", "50 */3 * * *", "* 0 * * *"])
def test_a_wildcard_means_every_minute_in_which_the_clock_shows_a_match(line: str, timezone: str, change: str) -> None:
    def matches(clock: datetime) -> bool:
        return next(CronSim(line, clock - timedelta(seconds=1))) == clock

    zone, schedule = parse_timezone(timezone), Cron.parse(line, timezone)
    begin, end = moment(change) - 4 * HOUR, moment(change) + 4 * HOUR
    expected = [at for at in range(begin, end, MINUTE) if matches(to_datetime(at, zone).replace(tzinfo=None))]
    found, due = [], schedule.due_after(begin - SECOND)
    while due is not None and due < end:
        found.append(due)
        due = schedule.due_after(due)
    assert found == expected


@pytest.mark.parametrize(
    ("line", "timezone", "due", "gap"),
    [
        ("*/30 * * * *", BERLIN, "2026-10-25T02:00+01:00", 30 * MINUTE),
        ("*/30 * * * *", BERLIN, "2026-03-29T03:00+02:00", 30 * MINUTE),
        ("0 1-4 * * *", BERLIN, "2026-10-25T03:00+01:00", 2 * HOUR),
        ("0 1,3 * * *", BERLIN, "2026-03-29T03:00+02:00", HOUR),
        ("0 */2 * * *", NEW_YORK, "2026-11-01T02:00-05:00", 3 * HOUR),
    ],
)
def test_a_gap_is_elapsed_time_not_what_the_clock_shows(line: str, timezone: str, due: str, gap: Duration) -> None:
    assert Cron.parse(line, timezone).gap_before(moment(due)) == gap
