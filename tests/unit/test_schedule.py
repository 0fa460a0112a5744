import re
from contextlib import suppress
from datetime import UTC

import pytest
from folding import moment, shown
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.schedule import (
    DAY,
    HOUR,
    LONG_GAP,
    MINUTE,
    SECOND,
    Cron,
    Duration,
    Interval,
    OnCalendar,
    Schedule,
    ScheduleError,
    parse_timezone,
    to_datetime,
    to_moment,
)

NOW = moment("2026-11-24T10:17:30+00:00")  # a Tuesday


def next_moments(schedule: Schedule, count: int = 3) -> list[str | None]:
    """The first moments after NOW; None where there is none any more."""
    found: list[str | None] = []
    last: int | None = NOW
    for _ in range(count):
        last = None if last is None else schedule.due_after(last)
        found.append(shown(last))
    return found


# --- moments and time zones


def test_a_moment_is_a_unix_time_in_milliseconds() -> None:
    assert moment("1970-01-01T00:00:01.5+00:00") == 1500
    assert moment("2026-11-24T11:17:30+01:00") == NOW == 1_795_515_450_000


def test_a_moment_survives_being_shown_in_a_time_zone() -> None:
    assert to_moment(to_datetime(NOW + 123, parse_timezone("America/St_Johns"))) == NOW + 123


def test_parts_of_a_millisecond_are_cut_off() -> None:
    assert to_moment(to_datetime(NOW).replace(microsecond=1_999)) == NOW + 1


@pytest.mark.parametrize("name", ["UTC", "Etc/UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "GMT"])
def test_iana_names_are_time_zones(name: str) -> None:
    assert to_datetime(NOW, parse_timezone(name)).timestamp() * 1000 == NOW


def test_utc_is_the_object_for_which_the_calendar_libraries_take_a_short_cut() -> None:
    assert parse_timezone("UTC") is UTC


@pytest.mark.parametrize(
    "name", ["", "Europe", "Europe/", "Europe/Nowhere", "../UTC", "/etc/localtime", "é", "\0", "x" * 300]
)
def test_what_is_no_time_zone_is_refused_with_examples(name: str) -> None:
    expected = f'"{name}" is not a time zone (examples: UTC, Europe/Berlin, America/New_York)'
    with pytest.raises(ScheduleError, match=re.escape(expected)):
        parse_timezone(name)
    with pytest.raises(ScheduleError, match=re.escape(expected)):
        Cron.parse("0 3 * * *", name)
    with pytest.raises(ScheduleError, match=re.escape(expected)):
        OnCalendar.parse("daily", name)


# --- intervals


def test_an_interval_is_due_its_length_after_any_moment() -> None:
    assert Interval.parse("1h30m").due_after(NOW) == NOW + 90 * MINUTE


@pytest.mark.parametrize(
    ("text", "gap"), [("1s", SECOND), ("1h", HOUR), ("7h59m59s999ms", LONG_GAP - 1), ("8h", None), ("1d", None)]
)
def test_the_gap_of_an_interval_is_its_length_unless_that_is_long(text: str, gap: Duration | None) -> None:
    assert Interval.parse(text).gap_before(NOW) == gap


@pytest.mark.parametrize("text", ["0", "0s", "999ms"])
def test_an_interval_of_less_than_a_second_is_refused(text: str) -> None:
    with pytest.raises(ScheduleError, match=re.escape(f'"{text}" is too short for an interval (at least 1s)')):
        Interval.parse(text)


def test_an_interval_that_is_no_duration_is_refused() -> None:
    with pytest.raises(ScheduleError, match='"hourly" is not a duration'):
        Interval.parse("hourly")


def test_an_interval_has_one_spelling_and_no_time_zone_in_its_identity() -> None:
    assert Interval.parse("60m").text == Interval.parse("1h").text == "1h"
    assert Interval.parse("60m").identity == Interval.parse("1h").identity == "interval 1h"
    assert Interval.parse("61m").identity != Interval.parse("1h").identity


# --- cron lines


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("0 3 * * *", ["2026-11-25T03:00+00:00", "2026-11-26T03:00+00:00", "2026-11-27T03:00+00:00"]),
        ("*/15 * * * *", ["2026-11-24T10:30+00:00", "2026-11-24T10:45+00:00", "2026-11-24T11:00+00:00"]),
        ("17,18 10 * * *", ["2026-11-24T10:18+00:00", "2026-11-25T10:17+00:00", "2026-11-25T10:18+00:00"]),
        ("0 3 * * 1-5", ["2026-11-25T03:00+00:00", "2026-11-26T03:00+00:00", "2026-11-27T03:00+00:00"]),
        ("0 3 * * sat", ["2026-11-28T03:00+00:00", "2026-12-05T03:00+00:00", "2026-12-12T03:00+00:00"]),
        ("0 3 * * 7", ["2026-11-29T03:00+00:00", "2026-12-06T03:00+00:00", "2026-12-13T03:00+00:00"]),
        ("0 0 31 * *", ["2026-12-31T00:00+00:00", "2027-01-31T00:00+00:00", "2027-03-31T00:00+00:00"]),
        ("0 0 29 feb *", ["2028-02-29T00:00+00:00", "2032-02-29T00:00+00:00", "2036-02-29T00:00+00:00"]),
        # Both day fields restricted: either will do. One of them beginning with a star: both must hold.
        ("0 0 1 * 5", ["2026-11-27T00:00+00:00", "2026-12-01T00:00+00:00", "2026-12-04T00:00+00:00"]),
        ("0 0 */2 * 5", ["2026-11-27T00:00+00:00", "2026-12-11T00:00+00:00", "2026-12-25T00:00+00:00"]),
        ("  0\t3 *  * * ", ["2026-11-25T03:00+00:00", "2026-11-26T03:00+00:00", "2026-11-27T03:00+00:00"]),
        ("@hourly", ["2026-11-24T11:00+00:00", "2026-11-24T12:00+00:00", "2026-11-24T13:00+00:00"]),
        ("@daily", ["2026-11-25T00:00+00:00", "2026-11-26T00:00+00:00", "2026-11-27T00:00+00:00"]),
        ("@midnight", ["2026-11-25T00:00+00:00", "2026-11-26T00:00+00:00", "2026-11-27T00:00+00:00"]),
        ("@weekly", ["2026-11-29T00:00+00:00", "2026-12-06T00:00+00:00", "2026-12-13T00:00+00:00"]),
        ("@monthly", ["2026-12-01T00:00+00:00", "2027-01-01T00:00+00:00", "2027-02-01T00:00+00:00"]),
        ("@yearly", ["2027-01-01T00:00+00:00", "2028-01-01T00:00+00:00", "2029-01-01T00:00+00:00"]),
        ("@annually", ["2027-01-01T00:00+00:00", "2028-01-01T00:00+00:00", "2029-01-01T00:00+00:00"]),
        ("@Daily", ["2026-11-25T00:00+00:00", "2026-11-26T00:00+00:00", "2026-11-27T00:00+00:00"]),
    ],
)
def test_a_cron_line_is_due_when_cron_runs_it(line: str, expected: list[str]) -> None:
    assert next_moments(Cron.parse(line)) == expected


