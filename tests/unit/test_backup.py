"""Backups, with and without an exporter that has the database open, and how the exporter is asked for one."""

import asyncio
import os
import shutil
import socket
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import BinaryIO, TypeAlias

import pytest
from structlog.testing import capture_logs

from exporter import ctl
from exporter.heartbeat import Heartbeat, Name, Ping, Signal
from exporter.schedule import HOUR, Interval
from exporter.store import Arrival, StoreError
from exporter.store.backup import BackupError, make_backup
from exporter.store.control import answering, ask_for_backup, socket_of
from exporter.store.sqlite import SqliteStore

Captured: TypeAlias = pytest.CaptureFixture[str]
NOW = 1_700_000_000_000
BACKUP = Heartbeat(Name("backup"), Interval(HOUR))
REPORT = Heartbeat(Name("report"), Interval(HOUR))
GONE = Heartbeat(Name("gone"), Interval(HOUR))
PING = Ping(NOW, Signal.SUCCESS, body=b"done")
SECRET = b"secret-0123456789\n"


@pytest.fixture
async def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A database that nobody has open, with two heartbeats and a ping, below the working directory; with its secret."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HEARTBEAT_STORAGE_URL", raising=False)
    path = tmp_path / "data" / "heartbeats.db"
    store = await SqliteStore.open(path)
    await store.adopt([BACKUP, REPORT, GONE], NOW)
    await store.adopt([BACKUP, REPORT], NOW)
    await store.commit([Arrival(BACKUP, PING)], 100)
    await store.close()
    path.with_name("ping-secret").write_bytes(SECRET)
    return path


@asynccontextmanager
async def served(path: Path) -> AsyncIterator[SqliteStore]:
    """The store, open, and answering whoever asks for a backup."""
    store = await SqliteStore.open(path)
    async with answering(path, store.backup):
        yield store
    await store.close()


async def ask(*arguments: str) -> int:
    """`heartbeatctl backup`, while the exporter of the test goes on."""
    return await asyncio.to_thread(ctl.main, ["backup", *arguments])


async def history_in(path: Path) -> list[Ping]:
    store = await SqliteStore.open(path)
    pings = list(await store.history(BACKUP.name))
    await store.close()
    return pings


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


# The folder


@pytest.mark.parametrize("running", [False, True])
async def test_a_backup_is_a_folder_that_can_take_the_place_of_the_exporters_own(
    path: Path, tmp_path: Path, capsys: Captured, running: bool
) -> None:
    if running:
        async with served(path) as store:
            assert await ask("kept") == 0
            assert (await store.commit([Arrival(BACKUP, PING)], 100))[BACKUP.name].pings == 2
    else:
        assert await ask("kept") == 0
    kept = tmp_path / "kept"
    size = (kept / "heartbeats.db").stat().st_size / 1e6
    out, err = capsys.readouterr()
    assert out.splitlines()[-1] == f"kept: heartbeats.db ({size:.1f} MB, 2 heartbeats), ping-secret"
    assert err == ""
    assert {place.name: oct(place.stat().st_mode & 0o777) for place in (kept, *kept.iterdir())} == {
        "kept": "0o700",
        "heartbeats.db": "0o600",
        "ping-secret": "0o600",
    }
    assert names(tmp_path) == ["data", "kept"]
    assert names(path.parent) == ["heartbeats.db", "ping-secret"]
    assert (kept / "ping-secret").read_bytes() == SECRET
    assert await history_in(kept / "heartbeats.db") == [PING]


async def test_the_database_keeps_its_name(path: Path) -> None:
    path.rename("own.db")
    assert await ask("--storage.url=sqlite:///own.db", "kept") == 0
    assert names(Path("kept")) == ["own.db"]


async def test_an_empty_folder_is_filled(path: Path) -> None:
    Path("kept").mkdir(mode=0o755)
    assert await ask("kept") == 0
    assert names(Path("kept")) == names(path.parent)


async def test_what_a_crash_left_in_the_log_is_in_the_backup(path: Path, tmp_path: Path) -> None:
    store = await SqliteStore.open(path)
    await store.commit([Arrival(BACKUP, PING)], 100)
    crashed = tmp_path / "crashed" / path.name
    shutil.copytree(path.parent, crashed.parent)
    await store.close()
    assert await ask(f"--storage.url=sqlite:///{crashed}", "kept") == 0
    assert await history_in(Path("kept/heartbeats.db")) == [PING, PING]


async def test_a_secret_that_lies_elsewhere_is_left_out_and_it_is_said(path: Path, capsys: Captured) -> None:
    assert await ask("--ping.secret-file=/etc/own", "kept") == 0
    assert names(Path("kept")) == [path.name]
    assert capsys.readouterr().out.splitlines()[1:] == [
        "the ping secret in /etc/own is not part of it: keep a copy of that file as well"
    ]


