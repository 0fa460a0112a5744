"""Our own outages, in a real process whose wall clock is set: no page for what we could not hear, and none forgotten.

The clock stands still between the steps, so what is said of a moment is said of exactly that one.
"""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from load import KEY
from servers import Scrape, curl, eventually
from victim import UNLIMITED, DisplacedVictim, Victim

from exporter.schedule import SECOND, Moment, to_datetime

T0: Moment = int(datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()) * SECOND
START = T0 + 25 * SECOND
"""The last moment at which the exporter listened."""
GRACE = 20 * SECOND
HOUR = 3600
INSTANT = 2


def config(span: int) -> str:
    """What is watched; an outage that begins at START lasts for so many seconds."""
    return f"""
outage_grace: 20s
pings: {{keys: [{{key: {KEY}}}]}}
defaults: {{grace: 0s}}
heartbeats:
  - {{name: missed-before, interval: 20s}}
  - {{name: due-at-once, interval: 26s}}
  - {{name: due-inside, interval: {25 + span // 2}s}}
  - {{name: due-at-the-end, interval: {25 + span}s}}
  - {{name: due-in-the-grace, interval: {25 + span + 10}s}}
  - {{name: due-after-the-grace, interval: {25 + span + 22}s}}
  - {{name: busy, interval: 1d, max_runtime: {25 + span // 2}s}}
  - {{name: alive, interval: 26s}}
"""


NEVER_HEARD_AGAIN = {"due-at-once", "due-inside", "due-at-the-end", "due-in-the-grace", "busy"}


def ping(victim: Victim, path: str) -> None:
    curl(f"http://127.0.0.1:{victim.port}/ping/{KEY}/{path}")


def overdue(page: Scrape) -> set[str]:
    return {name for name, value in page.each("heartbeat_overdue").items() if value}


def outage(page: Scrape) -> tuple[float, float]:
    """The start and end of the last outage, in seconds."""
    return (
        page.value("heartbeat_exporter_last_outage_start_timestamp_seconds"),
        page.value("heartbeat_exporter_last_outage_end_timestamp_seconds"),
    )


def page_at(victim: DisplacedVictim, moment: Moment) -> Scrape:
    victim.set_clock(moment)
    return victim.scrape()


@contextmanager
def having_listened(folder: Path, span: int) -> Iterator[DisplacedVictim]:
    """One that has listened from T0 to START, and has shown one heartbeat as overdue."""
    with DisplacedVictim(folder, config(span), T0) as victim:
        victim.start()
        ping(victim, "alive")
        ping(victim, "busy/start")
        page = page_at(victim, START)
        assert overdue(page) == {"missed-before"}
        assert outage(page) == (0, 0)
        yield victim


def restart(victim: DisplacedVictim, end: Moment) -> None:
    assert victim.stop(signal.SIGTERM) == 0
    victim.set_clock(end)
    victim.start()


def crash(victim: DisplacedVictim, end: Moment) -> None:
    assert victim.stop(signal.SIGKILL) == -signal.SIGKILL
    victim.set_clock(end)
    victim.start()


def suspension(victim: DisplacedVictim, end: Moment) -> None:
    victim.suspend()
    victim.set_clock(end)
    victim.resume()


def jump(victim: DisplacedVictim, end: Moment) -> None:
    victim.set_clock(end)


def fail(victim: DisplacedVictim) -> None:
    """Let its disk fail."""
    victim.limit_files(8 * 1024)  # the database's log is longer than that, the one for people is not
    assert victim.request(f"/ping/{KEY}/alive").status == 503


def recover(victim: DisplacedVictim) -> None:
    """Let its disk work again, which the exporter finds out by noting that it listens."""
    victim.limit_files(UNLIMITED)
    eventually("it is ready again", lambda: victim.request("/-/ready").status == 200, victim)


def failing_disk(victim: DisplacedVictim, end: Moment) -> None:
    fail(victim)
    victim.set_clock(end)
    recover(victim)