@pytest.mark.parametrize(
    ("timezone", "expected"),
    [
        ("UTC", "2026-11-25T03:00+00:00"),
        ("Europe/Berlin", "2026-11-25T02:00+00:00"),
        ("America/New_York", "2026-11-25T08:00+00:00"),
        ("Asia/Kathmandu", "2026-11-24T21:15+00:00"),
    ],
)
def test_calendars_are_read_in_the_heartbeats_time_zone(timezone: str, expected: str) -> None:
    assert next_moments(Cron.parse("0 3 * * *", timezone), 1) == [expected]
    assert next_moments(OnCalendar.parse("03:00", timezone), 1) == [expected]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("", '"" has 0 fields; a cron line has five: minute hour day-of-month month day-of-week'),
        ("* * * *", '"* * * *" has 4 fields'),
        ("0 0 3 * * *", '"0 0 3 * * *" has 6 fields'),
        ("@every 1h", '"@every 1h" has 2 fields'),
        ("@reboot", '"@reboot" has no time at which it is due; give five fields, or an interval'),
        ("@REBOOT ", '"@reboot" has no time at which it is due'),
        (
            "@fortnightly",
            '"@fortnightly" is not one of @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually',
        ),
        ("60 * * * *", '"60 * * * *" is not a cron line (Bad minute; example: 0 3 * * 1-5)'),
        ("* 24 * * *", '"* 24 * * *" is not a cron line (Bad hour; example'),
        ("0 3 0 * *", '"0 3 0 * *" is not a cron line (Bad day-of-month; example'),
        ("0 3 * 13 *", '"0 3 * 13 *" is not a cron line (Bad month; example'),
        ("0 3 * * 8", '"0 3 * * 8" is not a cron line (Bad day-of-week; example'),
        ("*/0 * * * *", '"*/0 * * * *" is not a cron line (Bad minute; example'),
        ("٥ * * * *", '"٥ * * * *" is not a cron line (Bad minute; example'),
        ("0 0 31 2 *", '"0 0 31 2 *" is not a cron line (Bad day-of-month; example'),
        ("0 0 31 4,6 *", '"0 0 31 4,6 *" is not a cron line (Bad day-of-month; example'),
        ("0 0 LW * */7", '"0 0 LW * */7" never comes'),  # the last working day of a month, if a Sunday
        ("1" * 5000 + " * * * *", '"11111111111111111111…" is too long (at most 500 characters)'),
    ],
)
def test_what_cron_would_never_run_is_refused_with_the_reason(line: str, reason: str) -> None:
    with pytest.raises(ScheduleError, match=re.escape(reason)):
        Cron.parse(line, "Europe/Berlin")


