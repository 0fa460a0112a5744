"""What is particular to SQLite; the contract of every store is tested in tests/contract."""

import os
import re
import resource
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.heartbeat import Heartbeat, Name, Ping, Record, Run, RunId, Signal
from exporter.schedule import HOUR, Interval
from exporter.store import Arrival, StoreError
from exporter.store.sqlite import SqliteStore
from exporter.store.sqlite_rows import RECORD, record_of_row, row_of_record

NOW = 1_700_000_000_000
BACKUP = Heartbeat(Name("backup"), Interval(HOUR))
REPORT = Heartbeat(Name("report"), Interval(HOUR))
PING = Ping(NOW, Signal.SUCCESS)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "heartbeats.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(path)
    yield store
    await store.close()


async def execute(store: SqliteStore, statement: str) -> object:
    """The first value that a statement on the store's own connection brings."""
    row = await store._run(lambda: store._db.execute(statement).fetchone())
    return None if row is None else row[0]


# When the disk fails


async def fill(store: SqliteStore) -> None:
    pages = await execute(store, "PRAGMA page_count")
    await execute(store, f"PRAGMA max_page_count = {pages}")


async def test_what_a_full_disk_does_not_take_is_not_counted_and_it_works_again_once_there_is_room(
    path: Path,
) -> None:
    store = await SqliteStore.open(path)
    before = dict(await store.adopt([BACKUP], NOW))
    large = PING._replace(body=b"x" * 10_000)
    acknowledged = await store.commit([Arrival(BACKUP, PING)], 100)
    await fill(store)
    with pytest.raises(StoreError, match=re.escape(f"{path} cannot be used at present: the disk is full")):
        await store.commit([Arrival(BACKUP, PING), Arrival(REPORT, PING), Arrival(BACKUP, large)], 100)
    many = [Heartbeat(Name(f"job-{number}"), Interval(HOUR)) for number in range(1000)]
    with pytest.raises(StoreError):
        await store.adopt(many, NOW)
    assert await store.history(BACKUP.name) == [PING]
    assert await store.history(REPORT.name) == []
    await execute(store, "PRAGMA max_page_count = 1000000")
    assert await store.adopt([BACKUP], NOW + 1) == acknowledged != before
    after = await store.commit([Arrival(BACKUP, large)], 100)
    assert after[BACKUP.name].successes == 2
    await store.close()
    reopened = await SqliteStore.open(path)
    assert await reopened.adopt([BACKUP], NOW + 2) == after
    assert await reopened.history(BACKUP.name) == [large, PING]
    await reopened.close()


async def test_a_write_that_the_disk_fails_is_not_counted_and_the_next_is(store: SqliteStore, path: Path) -> None:
    await store.adopt([BACKUP], NOW)
    await store.beat(NOW, HOUR)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (Path(f"{path}-wal").stat().st_size, hard))
    try:
        for call in (store.commit([Arrival(BACKUP, PING)], 100), store.beat(NOW + 1, HOUR), store.adopt([], NOW + 1)):
            with pytest.raises(StoreError) as failed:
                await call
            assert str(failed.value) == f"{path} cannot be used at present: the disk fails (SQLITE_IOERR_WRITE)"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (await store.liveness(HOUR)).alive_at == NOW
    record = (await store.commit([Arrival(BACKUP, PING)], 100))[BACKUP.name]
    assert (record.successes, record.removed_at) == (1, None)
    assert await store.history(BACKUP.name) == [PING]


async def test_a_file_that_can_only_be_read_takes_no_ping(store: SqliteStore, path: Path) -> None:
    await execute(store, "PRAGMA query_only = ON")
    with pytest.raises(StoreError) as failed:
        await store.commit([Arrival(BACKUP, PING)], 100)
    assert str(failed.value) == (
        f"{path} cannot be used at present: it or its folder cannot be written by user {os.geteuid()} (SQLITE_READONLY)"
    )


async def test_any_other_cause_is_told_in_the_words_of_sqlite(store: SqliteStore, path: Path) -> None:
    await execute(store, "DROP TABLE pings")
    await store._run(store._presence.note)  # or it would be taken for somebody else's doing
    with pytest.raises(StoreError) as failed:
        await store.history(BACKUP.name)
    assert str(failed.value) == f"{path} cannot be used at present: no such table: pings"


