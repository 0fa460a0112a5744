"""Long work leaves the event loop to others again and again, counted in its turns, since times are noise."""

import sys
from typing import Any

import pytest
from pages import survey_of
from turning import turns_during

from exporter.heartbeat import Heartbeat, Name, Observation, Ping, Record, Signal, Survey, assess
from exporter.metrics.kept import KeptLines
from exporter.metrics.lines import SERIES
from exporter.metrics.page import Sheet
from exporter.outlook import Outlook
from exporter.schedule import HOUR, Interval
from exporter.turns import SLICE_SECONDS, share_with_threads
from exporter.web.scrape import _AT_ONCE, in_parts

NOW = 1_790_000_000_000
MANY = 60
HEARTBEATS = tuple(Heartbeat(Name(f"job-{number}"), Interval(HOUR)) for number in range(MANY))
RECORDS = {heartbeat.name: Record.armed(heartbeat, NOW) for heartbeat in HEARTBEATS}


@pytest.fixture(autouse=True)
def _over_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exporter.turns.SLICE_SECONDS", 0)


def pinged(at: int) -> Survey:
    return survey_of(
        NOW,
        *(
            Observation(heartbeat, record, assess(heartbeat, record, NOW, None))
            for heartbeat in HEARTBEATS
            for record in [RECORDS[heartbeat.name].after(Ping(at, Signal.SUCCESS), heartbeat)]
        ),
    )


async def test_lines_are_rendered_and_mended_in_slices() -> None:
    lines = KeptLines()
    assert await turns_during(lines.revise(pinged(NOW + 1))) >= MANY
    assert await turns_during(lines.revise(pinged(NOW + 2))) >= len(SERIES)


async def test_heartbeats_are_looked_at_and_their_moments_heard_of_in_slices() -> None:
    outlook = Outlook(HEARTBEATS, RECORDS)
    assert await turns_during(outlook.survey(NOW, None)) >= MANY
    assert await turns_during(outlook.survey(NOW + 2 * HOUR, None)) >= 2 * MANY


async def test_a_page_is_handed_on_whole_in_parts_that_are_not_large() -> None:
    pieces = [bytes([number]) * size for number, size in enumerate((1, 70_000, 0, 3 * _AT_ONCE + 5, 60_000, _AT_ONCE))]
    written: list[bytes] = []

    class Writer:
        async def write(self, part: bytes) -> None:
            written.append(part)

    body: Any = in_parts(Sheet(pieces, sum(map(len, pieces)))).body
    await body.write(Writer())
    assert b"".join(written) == b"".join(pieces)
    assert max(map(len, written)) <= _AT_ONCE


def test_a_thread_that_waits_for_the_interpreter_has_it_within_a_slice() -> None:
    before = sys.getswitchinterval()
    try:
        share_with_threads()
        assert sys.getswitchinterval() < SLICE_SECONDS
    finally:
        sys.setswitchinterval(before)
