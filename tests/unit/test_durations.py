import re
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.schedule import (
    DAY,
    HOUR,
    MINUTE,
    SECOND,
    Duration,
    ScheduleError,
    format_duration,
    parse_duration,
)

LONGEST = 292 * 365 * DAY


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("1ms", 1),
        ("1s", SECOND),
        ("90s", 90 * SECOND),
        ("1m", MINUTE),
        ("10m", 10 * MINUTE),
        ("1h", HOUR),
        ("1h30m", 90 * MINUTE),
        ("1d", DAY),
        ("1w", 7 * DAY),
        ("2w", 14 * DAY),
        ("1y", 365 * DAY),
        ("1y2w3d4h5m6s7ms", 382 * DAY + 4 * HOUR + 5 * MINUTE + 6 * SECOND + 7),
        ("5m5ms", 5 * MINUTE + 5),
        ("0", 0),
        ("0s", 0),
        ("0h0m", 0),
        ("007m", 7 * MINUTE),
        ("292y", LONGEST),
    ],
)
def test_a_duration_is_read_as_prometheus_reads_it(text: str, length: Duration) -> None:
    assert parse_duration(text) == length


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "00",
        "-0",
        "s",
        "1.5h",
        "-1h",
        "+1h",
        "1H",
        "1M",
        "1 h",
        " 1h",
        "1h ",
        "1h\n",
        "1h 30m",
        "30m1h",
        "1ms1s",
        "1h1h",
        "1µs",
        "1ns",
        "ten minutes",
        "P1D",
        "1_0s",
        "١h",
        "１h",
        "1ſ",
    ],
)
def test_what_is_no_duration_is_refused_with_examples(text: str) -> None:
    with pytest.raises(
        ScheduleError, match=re.escape(f'"{text}" is not a duration (examples: 90s, 10m, 1h30m)') + r"\Z"
    ):
        parse_duration(text)


@pytest.mark.parametrize("text", ["293y", "292y1ms", "9223372036854775807s", "9" * 400 + "ms"])
def test_a_duration_that_prometheus_could_not_hold_is_refused(text: str) -> None:
    with pytest.raises(ScheduleError, match=re.escape(f'"{text}" is too long (at most 292y)')):
        parse_duration(text)


def test_a_text_that_no_duration_needs_is_refused_without_being_repeated() -> None:
    assert parse_duration("1s".zfill(500)) == SECOND
    with pytest.raises(ScheduleError, match=r'\A"0{20}…" is too long \(at most 500 characters\)\Z'):
        parse_duration("1s".zfill(501))


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (0, "0s"),
        (1, "1ms"),
        (999, "999ms"),
        (61 * SECOND + 1, "1m1s1ms"),
        (60 * MINUTE, "1h"),
        (90 * MINUTE, "1h30m"),
        (25 * HOUR, "1d1h"),
        (36 * HOUR, "1d12h"),
        (7 * DAY, "1w"),
        (8 * DAY, "8d"),
        (14 * DAY, "2w"),
        (90 * DAY, "90d"),
        (364 * DAY, "52w"),
        (365 * DAY, "1y"),
        (366 * DAY, "366d"),
        (730 * DAY, "2y"),
        (LONGEST, "292y"),
    ],
)
def test_a_duration_is_spelled_as_prometheus_spells_it(length: Duration, text: str) -> None:
    assert format_duration(length) == text


@settings(deadline=None)
@given(st.integers(min_value=0, max_value=LONGEST))
def test_a_duration_survives_being_spelled_and_read(length: Duration) -> None:
    assert parse_duration(format_duration(length)) == length


@settings(deadline=None)
@given(st.one_of(st.text(), st.text("0123456789ywdhms", max_size=12)))
def test_any_text_is_a_duration_of_at_least_0_or_refused(text: str) -> None:
    with suppress(ScheduleError):
        assert 0 <= parse_duration(text) <= LONGEST