async def test_a_secret_that_is_named_and_lies_beside_the_database_is_part_of_it(path: Path) -> None:
    path.with_name("own").write_bytes(SECRET)
    assert await ask("--ping.secret-file=data/own", "kept") == 0
    assert names(Path("kept")) == [path.name, "own"]


async def test_a_secret_that_is_missing_is_missed(path: Path, capsys: Captured) -> None:
    path.with_name("ping-secret").unlink()
    assert await ask("kept") == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        "there is no ping secret at data/ping-secret: if it is elsewhere, keep a copy of it as well"
    ]


# What is refused


def nothing(_: Path) -> None:
    """Everything is as it should be."""


def remove(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    path.write_bytes(b"")


def damage(path: Path) -> None:
    path.write_text("damaged")


def make_newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 7")


def make_secret_unreadable(path: Path) -> None:
    path.with_name("ping-secret").unlink()
    path.with_name("ping-secret").mkdir()


def put_file_for_socket(path: Path) -> None:
    socket_of(path).with_name("loop").symlink_to("loop")
    socket_of(path).symlink_to("loop")


@pytest.mark.parametrize(
    ("prepare", "destination", "message"),
    [
        (nothing, "data", "data exists already; give a folder that does not, or an empty one"),
        (nothing, "data/ping-secret", "data/ping-secret exists already; give a folder that does not, or an empty one"),
        (nothing, "away/kept", "away is no folder; give a new folder in one that exists"),
        (remove, "kept", "there is no database at data/heartbeats.db"),
        (empty, "kept", "data/heartbeats.db is empty"),
        (damage, "kept", "data/heartbeats.db is damaged (it is no SQLite database"),
        (make_newer, "kept", "data/heartbeats.db was written by a newer version"),
        (make_secret_unreadable, "kept", "kept cannot be written: Is a directory (data/ping-secret)"),
        (put_file_for_socket, "kept", "the exporter cannot be asked through data/heartbeats.db-control: Too many"),
    ],
)
async def test_when_there_can_be_no_backup_the_reason_is_said_and_nothing_is_left(
    path: Path, tmp_path: Path, capsys: Captured, prepare: Callable[[Path], None], destination: str, message: str
) -> None:
    prepare(path)
    before = names(path.parent)
    assert await ask(destination) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"no backup was made: {message}")
    assert names(tmp_path) == ["data"]
    assert names(path.parent) == before


async def test_a_database_that_is_held_by_a_process_that_cannot_be_asked_is_not_copied(
    path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporter.store.sqlite_file.BUSY_FOR", 0.05)
    async with held(path):
        assert await ask("kept") == 1
    assert "data/heartbeats.db is held by another process" in capsys.readouterr().err
    assert not Path("kept").exists()


HOLDER = """
import sys
from pathlib import Path
from exporter.store.sqlite_file import open_file
held = open_file(Path(sys.argv[1]))
print(flush=True)
sys.stdin.read()
"""


@asynccontextmanager
async def held(path: Path) -> AsyncIterator[None]:
    """The database while another process has it open, which nobody can ask."""
    pipe = asyncio.subprocess.PIPE
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDER, path, stdin=pipe, stdout=pipe, env=environment
    )
    assert child.stdout is not None
    await child.stdout.readline()
    try:
        yield
    finally:
        await child.communicate(b"")


