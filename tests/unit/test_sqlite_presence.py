"""A database that is deleted, moved or replaced under the running process."""

import asyncio
import re
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from exporter.heartbeat import Heartbeat, Name, Ping, Signal
from exporter.schedule import HOUR, Interval
from exporter.store import Arrival, StoreError
from exporter.store.sqlite import SqliteStore

ROOT = Path(__file__).parents[2]
NOW = 1_700_000_000_000
BACKUP = Heartbeat(Name("backup"), Interval(HOUR))
REPORT = Heartbeat(Name("report"), Interval(HOUR))
FIRST = Ping(NOW, Signal.SUCCESS, body=b"first" * 1000)
SECOND = Ping(NOW + 1, Signal.FAIL, body=b"second")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "here" / "data" / "heartbeats.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    """A store in which something is, in the database and in its log."""
    store = await SqliteStore.open(path)
    await store.adopt([BACKUP, REPORT], NOW)
    await store.beat(NOW, HOUR)
    await store.commit([Arrival(BACKUP, FIRST)], 100)
    yield store
    await store.close()


async def refusal(store: SqliteStore) -> str:
    with pytest.raises(StoreError) as failed:
        await store.beat(NOW + 1, HOUR)
    return str(failed.value)


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


async def check_goes_on(store: SqliteStore, path: Path) -> None:
    """All that was stored is there, and goes on to be stored, now and after the process is killed."""
    expected = await store.commit([Arrival(BACKUP, SECOND)], 100)
    assert expected[BACKUP.name].pings == 2
    assert await store.history(BACKUP.name) == [SECOND, FIRST]
    assert names(path.parent) == ["heartbeats.db", "heartbeats.db-wal"]
    assert path.stat().st_mode & 0o777 == 0o600
    copy = path.parent.parent / "as-after-kill" / path.name
    shutil.copytree(path.parent, copy.parent)
    reopened = await SqliteStore.open(copy)
    records = await reopened.adopt([BACKUP, REPORT], NOW + 2)
    assert records[BACKUP.name] == expected[BACKUP.name]
    assert await reopened.history(BACKUP.name) == [SECOND, FIRST]
    assert (await reopened.liveness(HOUR)).alive_at == NOW
    await reopened.close()


def delete_database(path: Path) -> None:
    path.unlink()


def delete_log(path: Path) -> None:
    Path(f"{path}-wal").unlink()


def delete_both(path: Path) -> None:
    delete_database(path)
    delete_log(path)


def delete_folder(path: Path) -> None:
    shutil.rmtree(path.parent.parent)


DELETIONS = [delete_database, delete_log, delete_both, delete_folder]


@pytest.mark.parametrize("delete", DELETIONS)
async def test_what_was_deleted_is_written_anew_with_all_that_was_in_it(
    store: SqliteStore, path: Path, delete: Callable[[Path], None]
) -> None:
    delete(path)
    assert re.fullmatch(
        f"{path}(-wal)? was deleted while it was in use; the database is being written anew", await refusal(store)
    )
    await check_goes_on(store, path)


@pytest.mark.parametrize("delete", DELETIONS)
async def test_it_may_be_deleted_again_and_again(
    store: SqliteStore, path: Path, delete: Callable[[Path], None]
) -> None:
    for _ in range(3):
        delete(path)
        assert "was deleted" in await refusal(store)
        assert (await store.adopt([BACKUP, REPORT], NOW))[BACKUP.name].pings == 1
    await check_goes_on(store, path)


@pytest.mark.parametrize("delete", DELETIONS)
async def test_a_store_that_is_closed_right_then_leaves_all_of_it_behind(
    path: Path, delete: Callable[[Path], None]
) -> None:
    store = await SqliteStore.open(path)
    await store.commit([Arrival(BACKUP, FIRST)], 100)
    delete(path)
    await store.close()
    reopened = await SqliteStore.open(path)
    assert await reopened.history(BACKUP.name) == [FIRST]
    await reopened.close()


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file of this process can grow beyond that size, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("delete", DELETIONS)
@pytest.mark.parametrize("room", [0, 8192])
async def test_what_cannot_be_written_anew_for_lack_of_room_is_once_there_is_some(
    store: SqliteStore, path: Path, delete: Callable[[Path], None], room: int
) -> None:
    delete(path)
    await refusal(store)
    with largest_file(room):
        for _ in range(2):
            said = await refusal(store)
            assert said.startswith(f"{path} cannot be used at present: the disk fails (SQLITE_IOERR")
    assert not [name for name in names(path.parent) if name not in ("heartbeats.db", "heartbeats.db-wal")]
    await check_goes_on(store, path)


async def test_a_folder_that_cannot_be_made_again_is_once_its_place_is_free(store: SqliteStore, path: Path) -> None:
    delete_folder(path)
    folder = path.parent.parent
    folder.write_text("")
    assert "was deleted" in await refusal(store)
    assert await refusal(store) == f"{path} cannot be used at present: Not a directory"
    folder.unlink()
    await check_goes_on(store, path)


# What is somebody else's


@pytest.mark.parametrize("name", ["heartbeats.db", "heartbeats.db-wal"])
@pytest.mark.parametrize("told", [False, True])
async def test_a_file_that_another_one_has_replaced_is_not_touched_and_all_goes_on_once_that_one_is_gone(
    store: SqliteStore, path: Path, name: str, told: bool
) -> None:
    file = path.with_name(name)
    file.unlink()
    if told:
        assert "was deleted" in await refusal(store)
    file.write_text("somebody else's")
    for _ in range(3):
        assert await refusal(store) == (
            f"{file} was replaced by another file while it was in use; move that one away, and the database is written "
            "anew, or restart the exporter to go on with what is there now"
        )
    assert file.read_text() == "somebody else's"
    file.rename(path.parent.parent / "away")
    if not told:
        assert "was deleted" in await refusal(store)
    await check_goes_on(store, path)


async def test_a_store_that_is_closed_leaves_a_file_that_has_replaced_its_own_alone(path: Path) -> None:
    store = await SqliteStore.open(path)
    path.unlink()
    path.write_text("somebody else's")
    await store.close()
    assert path.read_text() == "somebody else's"


async def test_a_file_that_comes_while_the_database_is_written_anew_is_not_replaced(
    store: SqliteStore, path: Path
) -> None:
    path.unlink()
    await refusal(store)

    def come(*_: object) -> int:
        path.write_text("somebody else's")
        return 0

    await store._run(store._db.set_authorizer, come)  # which SQLite asks while it copies
    assert "was replaced by another file" in await refusal(store)
    assert path.read_text() == "somebody else's"
    await store._run(store._db.set_authorizer, None)
    path.unlink()
    await check_goes_on(store, path)


async def test_a_database_that_was_written_anew_but_is_taken_by_another_process_is_left_to_it_and_then_read_again(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporter.store.sqlite_file.BUSY_FOR", 0.05)
    path.unlink()
    await refusal(store)
    with monkeypatch.context() as patch:
        patch.setattr("exporter.store.sqlite_file._schema", raising)
        assert await refusal(store) == "not now"
    with child_with(path, "wait") as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "done\n"
        assert "is held by another process" in await refusal(store)
        child.communicate()
    assert await store.history(BACKUP.name) == [SECOND, FIRST]
    assert (await store.commit([Arrival(BACKUP, SECOND)], 100))[BACKUP.name].pings == 3


def raising() -> None:
    raise StoreError("not now")


async def test_a_place_that_cannot_be_looked_at_is_told(store: SqliteStore, path: Path) -> None:
    folder = path.parent.parent
    folder.rename(folder.with_name("away"))
    folder.symlink_to(folder)
    assert await refusal(store) == f"{path} cannot be reached: Too many levels of symbolic links"
    folder.unlink()
    folder.with_name("away").rename(folder)
    await check_goes_on(store, path)


async def test_the_log_of_a_database_behind_a_symbolic_link_is_watched_as_well(tmp_path: Path) -> None:
    actual, link = tmp_path / "actual" / "file.db", tmp_path / "heartbeats.db"
    actual.parent.mkdir()
    link.symlink_to(actual)
    store = await SqliteStore.open(link)
    await store.commit([Arrival(BACKUP, FIRST)], 100)
    delete_log(actual)
    assert "was deleted" in await refusal(store)
    assert (await store.commit([Arrival(BACKUP, SECOND)], 100))[BACKUP.name].pings == 2
    assert link.is_symlink()
    await store.close()


# Crashes

CHILD = """
import asyncio, sys
from pathlib import Path
from exporter.heartbeat import Heartbeat, Name, Ping, Signal
from exporter.schedule import HOUR, Interval
from exporter.store import Arrival
from exporter.store.sqlite import SqliteStore
async def main():
    store = await SqliteStore.open(Path(sys.argv[1]))
    ping = Ping(1_700_000_000_001, Signal.FAIL, body=b"second")
    await store.commit([Arrival(Heartbeat(Name("backup"), Interval(HOUR)), ping)], 100)
    print("done", flush=True)
    if sys.argv[2] == "wait":
        sys.stdin.readline()
        return await store.close()
    while True:
        sys.stdin.readline()
        try:
            await store.beat(1_700_000_000_002, HOUR)
        except Exception as error:
            print(error, flush=True)
        else:
            print("taken", flush=True)
