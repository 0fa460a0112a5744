"""What hypothesis may try: moments, schedules, heartbeats and pings."""

from itertools import product

from folding import moment
from hypothesis import strategies as st

from exporter.heartbeat import Heartbeat, Name, Ping, RunId, Signal
from exporter.schedule import DAY, HOUR, MINUTE, SECOND, Cron, Duration, Interval, Moment, OnCalendar, Schedule

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Chatham", "Asia/Kathmandu"]
_LINES = ["* * * * *", "*/20 * * * *", "30 2 * * *", "0 */3 * * *", "0,7 2,3 * * 1-5", "15 1 29 2 *", "@monthly"]
_CALENDARS = [
    "*:*:0/30",
    "hourly",
    "02:30",
    "Mon..Fri 01..03:0/15",
    "08:00 Asia/Tokyo\n02:45\n01:15 UTC",
    "*-*~01 03:00",
]
_CHANGES = ["2026-03-29T01:00Z", "2026-10-25T01:00Z", "2026-11-01T06:00Z", "2026-04-04T14:30Z", "2026-09-26T14:00Z"]

T0 = moment("2026-10-23T10:00Z")  # two days before a change of the clock


def durations(shortest: Duration, longest: Duration) -> st.SearchStrategy[Duration]:
    return st.integers(min_value=shortest, max_value=longest)


def moments() -> st.SearchStrategy[Moment]:
    """Moments of two years, often near changes of the clock."""
    years = durations(moment("2026-01-01T00:00Z"), moment("2028-01-01T00:00Z"))
    near = st.builds(lambda change, by: moment(change) + by, st.sampled_from(_CHANGES), durations(-5 * HOUR, 5 * HOUR))
    return st.one_of(years, near, near.map(lambda at: at - at % MINUTE))


def calendars() -> st.SearchStrategy[Schedule]:
    crons: list[Schedule] = [Cron.parse(line, zone) for line, zone in product(_LINES, ZONES)]
    return st.sampled_from(crons + [OnCalendar.parse(text, zone) for text, zone in product(_CALENDARS, ZONES)])


def schedules() -> st.SearchStrategy[Schedule]:
    return st.one_of(durations(SECOND, 3 * DAY).map(Interval), calendars())


def graces() -> st.SearchStrategy[Duration]:
    return st.one_of(st.sampled_from([0, MINUTE, HOUR]), durations(0, 2 * DAY))


def heartbeats(grace: Duration | None = None) -> st.SearchStrategy[Heartbeat]:
    """Heartbeats with any schedule and max_runtime, and the grace given or, without one, any."""
    return st.builds(
        Heartbeat,
        name=st.just(Name("job")),
        schedule=schedules(),
        grace=st.none() | graces() if grace is None else st.just(grace),
        max_runtime=st.none() | durations(1, 2 * DAY),
        failure_threshold=st.integers(1, 3),
    )


def pings() -> st.SearchStrategy[Ping]:
    """Pings of any kind within some days of T0, not in order, often near a full hour."""
    hourly = st.builds(
        lambda hours, by: hours * HOUR + by, durations(-24, 72), st.sampled_from([0, -2_000, -6 * MINUTE, 1])
    )
    return st.builds(
        Ping,
        at=st.one_of(durations(-DAY, 3 * DAY), hourly).map(lambda after: T0 + after),
        signal=st.sampled_from(Signal),
        rid=st.sampled_from([None, RunId("a"), RunId("b")]),
        exit_status=st.none() | st.integers(0, 255),
        ignored=st.sampled_from([False, False, False, True]),
    )


def lives() -> st.SearchStrategy[list[Ping]]:
    """What a heartbeat may be sent since it was armed at T0."""
    return st.lists(pings(), max_size=12)
