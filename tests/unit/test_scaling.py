"""What a ping costs does not depend on how many heartbeats there are: counted in calls, since times are noise."""

import sys
from collections.abc import Callable
from pathlib import Path

from exporter.config import Config
from exporter.heartbeat import Heartbeat, Name, Ping, Signal
from exporter.roster import Roster
from exporter.schedule import HOUR, Interval
from exporter.store import Arrival
from exporter.store.sqlite import SqliteStore
from exporter.web.pings import read_path

NOW = 1_790_000_000_000
FEW, MANY = 10, 10_000


def heartbeats(count: int) -> tuple[Heartbeat, ...]:
    return tuple(Heartbeat(Name(f"job-{number:05}"), Interval(HOUR)) for number in range(count))


def calls(work: Callable[[], object]) -> int:
    """How many functions are called, in Python and in C, until the work is done."""
    count = 0

    def note(_: object, event: str, __: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def test_a_heartbeat_is_found_by_its_token_in_the_same_number_of_steps() -> None:
    def steps(count: int) -> int:
        roster = Roster(Config(heartbeats(count)), b"a secret of sixteen bytes or more")
        path = f"/heartbeat/{roster.token_of(roster.config.heartbeats[5])}/start"
        return calls(lambda: read_path(path, roster))

    assert 0 < steps(MANY) == steps(FEW)


async def test_a_ping_is_stored_in_the_same_number_of_steps(tmp_path: Path) -> None:
    async def steps(count: int) -> int:
        store = await SqliteStore.open(tmp_path / f"{count}.db")
        watched = heartbeats(count)
        await store.adopt(watched, NOW)
        arrivals = [Arrival(watched[5], Ping(NOW, Signal.SUCCESS))]
        await store.commit(arrivals, 100)
        found = await store._run(calls, lambda: store._commit(arrivals, 100))
        await store.close()
        return found

    assert 0 < await steps(MANY) == await steps(FEW)
