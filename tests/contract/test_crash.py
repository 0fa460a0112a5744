"""A process that is killed while it writes loses no ping that it has acknowledged, and keeps none by half.

Run as a program, this file is that process: it acknowledges pings on its standard output until it is killed.
"""

import asyncio
import os
import random
import signal
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from exporter.heartbeat import Heartbeat, Name, Ping, Signal
from exporter.schedule import HOUR, Interval
from exporter.store import Arrival
from exporter.store.batches import Batches
from exporter.store.sqlite import SqliteStore

ROOT = Path(__file__).parents[2]
HEARTBEATS = [Heartbeat(Name(f"job-{number}"), Interval(HOUR)) for number in range(20)]
WRITERS = 32
ALL = 1_000_000  # pings, more than a round writes
ROUNDS = 5
PATIENCE = 30  # seconds


async def write_until_killed(path: Path, first: int) -> None:
    store = await SqliteStore.open(path)

    async def commit(arrivals: Sequence[Arrival]) -> None:
        await store.commit(arrivals, ALL)

    batches = Batches(commit, limit=WRITERS)
    number = first

    async def write() -> None:
        nonlocal number
        while True:
            number += 1
            mine = number
            heartbeat = HEARTBEATS[mine % len(HEARTBEATS)]
            await batches.add(Arrival(heartbeat, Ping(mine, Signal.SUCCESS, body=b"%d" % mine)))
            os.write(sys.stdout.fileno(), b"%s %d\n" % (heartbeat.name.encode(), mine))

    await asyncio.gather(*(write() for _ in range(WRITERS)))


async def acknowledged_until_killed(path: Path, first: int, count: int) -> list[tuple[Name, int]]:
    """What a process acknowledges that is killed at once when it has acknowledged so many pings."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        __file__,
        str(path),
        str(first),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert child.stdout is not None
    lines: list[bytes] = []
    try:
        async with asyncio.timeout(PATIENCE):
            lines += [await child.stdout.readline() for _ in range(count)]
    finally:
        child.kill()
        lines += (await child.stdout.read()).splitlines()
        assert await child.wait() == -signal.SIGKILL
    return [(Name(name), int(number)) for name, number in (line.decode().split() for line in lines)]


async def test_no_acknowledged_ping_is_lost_when_the_process_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "heartbeats.db"
    acknowledged: defaultdict[Name, set[int]] = defaultdict(set)
    for round_ in range(ROUNDS):
        count = random.randint(1, 8000)
        for name, number in await acknowledged_until_killed(path, (round_ + 1) * ALL, count):
            acknowledged[name].add(number)
        store = await SqliteStore.open(path)
        records = await store.adopt(HEARTBEATS, 0)
        for name, numbers in acknowledged.items():
            kept = [ping.at for ping in await store.history(name)]
            record = records[name]
            assert numbers <= set(kept), f"killed after {count} pings of round {round_}"
            assert record.last_success >= max(numbers)
            assert record.successes == record.pings == len(kept) == len(set(kept))
        await store.close()


if __name__ == "__main__":
    asyncio.run(write_until_killed(Path(sys.argv[1]), int(sys.argv[2])))