def jump_and_crash(victim: DisplacedVictim, end: Moment) -> None:
    """One outage that begins within the grace of another is one with it."""
    victim.set_clock(START + (end - START) // 2 // SECOND * SECOND)
    assert overdue(victim.scrape()) == {"missed-before"}
    crash(victim, end)


@pytest.mark.parametrize(
    ("happens", "span"),
    [
        (restart, HOUR),
        (restart, INSTANT),
        (crash, HOUR),
        (crash, INSTANT),
        (suspension, HOUR),
        (jump, HOUR),
        (failing_disk, HOUR),
        (jump_and_crash, HOUR),
    ],
)
def test_an_outage_moves_what_fell_into_it_and_nothing_else(
    tmp_path: Path, happens: Callable[[DisplacedVictim, Moment], None], span: int
) -> None:
    end = START + span * SECOND
    with having_listened(tmp_path, span) as victim:
        happens(victim, end)
        check_that_it_is_told(victim, end)
        check_who_pages(victim, end)


def check_that_it_is_told(victim: DisplacedVictim, end: Moment) -> None:
    """The metrics, the log and the page for people name the outage."""
    assert outage(victim.scrape()) == (START / SECOND, end / SECOND)
    shown = [to_datetime(moment) for moment in (START, end)]
    (*_, line) = (line for line in victim.log.splitlines() if "outage: no ping could be heard" in line)
    seconds = (end - START) / SECOND
    assert f"start={shown[0].isoformat()} end={shown[1].isoformat()} seconds={seconds}" in line
    first, last = (f"<time>{moment:%Y-%m-%d %H:%M:%S}Z</time>" for moment in shown)
    assert f"Last outage of this exporter: {first} to {last}" in victim.request("/").text


def check_who_pages(victim: DisplacedVictim, end: Moment) -> None:
    """What was overdue is so throughout, what fell into the span pages after the grace, what is heard does not."""
    page = victim.scrape()
    assert overdue(page) == {"missed-before"}
    deadlines = page.each("heartbeat_deadline_timestamp_seconds")
    assert {deadlines[name] for name in NEVER_HEARD_AGAIN} == {(end + GRACE) / SECOND}

    victim.set_clock(end + 5 * SECOND)
    ping(victim, "alive")
    assert overdue(victim.scrape()) == {"missed-before"}
    assert overdue(page_at(victim, end + GRACE - SECOND)) == {"missed-before"}
    assert overdue(page_at(victim, end + GRACE)) == {"missed-before"} | NEVER_HEARD_AGAIN
    assert "due-after-the-grace" not in overdue(page_at(victim, end + 21 * SECOND))
    page = page_at(victim, end + 22 * SECOND)
    assert overdue(page) == {"missed-before", "due-after-the-grace"} | NEVER_HEARD_AGAIN
    assert outage(page) == (START / SECOND, end / SECOND)


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[DisplacedVictim]:
    """One that has listened from T0 to START, and has shown one heartbeat as overdue."""
    with having_listened(tmp_path, HOUR) as victim:
        yield victim


BACK = START - HOUR * SECOND


def go_back(victim: DisplacedVictim) -> None:
    """Set its clock back, and have it note with that clock that it listens, without ten seconds until it would."""
    fail(victim)
    victim.set_clock(BACK)
    recover(victim)


def test_a_wall_clock_that_jumps_back_is_no_outage_and_moves_no_deadline(victim: DisplacedVictim) -> None:
    before = victim.scrape()
    go_back(victim)
    page = victim.scrape()
    assert outage(page) == (0, 0)
    for metric in ("deadline", "due", "last_seen", "last_success", "last_start"):
        name = f"heartbeat_{metric}_timestamp_seconds"
        assert page.each(name) == before.each(name), metric
    ping(victim, "alive")
    assert victim.scrape().each("heartbeat_due_timestamp_seconds") == before.each("heartbeat_due_timestamp_seconds")
    assert "no ping could be heard" not in victim.log
    assert "Last outage" not in victim.request("/").text


def test_what_was_overdue_before_the_wall_clock_jumped_back_is_overdue_once_it_is_right_again(
    victim: DisplacedVictim,
) -> None:
    go_back(victim)
    assert overdue(page_at(victim, START)) == {"missed-before"}


def test_a_wall_clock_that_jumps_ahead_and_back_keeps_nobody_from_paging_in_time(victim: DisplacedVictim) -> None:
    assert overdue(page_at(victim, START + HOUR * SECOND)) == {"missed-before"}
    fail(victim)
    victim.set_clock(START)
    recover(victim)
    page = victim.scrape()
    assert overdue(page) == {"missed-before"}
    assert outage(page) == (START / SECOND, START / SECOND)
    victim.set_clock(START + 5 * SECOND)
    ping(victim, "alive")
    assert overdue(page_at(victim, START + GRACE - SECOND)) == {"missed-before"}
    assert overdue(page_at(victim, START + GRACE)) == {"missed-before", "due-at-once"}


def test_a_process_that_was_stopped_for_longer_than_the_tick_reports_the_outage(tmp_path: Path) -> None:
    """The one with a real clock: nothing is set, and a deadline falls into the span."""
    text = f"""
outage_grace: 5s
pings: {{keys: [{{key: {KEY}}}]}}
heartbeats: [{{name: died, interval: 10s, grace: 0s}}, {{name: lives, interval: 2m}}]
"""
    with Victim(tmp_path, text) as victim:
        victim.start()
        for name in ("died", "lives"):
            ping(victim, name)
        victim.suspend()
        suspended = time.time()
        time.sleep(32)  # OUTAGE_AFTER is 30 s, and this is the one thing that only time can do
        victim.resume()
        page = victim.scrape()
        start, end = outage(page)
        assert start <= suspended
        assert end >= suspended + 32
        assert overdue(page) == set()
        assert page.each("heartbeat_deadline_timestamp_seconds")["died"] == pytest.approx(end + 5)
        eventually("what died is overdue", lambda: overdue(victim.scrape()) == {"died"}, victim)
        assert time.time() >= end + 5
        assert "outage: no ping could be heard" in victim.log