asyncio.run(main())
"""


def child_with(path: Path, what: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CHILD, str(path), what]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True)


@pytest.mark.parametrize("delete", DELETIONS)
async def test_a_process_that_is_killed_right_after_it_has_taken_something_again_has_lost_nothing(
    path: Path, delete: Callable[[Path], None]
) -> None:
    with child_with(path, "go") as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == "done\n"
        delete(path)
        said = []
        for _ in range(2):
            child.stdin.write("\n")
            child.stdin.flush()
            said.append(await asyncio.to_thread(child.stdout.readline))
        child.kill()
        assert child.wait() == -signal.SIGKILL
    assert "was deleted" in said[0]
    assert said[1] == "taken\n"
    store = await SqliteStore.open(path)
    assert await store.history(BACKUP.name) == [SECOND]
    assert (await store.liveness(HOUR)).alive_at == NOW + 2
    await store.close()


@pytest.mark.parametrize("log", ["kept", "gone"])
async def test_a_whole_copy_that_a_crash_left_beside_an_empty_place_becomes_the_database(
    store: SqliteStore, path: Path, tmp_path: Path, log: str
) -> None:
    folder = tmp_path / "crashed"
    folder.mkdir()
    copy = folder / path.name
    with await store.backup() as whole:
        copy.with_name("heartbeats.db-rescued").write_bytes(whole.read())
    if log == "kept":
        shutil.copy(f"{path}-wal", f"{copy}-wal")
    copy.with_name("heartbeats.db-copy").write_bytes(b"half a copy")
    copy.with_name("heartbeats.db-copy-journal").write_bytes(b"")
    opened = await SqliteStore.open(copy)
    assert await opened.history(BACKUP.name) == [FIRST]
    assert names(folder) == ["heartbeats.db", "heartbeats.db-wal"]
    await opened.close()


async def test_copies_that_a_crash_left_beside_a_database_are_removed(path: Path) -> None:
    await (await SqliteStore.open(path)).close()
    for name in ("heartbeats.db-copy", "heartbeats.db-copy-journal", "heartbeats.db-rescued"):
        path.with_name(name).write_bytes(b"left")
    path.with_name("heartbeats.db-copy-of-mine").write_bytes(b"kept")
    await (await SqliteStore.open(path)).close()
    assert names(path.parent) == ["heartbeats.db", "heartbeats.db-copy-of-mine"]


async def test_a_transaction_that_could_not_be_undone_does_not_keep_the_database_from_being_written_anew(
    store: SqliteStore, path: Path
) -> None:
    await store._run(store._db.execute, "BEGIN")
    await store._run(store._db.execute, "DELETE FROM pings")
    delete_both(path)
    await refusal(store)
    await check_goes_on(store, path)


async def test_a_large_database_is_written_anew_whole(store: SqliteStore, path: Path) -> None:
    many = [Arrival(REPORT, FIRST._replace(at=NOW + number)) for number in range(500)]
    await store.commit(many, 1000)
    delete_both(path)
    await refusal(store)
    assert len(await store.history(REPORT.name)) == 500
    await check_goes_on(store, path)