def test_the_text_of_a_cron_line_is_its_five_fields() -> None:
    assert Cron.parse(" 0  3 * * MON ").text == "0 3 * * MON"
    assert Cron.parse("@daily").text == "0 0 * * *"


def test_a_cron_lines_identity_is_what_it_says_and_its_time_zone() -> None:
    berlin = Cron.parse("0 3 * * mon", "Europe/Berlin").identity
    assert Cron.parse(" 0 3 *  * MON", "Europe/Berlin").identity == berlin
    assert Cron.parse("0 4 * * mon", "Europe/Berlin").identity != berlin
    assert Cron.parse("0 3 * * mon", "UTC").identity != berlin
    assert Cron.parse("@daily").identity == Cron.parse("@midnight").identity == Cron.parse("0 0 * * *").identity


# --- systemd calendars


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Mon..Fri 08:00", ["2026-11-25T08:00+00:00", "2026-11-26T08:00+00:00", "2026-11-27T08:00+00:00"]),
        ("*:0/20", ["2026-11-24T10:20+00:00", "2026-11-24T10:40+00:00", "2026-11-24T11:00+00:00"]),
        ("hourly", ["2026-11-24T11:00+00:00", "2026-11-24T12:00+00:00", "2026-11-24T13:00+00:00"]),
        ("quarterly", ["2027-01-01T00:00+00:00", "2027-04-01T00:00+00:00", "2027-07-01T00:00+00:00"]),
        ("*-*~01", ["2026-11-30T00:00+00:00", "2026-12-31T00:00+00:00", "2027-01-31T00:00+00:00"]),
        ("2026-12-24 18:00", ["2026-12-24T18:00+00:00", None, None]),
        ("2027-11-24\n2026-12-24 18:00", ["2026-12-24T18:00+00:00", "2027-11-24T00:00+00:00", None]),
        (
            "Sat 10:00\n\n  Wed   11:00  \n",
            ["2026-11-25T11:00+00:00", "2026-11-28T10:00+00:00", "2026-12-02T11:00+00:00"],
        ),
        ("12:00\n12:00", ["2026-11-24T12:00+00:00", "2026-11-25T12:00+00:00", "2026-11-26T12:00+00:00"]),
        (
            "12:00 Europe/Berlin\n12:00\n12:00 America/New_York",
            ["2026-11-24T11:00+00:00", "2026-11-24T12:00+00:00", "2026-11-24T17:00+00:00"],
        ),
    ],
)
def test_a_calendar_is_due_when_systemd_starts_it(text: str, expected: list[str | None]) -> None:
    assert next_moments(OnCalendar.parse(text)) == expected


def test_a_lines_own_time_zone_goes_before_the_heartbeats() -> None:
    schedule = OnCalendar.parse("12:00 Europe/Berlin\n12:00", "America/New_York")
    assert next_moments(schedule, 2) == ["2026-11-24T11:00+00:00", "2026-11-24T17:00+00:00"]


def test_a_calendar_whose_moments_have_all_passed_is_never_due_again() -> None:
    schedule = OnCalendar.parse("2020-02-29 12:00")
    assert shown(schedule.due_after(0)) == "2020-02-29T12:00+00:00"
    assert schedule.due_after(moment("2020-02-29T12:00+00:00")) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", '"" is not a systemd calendar expression (example: Mon..Fri 08:00)'),
        (" \n ", '" \n " is not a systemd calendar expression (example: Mon..Fri 08:00)'),
        ("25:00", '"25:00" is not a systemd calendar expression (Bad hour; example: Mon..Fri 08:00)'),
        ("Foo 08:00", '"Foo 08:00" is not a systemd calendar expression (Bad day-of-week; example'),
        ("daily\n25:00", '"25:00" is not a systemd calendar expression (Bad hour; example'),
        ("08:00 Europe/Nowhere", '"08:00 Europe/Nowhere" is not a systemd calendar expression (Bad day-of-week'),
        ("08:00 Europe", '"08:00 Europe" is not a systemd calendar expression (Bad time zone; example'),
        ("08:00 " + "x" * 300, "is not a systemd calendar expression (Bad time zone; example"),
        ("٠٨:00", '"٠٨:00" is not a systemd calendar expression (Bad hour; example'),
        ("*-02-31", '"*-02-31" never comes'),
        ("Mon..Fri 08:00\n*-02-30", '"*-02-30" never comes'),
        ("Mon" + "," * 5000 + " 08:00", '"Mon,,,,,,,,,,,,,,,,,…" is too long (at most 500 characters)'),
    ],
)
def test_what_systemd_would_never_start_is_refused_with_the_line_and_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ScheduleError, match=re.escape(reason)):
        OnCalendar.parse(text, "Europe/Berlin")


