"""A database that is deleted, moved or replaced under the running process."""

import asyncio
import shutil
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random

import pytest
from ledger import check, check_at_rest, read
from load import CONFIG, KEY, Load
from servers import Answer, eventually
from toll import Toll
from victim import Victim


def log_of(victim: Victim) -> Path:
    return victim.database.with_name(f"{victim.database.name}-wal")


def the_database(victim: Victim) -> None:
    victim.database.unlink()


def its_log(victim: Victim) -> None:
    log_of(victim).unlink()


def both(victim: Victim) -> None:
    log_of(victim).unlink()
    victim.database.unlink()


def the_folder(victim: Victim) -> None:
    shutil.rmtree(victim.database.parent)


def ping(victim: Victim) -> Answer:
    return victim.request(f"/ping/{KEY}/hourly")


def readiness(victim: Victim) -> int:
    return victim.request("/-/ready").status


@pytest.mark.parametrize("delete", [the_database, its_log, both, the_folder])
async def test_a_database_that_was_deleted_is_written_anew_with_all_that_was_acknowledged(
    tmp_path: Path, dice: Random, toll: Toll, delete: Callable[[Victim], None]
) -> None:
    with Victim(tmp_path, CONFIG) as victim:
        load, over = Load(victim, dice), asyncio.Event()
        victim.start()
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            group.create_task(load.press(over))
            await load.acknowledged(dice.randint(200, 600))
            delete(victim)
            gone = time.monotonic()
            await load.refused(1)
            await load.acknowledged(100)
            toll.recoveries.append(time.monotonic() - gone)
            toll.disk_faults += 1
            assert await asyncio.to_thread(readiness, victim) == 200
            victim.send(dice.choice((signal.SIGTERM, signal.SIGKILL)))
            await asyncio.to_thread(victim.wait)
            over.set()
        check(await read(victim.database, victim.config_file), load)
        await check_at_rest(victim, load)
        toll.add(load.journal)


def a_text(path: Path) -> None:
    path.write_text("not a database, and somebody's")


def another_programs_database(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE dashboards (id INTEGER PRIMARY KEY)")


@pytest.mark.parametrize("put", [a_text, another_programs_database])
def test_a_file_that_was_put_in_its_place_is_never_touched_and_pings_are_refused_until_it_is_removed(
    tmp_path: Path, put: Callable[[Path], None]
) -> None:
    with Victim(tmp_path, CONFIG) as victim:
        victim.start()
        assert ping(victim).status == 200
        foreign = tmp_path / "foreign"
        put(foreign)
        content = foreign.read_bytes()
        foreign.replace(victim.database)
        assert ping(victim).status == 503
        beats = time.monotonic() + 1.5  # it is tried again every second
        while time.monotonic() < beats:
            assert ping(victim).status == 503
            assert readiness(victim) == 503
            time.sleep(0.1)
        assert victim.request("/-/healthy").status == 200
        assert victim.scrape().value("heartbeat_exporter_store_up") == 0
        assert victim.database.read_bytes() == content
        victim.database.unlink()
        eventually("it is ready again", lambda: readiness(victim) == 200, victim, within=10)
        assert ping(victim).status == 200
        assert victim.stop() == 0
        victim.start()
        assert victim.scrape().each("heartbeat_pings_total", signal="success")["hourly"] == 2


def test_a_file_that_stays_in_its_place_is_untouched_when_the_process_ends(tmp_path: Path) -> None:
    with Victim(tmp_path, CONFIG) as victim:
        victim.start()
        assert ping(victim).status == 200
        foreign = tmp_path / "foreign"
        another_programs_database(foreign)
        content = foreign.read_bytes()
        foreign.replace(victim.database)
        assert ping(victim).status == 503
        assert victim.stop() == 0
        assert victim.database.read_bytes() == content


def test_a_database_that_was_moved_away_goes_on_when_it_is_moved_back(tmp_path: Path) -> None:
    with Victim(tmp_path, CONFIG) as victim:
        victim.start()
        assert ping(victim).status == 200
        elsewhere = tmp_path / "elsewhere"
        victim.database.rename(elsewhere)
        assert ping(victim).status == 503
        elsewhere.rename(victim.database)
        eventually("it is ready again", lambda: readiness(victim) == 200, victim, within=10)
        assert ping(victim).status == 200
        assert victim.stop() == 0
        victim.start()
        assert victim.scrape().each("heartbeat_pings_total", signal="success")["hourly"] == 2