async def test_a_copy_that_cannot_be_read_is_no_backup(path: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_bytes(path.read_bytes()[:5000])

    async def backup() -> BinaryIO:
        return broken.open("rb")

    async with answering(path, backup):
        with pytest.raises(BackupError, match=r"the copy cannot be used: .* is damaged"):
            await asyncio.to_thread(make_backup, path, None, tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


async def test_why_the_store_cannot_be_copied_is_told_to_whoever_asked(path: Path, tmp_path: Path) -> None:
    async with served(path) as store:
        path.rename(tmp_path / "away")
        with pytest.raises(StoreError, match=r"heartbeats\.db was moved away while it was in use"):
            await asyncio.to_thread(ask_for_backup, path)
        (tmp_path / "away").rename(path)
        assert len(await store.history(BACKUP.name)) == 1


async def test_a_database_that_was_deleted_is_written_anew_before_it_is_copied(path: Path) -> None:
    async with served(path):
        path.unlink()
        with pytest.raises(StoreError, match="was deleted"):
            await asyncio.to_thread(ask_for_backup, path)
        with await asyncio.to_thread(ask_for_backup, path) as copy:
            assert copy.read(6) == b"SQLite"
        assert path.exists()


# The socket


async def test_only_the_owner_may_ask_and_nothing_is_left_of_the_socket(path: Path) -> None:
    umask = os.umask(0)
    try:
        async with served(path):
            assert oct(socket_of(path).stat().st_mode & 0o777) == "0o600"
    finally:
        os.umask(umask)
    assert not socket_of(path).exists()


async def test_a_socket_that_a_crash_left_is_replaced_and_does_not_stand_for_an_exporter(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(socket_of(path)))
    assert await ask("kept") == 0
    async with served(path):
        assert await ask("kept-too") == 0


async def test_a_path_that_is_too_long_for_a_socket_is_none(path: Path, tmp_path: Path) -> None:
    long = tmp_path / ("long-" * 20) / ("long-" * 20) / path.name
    shutil.copytree(path.parent, long.parent)
    async with served(long):
        assert await ask(f"--storage.url=sqlite:///{long}", "kept") == 0
    assert not socket_of(long).exists()


async def test_where_no_socket_can_be_made_the_exporter_runs_without_one(path: Path) -> None:
    socket_of(path).write_text("something else")
    with capture_logs() as lines:
        async with served(path) as store:
            assert len(await store.history(BACKUP.name)) == 1
    assert lines == [
        {
            "log_level": "warning",
            "event": "no backup can be asked for while the exporter runs: its socket cannot be made",
            "path": str(socket_of(path)),
            "reason": "there is something else in its place",
        }
    ]
    assert socket_of(path).read_text() == "something else"


async def test_a_name_that_no_socket_can_have_only_costs_the_socket(path: Path) -> None:
    path = path.rename(path.with_name("n" * 200))
    with capture_logs() as lines:
        async with served(path):
            pass
    assert [line["reason"] for line in lines] == ["AF_UNIX path too long"]


async def test_a_socket_that_somebody_has_removed_or_replaced_is_not_removed_again(path: Path) -> None:
    async with served(path):
        socket_of(path).unlink()
    async with served(path):
        socket_of(path).unlink()
        socket_of(path).write_text("something else")
    assert socket_of(path).read_text() == "something else"


@pytest.mark.parametrize("said", [b"", b"nonsense\n"])
async def test_whoever_asks_for_something_else_is_told_and_the_next_is_answered(path: Path, said: bytes) -> None:
    async with served(path):
        reader, writer = await asyncio.open_unix_connection(socket_of(path))
        writer.write(said)
        writer.write_eof()
        assert await reader.read() == b"not understood: this exporter is of another version"
        writer.close()
        assert await ask("kept") == 0


async def test_whoever_says_nothing_or_has_gone_keeps_the_next_waiting_for_a_moment_only(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporter.store.control.ASKED_WITHIN", 0.05)
    async with served(path) as store:
        _, silent = await asyncio.open_unix_connection(socket_of(path))
        _, gone = await asyncio.open_unix_connection(socket_of(path))
        gone.write(b"BACKUP\n")
        await gone.drain()
        gone.transport.abort()
        assert (await store.commit([Arrival(BACKUP, PING)], 100))[BACKUP.name].pings == 2
        assert await ask("kept") == 0
        assert names(path.parent) == ["heartbeats.db", "heartbeats.db-control", "heartbeats.db-wal", "ping-secret"]
        silent.close()


async def test_an_exporter_that_goes_away_without_an_answer_is_told(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(socket_of(path)))
        listener.listen()
        asking = asyncio.create_task(asyncio.to_thread(ask_for_backup, path))
        connection, _ = await asyncio.to_thread(listener.accept)
        assert await asyncio.to_thread(connection.recv, 100) == b"BACKUP\n"
        connection.close()
        with pytest.raises(StoreError, match=r"has closed .* without an answer"):
            await asking


async def test_an_exporter_that_does_not_answer_is_not_waited_for_for_ever(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporter.store.control.ANSWERED_WITHIN", 0.05)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(socket_of(path)))
        listener.listen()
        with pytest.raises(StoreError, match=r"does not answer at .*: timed out"):
            await asyncio.to_thread(ask_for_backup, path)


@pytest.mark.parametrize("well", [True, False])
async def test_a_copy_that_is_being_made_when_the_exporter_stops_comes_to_its_end_first(
    path: Path, tmp_path: Path, well: bool
) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()
    copy = (tmp_path / "copy").open("wb+", buffering=0)

    async def backup() -> BinaryIO:
        begun.set()
        await go_on.wait()
        if not well:
            raise StoreError("no")
        return copy

    async with answering(path, backup):
        asking = asyncio.create_task(asyncio.to_thread(ask_for_backup, path))
        await begun.wait()
        asyncio.get_running_loop().call_later(0.05, go_on.set)
    assert copy.closed is well
    copy.close()
    with pytest.raises(StoreError, match="without an answer"):
        await asking