def test_the_text_of_a_calendar_is_its_lines_with_single_spaces() -> None:
    assert OnCalendar.parse("\n Mon..Fri   08:00 \n\nSat 10:00\n").text == "Mon..Fri 08:00\nSat 10:00"


def test_a_calendars_identity_is_what_it_says_and_its_time_zone() -> None:
    berlin = OnCalendar.parse("Mon  08:00", "Europe/Berlin").identity
    assert OnCalendar.parse("mon 08:00\n", "Europe/Berlin").identity == berlin
    assert OnCalendar.parse("mon 08:01", "Europe/Berlin").identity != berlin
    assert OnCalendar.parse("mon 08:00", "UTC").identity != berlin


def test_schedules_of_different_kinds_never_share_an_identity() -> None:
    assert (
        len({Interval.parse("1h").identity, Cron.parse("@hourly").identity, OnCalendar.parse("hourly").identity}) == 3
    )


# --- all kinds


@pytest.mark.parametrize(
    ("schedule", "due", "gap"),
    [
        (Cron.parse("* * * * *"), "2026-11-24T10:00+00:00", MINUTE),
        (Cron.parse("0 * * * *"), "2026-11-24T10:00+00:00", HOUR),
        (Cron.parse("0 9,10,17 * * *"), "2026-11-24T10:00+00:00", HOUR),
        (Cron.parse("0 9,10,17 * * *"), "2026-11-24T17:00+00:00", 7 * HOUR),
        (Cron.parse("0 9,10,17 * * *"), "2026-11-24T09:00+00:00", None),
        (Cron.parse("1 2,10 * * *"), "2026-11-24T10:01+00:00", None),  # eight hours
        (Cron.parse("1,2 2,10 * * *"), "2026-11-24T10:01+00:00", 8 * HOUR - MINUTE),
        (Cron.parse("0 3 * * *"), "2026-11-24T03:00+00:00", None),
        (OnCalendar.parse("*:*:0/10"), "2026-11-24T10:00+00:00", 10 * SECOND),
        (OnCalendar.parse("08:00\n09:30 Europe/Berlin"), "2026-11-24T08:30+00:00", 30 * MINUTE),
        (OnCalendar.parse("2026-11-24"), "2026-11-24T00:00+00:00", None),  # the first
        (OnCalendar.parse("2026-11-24 10:00\n2026-11-24 10:20"), "2026-11-24T10:20+00:00", 20 * MINUTE),
    ],
)
def test_the_gap_is_the_time_since_the_scheduled_moment_before(
    schedule: Schedule, due: str, gap: Duration | None
) -> None:
    assert schedule.gap_before(moment(due)) == gap


def test_no_scheduled_moment_lies_past_the_end_of_the_calendar() -> None:
    end = moment("9999-12-31T23:59:59+00:00")
    assert Cron.parse("0 3 * * *").due_after(end) is None
    assert Cron.parse("* * * * *", "Asia/Tokyo").due_after(end) is None
    assert Cron.parse("0 3 * * *", "America/New_York").due_after(end + DAY) is None
    assert OnCalendar.parse("daily").due_after(end) is None


FIELD = st.one_of(
    st.from_regex(r"(\*|[0-9]{1,2}(-[0-9]{1,2})?)(/[0-9]{1,2})?", fullmatch=True),
    st.text("0123456789*/-,#LWMON", max_size=5),
)
TIME = st.one_of(
    st.from_regex(r"[0-2]?[0-9]:[0-5][0-9]", fullmatch=True), st.text("0123456789*/-,.:~MonUTC", max_size=10)
)


@settings(deadline=None)
@given(st.one_of(st.text(max_size=30), st.lists(FIELD, min_size=4, max_size=6).map(" ".join)))
def test_any_text_is_a_cron_line_that_comes_or_refused(text: str) -> None:
    with suppress(ScheduleError):
        assert Cron.parse(text, "Europe/Berlin").due_after(NOW) is not None


@settings(deadline=None)
@given(st.one_of(st.text(max_size=30), st.lists(TIME, min_size=1, max_size=4).map(" ".join)))
def test_any_text_is_a_calendar_that_comes_or_refused(text: str) -> None:
    with suppress(ScheduleError):
        assert OnCalendar.parse(text, "Europe/Berlin").due_after(0) is not None