async def test_a_transaction_that_fails_is_undone_at_once(store: SqliteStore) -> None:
    with pytest.raises(OverflowError):
        await store.commit([Arrival(BACKUP, PING._replace(at=1 << 80))], 100)
    assert not await store._run(lambda: store._db.in_transaction)


async def test_a_transaction_that_could_not_be_undone_is_undone_before_the_next(store: SqliteStore) -> None:
    await store.adopt([BACKUP], NOW)
    await execute(store, "BEGIN")
    await execute(store, "DELETE FROM heartbeats")
    assert (await store.commit([Arrival(BACKUP, PING)], 100))[BACKUP.name].successes == 1
    assert await execute(store, "SELECT count(*) FROM heartbeats") == 1


async def test_what_was_answered_is_in_a_copy_of_the_files_that_is_made_right_then(
    store: SqliteStore, path: Path, tmp_path: Path
) -> None:
    await store.adopt([BACKUP], NOW)
    record = await store.commit([Arrival(BACKUP, PING)], 100)
    copy = tmp_path / "copy" / path.name
    shutil.copytree(path.parent, copy.parent)
    copied = await SqliteStore.open(copy)
    assert await copied.adopt([BACKUP], NOW) == record
    assert await copied.history(BACKUP.name) == [PING]
    await copied.close()


# What is written

moments = st.integers(0, 2**53)
perhaps = st.none() | moments
records = st.builds(
    Record,
    armed_at=moments,
    schedule=st.text("abc* @\n", max_size=20),
    paused=st.booleans(),
    removed_at=perhaps,
    answered=moments,
    last_seen=moments,
    last_success=moments,
    last_failure=moments,
    last_start=moments,
    successes=moments,
    failures=moments,
    starts=moments,
    logs=moments,
    pings=moments,
    consecutive_failures=moments,
    run=st.none() | st.builds(Run, st.none() | st.uuids().map(lambda run: RunId(str(run))), moments),
    awaiting_since=perhaps,
    last_duration=perhaps,
    last_lateness=st.none() | st.integers(-(2**53), 2**53),
    last_exit_status=perhaps,
)


@given(record=records)
def test_every_field_of_a_record_has_its_column_and_comes_back_from_it(record: Record) -> None:
    row = row_of_record(BACKUP.name, record)
    assert record_of_row(row) == (BACKUP.name, record)
    columns = dict(zip(RECORD.split(", "), row, strict=True))
    run = record.run
    assert columns == {
        "name": BACKUP.name,
        "run_rid": None if run is None else run.rid,
        "run_started_at": None if run is None else run.started_at,
        **{field: value for field, value in record._asdict().items() if field != "run"},
    }


async def test_only_records_that_changed_are_written_when_heartbeats_are_adopted(store: SqliteStore) -> None:
    await store.adopt([BACKUP, REPORT], NOW)
    before = await changes(store)
    await store.adopt([BACKUP, REPORT], NOW + 1)
    assert await changes(store) == before
    await store.adopt([BACKUP], NOW + 2)
    assert await changes(store) == before + 1


async def changes(store: SqliteStore) -> int:
    return await store._run(lambda: store._db.total_changes)


# When somebody takes the file away: see also test_sqlite_presence.py


@pytest.mark.parametrize("name", ["heartbeats.db", "heartbeats.db-wal"])
async def test_nothing_is_acknowledged_into_a_file_that_was_moved_and_it_works_again_once_it_is_back(
    store: SqliteStore, path: Path, name: str
) -> None:
    await store.commit([Arrival(BACKUP, PING)], 100)
    file, away = path.with_name(name), path.with_name("away")
    file.rename(away)
    for call in (store.commit([Arrival(BACKUP, PING)], 100), store.beat(NOW, HOUR), store.adopt([BACKUP], NOW)):
        with pytest.raises(StoreError) as failed:
            await call
        assert str(failed.value) == f"{file} was moved away while it was in use; move it back, and all goes on"
    away.rename(file)
    assert (await store.commit([Arrival(BACKUP, PING)], 100))[BACKUP.name].successes == 2
