"""A backup is made while pings come, and another exporter goes on from it."""

import asyncio
import itertools
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

import aiohttp
from servers import ROOT, Exporter, StartExporter

from exporter.schedule import SECOND
from exporter.server import wall_clock

NAMES = [f"job-{number}" for number in range(4)]
CONFIG = "heartbeats:\n" + "\n".join(f"  - {{name: {name}, interval: 1s, grace: 0s}}" for name in NAMES)
CLIENTS = 8
BEFORE = 300  # pings that are acknowledged before the backup is asked for


def path_of(url: str) -> str:
    return url.split("/", 3)[3]


def storage_of(exporter: Exporter) -> Path:
    return exporter.folder / "data" / "heartbeats.db"


def known_in(storage: Path) -> set[bytes]:
    """The bodies of all pings in a database that nobody has open."""
    with closing(sqlite3.connect(storage)) as db:
        return {body for (body,) in db.execute("SELECT body FROM pings")}


async def backup_under_load(exporter: Exporter, destination: Path) -> tuple[Counter[str], list[bytes], str]:
    """The pings that were acknowledged before, by heartbeat, and all their bodies; and what the command said."""
    urls = exporter.urls()
    counted: Counter[str] = Counter()
    bodies: list[bytes] = []
    enough, done = asyncio.Event(), asyncio.Event()
    numbers = itertools.count()

    async def ping(client: aiohttp.ClientSession) -> None:
        while not done.is_set():
            number = next(numbers)
            name, body = NAMES[number % len(NAMES)], b"%d" % number
            async with client.post(urls[name], data=body) as answer:
                assert answer.status == 200
            counted[name] += 1
            bodies.append(body)
            if len(bodies) >= BEFORE:
                enough.set()

    async with asyncio.timeout(60), aiohttp.ClientSession() as client, asyncio.TaskGroup() as clients:
        for _ in range(CLIENTS):
            clients.create_task(ping(client))
        await enough.wait()
        before, known = counted.copy(), bodies.copy()
        command = [sys.executable, "-m", "exporter.ctl", "backup", f"--storage.url=sqlite:///{storage_of(exporter)}"]
        said = await asyncio.to_thread(subprocess.check_output, [*command, str(destination)], cwd=ROOT, text=True)
        done.set()
    return before, known, said


async def test_an_exporter_goes_on_from_a_backup_that_was_made_under_load(
    start_exporter: StartExporter, tmp_path: Path
) -> None:
    exporter = start_exporter("pings: {history: 1000}\n" + CONFIG)
    kept = tmp_path / "kept"
    began = wall_clock()
    before, known, said = await backup_under_load(exporter, kept)
    assert said.startswith(f"{kept}: heartbeats.db (")
    assert said.endswith(f" MB, {len(NAMES)} heartbeats), ping-secret\n")
    urls = exporter.urls()
    assert exporter.stop() == 0

    restored = start_exporter("pings: {history: 1000}\n" + CONFIG)
    assert restored.stop() == 0
    shutil.rmtree(restored.folder / "data")
    shutil.copytree(kept, restored.folder / "data")
    restored.start()

    assert {name: path_of(url) for name, url in restored.urls().items()} == {
        name: path_of(url) for name, url in urls.items()
    }
    page = restored.scrape()
    counted = page.each("heartbeat_pings_total", signal="success")
    assert all(counted[name] >= before[name] for name in NAMES)
    seen = page.each("heartbeat_last_success_timestamp_seconds")
    assert all(began <= round(seen[name] * SECOND) <= wall_clock() - SECOND for name in NAMES), "all are missed by now"
    assert page.each("heartbeat_overdue") == dict.fromkeys(NAMES, 0)
    async with aiohttp.ClientSession() as client, client.post(restored.urls()[NAMES[0]]) as answer:
        assert answer.status == 200
    assert restored.scrape().each("heartbeat_pings_total", signal="success")[NAMES[0]] == counted[NAMES[0]] + 1
    assert restored.stop() == 0
    assert known_in(storage_of(restored)) >= set(known)
