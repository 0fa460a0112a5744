"""Pings that are on disk and not in their tables yet. What callers see of it is in contract/: nothing."""

import asyncio
import shutil
import sqlite3
import tempfile
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.heartbeat import Heartbeat, Name, Ping, Signal
from exporter.schedule import HOUR, Interval
from exporter.store import Arrival, StoreError
from exporter.store.sqlite import SqliteStore

NOW = 1_700_000_000_000
BACKUP, REPORT = (Heartbeat(Name(name), Interval(HOUR)) for name in ("backup", "report"))


def arrivals(*heartbeats: Heartbeat, at: int = 0) -> list[Arrival]:
    return [Arrival(one, Ping(NOW + at + number, Signal.SUCCESS)) for number, one in enumerate(heartbeats)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "heartbeats.db"


@pytest.fixture
async def store(path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SqliteStore]:
    """A store that settles only when it is told to."""
    monkeypatch.setattr("exporter.store.sqlite.QUIET_SECONDS", HOUR)
    store = await SqliteStore.open(path)
    await store.adopt([BACKUP, REPORT], NOW)
    yield store
    await store.close()


async def count(store: SqliteStore, table: str) -> int:
    counted: tuple[int] = await store._run(lambda: store._db.execute(f"SELECT count(*) FROM {table}").fetchone())
    return counted[0]


async def test_a_commit_writes_nothing_but_an_entry_for_each_ping(store: SqliteStore) -> None:
    before = await store._run(lambda: store._db.total_changes)
    await store.commit(arrivals(*[BACKUP] * 50), history=3)
    assert await store._run(lambda: store._db.total_changes) == before + 50
    assert await count(store, "journal") == 50


async def test_a_record_is_written_once_for_all_entries_that_settle_together(store: SqliteStore) -> None:
    await store.commit(arrivals(*[BACKUP] * 50), history=100)
    before = await store._run(lambda: store._db.total_changes)
    await store._run(store._settle)
    assert await store._run(lambda: store._db.total_changes) == before + 1 + 50 + 50


async def test_entries_settle_heartbeat_by_heartbeat_each_in_its_turn(store: SqliteStore) -> None:
    await store.commit(arrivals(REPORT, BACKUP, REPORT, BACKUP, BACKUP), history=100)
    left = []
    for _ in range(4):
        await store._run(store._settle, 2)
        left.append(await store._run(lambda: {name for (name,) in store._db.execute("SELECT name FROM journal")}))
        await store.commit(arrivals(BACKUP), history=100)
    both = {BACKUP.name, REPORT.name}
    assert left == [both, both, {BACKUP.name}, {BACKUP.name}]  # what comes during a round waits for the next
    assert await count(store, "pings") == 2 + 2 + 1 + 2


async def test_one_heartbeat_with_many_entries_settles_a_part_at_a_time(store: SqliteStore) -> None:
    await store.commit(arrivals(*[BACKUP] * 5), history=3)
    for left in (3, 1, 0):
        await store._run(store._settle, 2)
        assert await count(store, "journal") == left
        assert await store._run(store._find_damage) is None
        assert [ping.at - NOW for ping in await store.history(BACKUP.name)] == [4, 3, 2]


async def test_the_history_is_the_same_before_and_after_its_pings_are_settled(store: SqliteStore) -> None:
    await store.commit(arrivals(BACKUP, REPORT, BACKUP, at=0), history=3)
    await store._run(store._settle)
    await store.commit(arrivals(BACKUP, BACKUP, at=10), history=3)
    before = await store.history(BACKUP.name)
    await store._run(store._settle)
    assert [ping.at - NOW for ping in before] == [11, 10, 2]
    assert await store.history(BACKUP.name) == before
    assert await count(store, "pings") == 3 + 1


async def test_what_was_once_dropped_from_the_history_does_not_come_back_when_more_is_kept(store: SqliteStore) -> None:
    await store.commit(arrivals(*[BACKUP] * 5), history=2)
    await store.commit(arrivals(BACKUP, at=10), history=100)
    for _ in range(2):
        assert [ping.at - NOW for ping in await store.history(BACKUP.name)] == [10, 4, 3]
        await store._run(store._settle)


async def test_what_a_crash_left_in_the_journal_is_there_when_it_is_opened_and_settles_then(
    store: SqliteStore, path: Path, tmp_path: Path
) -> None:
    records = await store.commit(arrivals(BACKUP, REPORT, BACKUP), history=2)
    shutil.copytree(tmp_path, tmp_path / "copy")
    opened = await SqliteStore.open(tmp_path / "copy" / path.name)
    assert opened._records == records
    assert [ping.at - NOW for ping in await opened.history(BACKUP.name)] == [2, 0]
    assert await opened.adopt([BACKUP, REPORT], NOW) == records
    await opened._run(opened._settle)
    assert await count(opened, "journal") == 0
    assert await count(opened, "pings") == 3
    await opened.close()


async def test_adopting_settles_whose_records_it_changes_so_that_no_older_ones_come_back(store: SqliteStore) -> None:
    await store.commit(arrivals(*[BACKUP] * 600, REPORT), history=1000)
    await store.adopt([REPORT], NOW + 5)
    assert await count(store, "journal") == 1
    await store._run(store._settle)
    row = await store._run(
        lambda: store._db.execute("SELECT pings, removed_at FROM heartbeats ORDER BY name").fetchone()
    )
    assert row == (600, NOW + 5)


async def test_a_full_journal_is_settled_as_fast_as_it_fills(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporter.store.sqlite_journal.ENTRIES_AT_MOST", 20)
    monkeypatch.setattr("exporter.store.sqlite.SETTLED_AT_ONCE", 1)
    for _ in range(30):
        await store.commit(arrivals(*[BACKUP] * 5), history=1000)
        assert await count(store, "journal") <= 20 + 5
    assert len(await store.history(BACKUP.name)) == 150


async def test_large_bodies_fill_the_journal_as_well(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exporter.store.sqlite_journal.BYTES_AT_MOST", 1000)
    for number in range(10):
        await store.commit([Arrival(BACKUP, Ping(NOW + number, Signal.SUCCESS, body=b"x" * 400))], history=1000)
        assert await count(store, "journal") <= 3


async def test_the_journal_is_settled_when_nobody_has_called_for_a_while(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporter.store.sqlite.QUIET_SECONDS", 0.001)
    store = await SqliteStore.open(path)
    await store.commit(arrivals(*[BACKUP] * 600), history=1000)
    async with asyncio.timeout(10):
        while store._settling is not None:
            await asyncio.wait((store._settling,))
    assert await count(store, "journal") == 0
    assert len(await store.history(BACKUP.name)) == 600
    await store.close()


async def test_a_settlement_that_fails_loses_nothing_and_is_tried_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporter.store.sqlite.QUIET_SECONDS", 0.001)
    store = await SqliteStore.open(path)
    path.rename(path.with_name("away"))  # after the commit's own look, at the earliest
    with pytest.raises(StoreError):
        await store.commit(arrivals(BACKUP), history=10)
    path.with_name("away").rename(path)
    await store.commit(arrivals(BACKUP), history=10)
    settling = store._settling
    assert settling is not None
    path.rename(path.with_name("away"))
    await asyncio.wait((settling,))
    path.with_name("away").rename(path)
    await store.commit(arrivals(BACKUP), history=10)
    assert len(await store.history(BACKUP.name)) == 2
    await store.close()


async def test_after_closing_the_tables_hold_everything(path: Path) -> None:
    store = await SqliteStore.open(path)
    await store.commit(arrivals(BACKUP, REPORT), history=10)
    await store.close()
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT count(*) FROM journal").fetchone() == (0,)
        assert db.execute("SELECT count(*) FROM pings").fetchone() == (2,)


commits = st.tuples(st.lists(st.sampled_from([BACKUP, REPORT]), max_size=6), st.integers(1, 5))
settlements = st.integers(1, 4)


@given(st.lists(st.one_of(commits, settlements), max_size=12))
def test_whenever_what_is_settled_history_and_records_are_those_of_all_pings(
    steps: list[tuple[list[Heartbeat], int] | int],
) -> None:
    asyncio.run(check_life(steps))


async def check_life(steps: list[tuple[list[Heartbeat], int] | int]) -> None:
    kept: dict[Name, list[Ping]] = {BACKUP.name: [], REPORT.name: []}
    sent = {BACKUP.name: 0, REPORT.name: 0}
    with tempfile.TemporaryDirectory() as folder:
        store = await SqliteStore.open(Path(folder) / "heartbeats.db")
        await store.adopt([BACKUP, REPORT], NOW)
        for number, step in enumerate(steps):
            if isinstance(step, int):
                await store._run(store._settle, step)
                continue
            heartbeats, history = step
            batch = arrivals(*heartbeats, at=10 * number)
            await store.commit(batch, history)
            for heartbeat, ping in batch:
                sent[heartbeat.name] += 1
                kept[heartbeat.name] = [*kept[heartbeat.name], ping][-history:]
        assert await store._run(store._find_damage) is None
        for name, pings in kept.items():
            assert await store.history(name) == pings[::-1]
            assert store._records[name].pings == sent[name]
        await store.close()
