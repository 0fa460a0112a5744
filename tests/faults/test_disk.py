"""A disk that fails under the running process: pings are refused, and it passes."""

import asyncio
import shutil
import signal
import time
from pathlib import Path
from random import Random

from ledger import check, check_at_rest, read
from load import CONFIG, Load
from servers import eventually
from toll import Rounds, Toll
from victim import UNLIMITED, Victim

FAULTS = 4
"""Of one database."""
GOOD_BYTES = 4096
"""How much of each file can be written while the disk fails: not even the first page of a log."""


def readiness(victim: Victim) -> int:
    return victim.request("/-/ready").status


def fail_and_recover(victim: Victim, dice: Random) -> float:
    """Let its disk fail for a while; returns how many seconds it takes to recover."""
    victim.limit_files(GOOD_BYTES)
    eventually("it says that it is not ready", lambda: readiness(victim) == 503, victim)
    assert "the disk fails (SQLITE_IOERR" in victim.request("/-/ready").text
    assert victim.request("/-/healthy").status == 200
    page = victim.scrape()
    assert page.value("heartbeat_exporter_store_up") == 0
    assert page.of_heartbeats() == {}
    time.sleep(dice.uniform(0, 1.5))  # the length of the fault
    assert readiness(victim) == 503
    victim.limit_files(UNLIMITED)
    recovering = time.monotonic()
    eventually("it is ready again", lambda: readiness(victim) == 200, victim, within=10)
    recovered = time.monotonic()
    assert victim.scrape().value("heartbeat_exporter_store_up") == 1
    return recovered - recovering


async def test_on_a_disk_that_fails_pings_are_refused_and_not_counted_until_it_works_again(
    tmp_path: Path, dice: Random, rounds: Rounds, toll: Toll
) -> None:
    for life in rounds(1):
        with Victim(tmp_path / f"life-{life}", CONFIG) as victim:
            load, over = Load(victim, dice), asyncio.Event()
            victim.start()
            started = victim.pid
            async with asyncio.timeout(120), asyncio.TaskGroup() as group:
                group.create_task(load.press(over))
                for _ in range(FAULTS):
                    await load.acknowledged(dice.randint(1, 1000))
                    toll.recoveries.append(await asyncio.to_thread(fail_and_recover, victim, dice))
                    toll.disk_faults += 1
                await load.acknowledged(1)
                assert (victim.alive(), victim.pid) == (True, started)
                victim.send(dice.choice((signal.SIGTERM, signal.SIGKILL)))
                await asyncio.to_thread(victim.wait)
                over.set()
            check(await read(victim.database, victim.config_file), load)
            await check_at_rest(victim, load)
            assert load.journal.statuses[503] > 0
            toll.add(load.journal)
            shutil.rmtree(victim.folder)


async def test_what_was_acknowledged_survives_a_kill_while_the_disk_fails(
    tmp_path: Path, dice: Random, toll: Toll
) -> None:
    with Victim(tmp_path, CONFIG) as victim:
        load, over = Load(victim, dice), asyncio.Event()
        victim.start()
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            group.create_task(load.press(over))
            await load.acknowledged(300)
            victim.limit_files(GOOD_BYTES)
            await asyncio.to_thread(eventually, "not ready", lambda: readiness(victim) == 503, victim)
            victim.send(signal.SIGKILL)
            await asyncio.to_thread(victim.wait)
            over.set()
        check(await read(victim.database, victim.config_file), load)
        await check_at_rest(victim, load)
        toll.kills += 1
        toll.add(load.journal)
