import asyncio
from collections.abc import Sequence

import pytest

from exporter.heartbeat import Heartbeat, Name, Ping, Signal
from exporter.schedule import HOUR, Interval
from exporter.store import Arrival, Overloaded, StoreError
from exporter.store.batches import Batches

BACKUP = Heartbeat(Name("backup"), Interval(HOUR))


def arrival(number: int) -> Arrival:
    return Arrival(BACKUP, Ping(number, Signal.SUCCESS))


class Disk:
    """Commits once it is told how each commit ends."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self._ends: asyncio.Queue[BaseException | None] = asyncio.Queue()
        self._busy = False

    async def commit(self, arrivals: Sequence[Arrival]) -> None:
        assert not self._busy, "two commits at once"
        self._busy = True
        try:
            self.batches.append([ping.at for _, ping in arrivals])
            end = await self._ends.get()
            if end is not None:
                raise end
        finally:
            self._busy = False

    def finish(self, *ends: BaseException | None) -> None:
        """Let commits end: with nothing, or with an error."""
        for end in ends or (None,):
            self._ends.put_nowait(end)


async def settle() -> None:
    """Let everything happen that waits for nothing but its turn."""
    for _ in range(10):
        await asyncio.sleep(0)


async def begun(batches: Batches, *numbers: int) -> list[asyncio.Task[None]]:
    """Callers that have added these pings."""
    callers = [asyncio.create_task(batches.add(arrival(number))) for number in numbers]
    await settle()
    return callers


def outcomes(callers: Sequence[asyncio.Task[None]]) -> list[str]:
    return [outcome(caller) for caller in callers]


def outcome(caller: asyncio.Task[None]) -> str:
    if not caller.done():
        return "waits"
    if caller.cancelled():
        return "gave up"
    error = caller.exception()
    return "durable" if error is None else repr(error)


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def batches(disk: Disk) -> Batches:
    return Batches(disk.commit, limit=5)


async def test_a_ping_that_comes_alone_is_committed_at_once_and_waits_until_it_is_durable(
    disk: Disk, batches: Batches
) -> None:
    callers = await begun(batches, 1)
    assert disk.batches == [[1]]
    assert outcomes(callers) == ["waits"]
    disk.finish()
    await settle()
    assert outcomes(callers) == ["durable"]


async def test_pings_that_come_while_a_commit_is_under_way_share_the_next_in_their_order(
    disk: Disk, batches: Batches
) -> None:
    callers = [*await begun(batches, 1), *await begun(batches, 3), *await begun(batches, 2), *await begun(batches, 4)]
    assert disk.batches == [[1]]
    disk.finish()
    await settle()
    assert disk.batches == [[1], [3, 2, 4]]
    assert outcomes(callers) == ["durable", "waits", "waits", "waits"]
    disk.finish()
    await settle()
    assert outcomes(callers) == ["durable"] * 4


async def test_pings_of_one_turn_of_the_event_loop_share_a_commit(disk: Disk, batches: Batches) -> None:
    await begun(batches, 1, 2, 3)
    assert disk.batches == [[1, 2, 3]]
    disk.finish()
    await batches.drain()


async def test_a_ping_after_quiet_is_committed_at_once_again(disk: Disk, batches: Batches) -> None:
    disk.finish(None, None)
    await batches.add(arrival(1))
    await batches.add(arrival(2))
    assert disk.batches == [[1], [2]]


@pytest.mark.parametrize("error", [StoreError("the disk is full"), KeyError("a mistake of ours")], ids=repr)
async def test_an_error_of_a_commit_is_told_to_all_of_its_batch_and_to_no_other(
    disk: Disk, batches: Batches, error: Exception
) -> None:
    callers = [*await begun(batches, 1, 2), *await begun(batches, 3)]
    disk.finish(error)
    await settle()
    assert outcomes(callers) == [repr(error), repr(error), "waits"]
    disk.finish()
    await settle()
    assert outcomes(callers) == [repr(error), repr(error), "durable"]
    assert disk.batches == [[1, 2], [3]]


async def test_a_commit_that_is_cancelled_fails_its_batch_and_not_the_next(disk: Disk, batches: Batches) -> None:
    callers = [*await begun(batches, 1), *await begun(batches, 2)]
    disk.finish(asyncio.CancelledError(), None)
    await settle()
    assert outcomes(callers) == ["StoreError('the commit was broken off')", "durable"]


@pytest.mark.parametrize("error", [None, StoreError("the disk is full")], ids=repr)
async def test_a_caller_that_gives_up_during_its_commit_breaks_nothing(
    disk: Disk, batches: Batches, error: StoreError | None
) -> None:
    gone, stays = await begun(batches, 1, 2)
    gone.cancel()
    await settle()
    disk.finish(error)
    await settle()
    assert outcomes([gone, stays]) == ["gave up", "durable" if error is None else repr(error)]


async def test_the_ping_of_a_caller_that_gave_up_while_it_waited_is_committed_with_the_rest(
    disk: Disk, batches: Batches
) -> None:
    await begun(batches, 1)
    gone, stays = await begun(batches, 2, 3)
    gone.cancel()
    disk.finish(None, None)
    await batches.drain()
    assert disk.batches == [[1], [2, 3]]
    await settle()
    assert outcomes([gone, stays]) == ["gave up", "durable"]


async def test_no_more_than_the_limit_wait_counting_those_that_are_being_written(disk: Disk, batches: Batches) -> None:
    callers = [*await begun(batches, 1, 2), *await begun(batches, 3, 4, 5)]
    with pytest.raises(Overloaded, match=r"\A5 pings are waiting for the store already\Z"):
        await batches.add(arrival(6))
    disk.finish(None, None)
    await batches.drain()
    await settle()
    assert outcomes(callers) == ["durable"] * 5
    assert disk.batches == [[1, 2], [3, 4, 5]]


@pytest.mark.parametrize("error", [None, StoreError("the disk is full")], ids=repr)
async def test_there_is_room_again_once_pings_are_settled(
    disk: Disk, batches: Batches, error: StoreError | None
) -> None:
    callers = await begun(batches, 1, 2, 3, 4, 5)
    callers[0].cancel()
    disk.finish(error, None)
    await batches.drain()
    again = await begun(batches, 6, 7, 8, 9, 10)
    assert outcomes(again) == ["durable"] * 5
    await asyncio.gather(*callers, return_exceptions=True)


async def test_drain_returns_at_once_when_nothing_waits(batches: Batches) -> None:
    await asyncio.wait_for(batches.drain(), timeout=1)


async def test_drain_waits_for_all_that_was_added(disk: Disk, batches: Batches) -> None:
    callers = [*await begun(batches, 1), *await begun(batches, 2)]
    drained = asyncio.create_task(batches.drain())
    await settle()
    disk.finish()
    await settle()
    assert not drained.done()
    disk.finish()
    await drained
    await settle()
    assert outcomes(callers) == ["durable"] * 2


async def test_of_those_that_are_told_each_hears_how_its_own_commit_ended_in_their_order(
    disk: Disk, batches: Batches
) -> None:
    told: list[tuple[int, BaseException | None]] = []
    full = StoreError("the disk is full")

    def put(number: int) -> None:
        batches.put(arrival(number), lambda error: told.append((number, error)))

    put(1)
    put(2)
    await settle()
    put(3)
    assert told == []
    disk.finish(full, None)
    await batches.drain()
    assert told == [(1, full), (2, full), (3, None)]


async def test_whoever_is_turned_away_is_told_nothing_more(disk: Disk, batches: Batches) -> None:
    told: list[BaseException | None] = []
    for number in range(5):
        batches.put(arrival(number), told.append)
    with pytest.raises(Overloaded):
        batches.put(arrival(6), told.append)
    disk.finish()
    await batches.drain()
    assert told == [None] * 5
