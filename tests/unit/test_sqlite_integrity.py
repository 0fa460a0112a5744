"""A database that somebody else writes to, or that is damaged, while it is in use."""

import os
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from exporter.heartbeat import Heartbeat, Name, Ping, Signal
from exporter.schedule import HOUR, Interval
from exporter.store import Arrival, StoreError
from exporter.store.sqlite import SqliteStore

NOW = 1_700_000_000_000
BACKUP = Heartbeat(Name("backup"), Interval(HOUR))
PAGE = 4096
REFUSED = "is damaged, or was written to by another program"


async def ping(store: SqliteStore, number: int) -> None:
    arrival = Arrival(BACKUP, Ping(NOW + number, Signal.SUCCESS, body=b"x" * 300))
    await store.commit([arrival], 1000)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "heartbeats.db"


@pytest.fixture
async def store(path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SqliteStore]:
    """A store with some pings in its file, and one in its log; looked at again as soon as it is damaged."""
    monkeypatch.setattr("exporter.store.sqlite.LOOK_AGAIN_AFTER", 0)
    store = await SqliteStore.open(path)
    await store.adopt([BACKUP], NOW)
    for number in range(1, 50):
        await ping(store, number)
    await checkpoint(store)
    await ping(store, 50)
    yield store
    await store.close()


async def checkpoint(store: SqliteStore) -> None:
    """Bring what is in the journal into its tables and what is in the log into the file, as happens in time."""
    await store._run(store._settle)
    await store._run(lambda: store._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone())
    await store._run(store._presence.note)


def overwrite(file: Path, content: bytes, offset: int = 0) -> None:
    """Write in place, as `cp` and `>` do, and not by another file of the same name."""
    with file.open("r+b") as opened:
        opened.seek(offset)
        opened.write(content)


def log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def nothing_in_it(path: Path) -> None:
    os.truncate(path, 0)


def noise_at_its_beginning(path: Path) -> None:
    overwrite(path, os.urandom(5 * PAGE))


def zeros_in_its_middle(path: Path) -> None:
    pages = path.stat().st_size // PAGE
    overwrite(path, bytes(pages // 2 * PAGE), pages // 4 * PAGE)


def a_log_without_content(path: Path) -> None:
    os.truncate(log_of(path), 0)


def a_log_of_noise(path: Path) -> None:
    overwrite(log_of(path), os.urandom(log_of(path).stat().st_size - 32), 32)


@pytest.mark.parametrize(
    "spoil",
    [nothing_in_it, noise_at_its_beginning, zeros_in_its_middle, a_log_without_content, a_log_of_noise],
)
async def test_nothing_is_taken_into_a_file_that_was_overwritten_until_it_is_as_it_was(
    path: Path, store: SqliteStore, spoil: Callable[[Path], None]
) -> None:
    before = {file: file.read_bytes() for file in (path, log_of(path))}
    spoil(path)
    for _ in range(2):
        with pytest.raises(StoreError, match=REFUSED):
            await ping(store, 51)
        with pytest.raises(StoreError, match=REFUSED):
            await store.beat(NOW, HOUR)
        with pytest.raises(StoreError, match=REFUSED):
            await store.backup()
    for file, content in before.items():
        os.truncate(file, len(content))
        overwrite(file, content)
    await ping(store, 51)
    assert [ping.at - NOW for ping in await store.history(BACKUP.name)] == [*range(51, 0, -1)]


async def test_an_older_copy_that_was_written_over_it_is_noticed(
    path: Path, store: SqliteStore, tmp_path: Path
) -> None:
    older = tmp_path / "older.db"
    with await store.backup() as copy, older.open("wb") as file:
        shutil.copyfileobj(copy, file)
    for number in range(51, 100):
        await ping(store, number)
    await checkpoint(store)
    shutil.copyfile(older, path)
    with pytest.raises(StoreError, match=REFUSED):
        await ping(store, 100)


async def test_a_history_with_a_gap_is_noticed(path: Path, store: SqliteStore) -> None:
    await store._run(store._db.execute, "DELETE FROM pings WHERE number = 20")
    path.touch()
    with pytest.raises(StoreError, match="pings are missing in it"):
        await ping(store, 51)


async def test_a_history_of_which_the_first_pings_were_dropped_is_whole(path: Path, store: SqliteStore) -> None:
    await store.commit([Arrival(BACKUP, Ping(NOW + 51, Signal.SUCCESS))], 7)
    path.touch()
    await ping(store, 52)
    assert len(await store.history(BACKUP.name)) == 8


async def test_a_file_that_was_only_touched_is_no_reason_to_stop(path: Path, store: SqliteStore) -> None:
    path.touch()
    log_of(path).touch()
    await ping(store, 51)
    assert len(await store.history(BACKUP.name)) == 51


async def test_damage_that_shows_in_a_commit_keeps_the_store_down_though_other_writes_would_succeed(
    path: Path, store: SqliteStore
) -> None:
    zeros_in_its_middle(path)
    await store._run(lambda: store._db.execute("PRAGMA shrink_memory"))
    await store._run(store._presence.note)  # as if it had not been written to, but rotted
    with pytest.raises(StoreError, match="malformed"):
        await store.history(BACKUP.name)
    with pytest.raises(StoreError, match=REFUSED):
        await store.beat(NOW, HOUR)


async def test_a_damaged_database_is_not_looked_at_again_at_every_call(
    path: Path, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    statements: list[str] = []
    await store._run(store._db.set_trace_callback, statements.append)
    nothing_in_it(path)
    for seconds, looked in ((10.0, 1), (10.0, 1), (0.0, 2)):
        monkeypatch.setattr("exporter.store.sqlite.LOOK_AGAIN_AFTER", seconds)
        with pytest.raises(StoreError, match=REFUSED):
            await ping(store, 51)
        assert statements.count("PRAGMA shrink_memory") == looked


async def test_a_file_whose_time_changes_again_and_again_is_not_looked_at_each_time(
    path: Path, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    statements: list[str] = []
    await store._run(store._db.set_trace_callback, statements.append)
    monkeypatch.setattr("exporter.store.sqlite.LOOK_AGAIN_AFTER", 60)
    for number in range(51, 55):
        path.touch()
        await ping(store, number)
    assert statements.count("PRAGMA shrink_memory") == 1
    nothing_in_it(path)
    await ping(store, 55)  # too soon after it was found whole
    monkeypatch.setattr("exporter.store.sqlite.LOOK_AGAIN_AFTER", 0)
    with pytest.raises(StoreError, match=REFUSED):
        await ping(store, 56)


async def test_records_that_are_not_those_in_memory_are_noticed(path: Path, store: SqliteStore) -> None:
    name = BACKUP.name
    store._records[name] = store._records[name]._replace(successes=7)
    path.touch()
    with pytest.raises(StoreError, match="it holds other records"):
        await ping(store, 51)
