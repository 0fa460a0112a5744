"""How the file is made, locked and kept up to date, and which files are refused."""

import asyncio
import os
import re
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from exporter.heartbeat import Heartbeat, Liveness, Name, Outage, Ping, Signal
from exporter.schedule import HOUR, Interval
from exporter.store import Arrival, StoreRefused
from exporter.store.sqlite import SqliteStore
from exporter.store.sqlite_file import APPLICATION_ID, _connect, _schema, _take_over

ROOT = Path(__file__).parents[2]
NEWEST = len(_schema())
NOW = 1_700_000_000_000
BACKUP = Heartbeat(Name("backup"), Interval(HOUR))
PING = Ping(NOW, Signal.SUCCESS)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "heartbeats.db"


async def made(path: Path, pings: int = 1) -> None:
    """A store of ours with so many pings, closed."""
    store = await SqliteStore.open(path)
    await store.adopt([BACKUP], NOW)
    await store.commit([Arrival(BACKUP, PING._replace(body=b"x" * 200))] * pings, pings)
    await store.close()


async def history_in(path: Path) -> list[Ping]:
    store = await SqliteStore.open(path)
    pings = list(await store.history(BACKUP.name))
    await store.close()
    return pings


async def refusal(path: Path) -> str:
    with pytest.raises(StoreRefused) as refused:
        await SqliteStore.open(path)
    return str(refused.value)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder. The index that SQLite makes for a log holds nothing of its own, so it is left out."""
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file() and not file.name.endswith("-shm")
    }


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


CHILD = """
import asyncio, sys
from pathlib import Path
from exporter.store.sqlite import SqliteStore
async def main():
    store = await SqliteStore.open(Path(sys.argv[1]))
    await store.beat(1, 1)
    print("open", flush=True)
    sys.stdin.readline()
    await store.close()
asyncio.run(main())
"""


@contextmanager
def held_by_another_process(path: Path) -> Iterator[subprocess.Popen[str]]:
    """The file while another process has it open, with something in its log, until its standard input ends."""
    command = [sys.executable, "-c", CHILD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "open\n"
        yield child


# How the file is made


async def test_the_file_and_its_folders_are_made_and_only_the_owner_may_read_what_is_in_it(path: Path) -> None:
    umask = os.umask(0)
    try:
        store = await SqliteStore.open(path)
    finally:
        os.umask(umask)
    await store.commit([Arrival(BACKUP, PING)], 1)
    assert {file.name: oct(mode(file)) for file in path.parent.iterdir()} == {
        "heartbeats.db": "0o600",
        "heartbeats.db-wal": "0o600",
    }
    await store.close()


async def test_the_modes_of_a_file_that_is_there_are_left_alone(path: Path) -> None:
    await made(path)
    path.parent.chmod(0o750)
    path.chmod(0o640)
    await made(path)
    assert (oct(mode(path.parent)), oct(mode(path))) == ("0o750", "0o640")


async def test_an_empty_file_is_filled(path: Path) -> None:
    path.parent.mkdir()
    path.touch(0o640)
    await made(path)
    assert oct(mode(path)) == "0o640"
    assert len(await history_in(path)) == 1


async def test_a_database_with_nothing_in_it_is_filled(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as db:
        db.execute("VACUUM")
    assert path.stat().st_size > 0
    await made(path)
    assert len(await history_in(path)) == 1


async def test_any_path_is_taken_literally(tmp_path: Path) -> None:
    path = tmp_path / "a folder?mode=memory#1" / "50%25 ü.db"
    await made(path)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


async def test_nothing_but_the_file_is_left_after_closing_also_after_a_crash(path: Path) -> None:
    with held_by_another_process(path) as child:
        child.kill()
    assert path.with_name("heartbeats.db-wal").exists()
    await made(path)
    assert [file.name for file in path.parent.iterdir()] == ["heartbeats.db"]


async def test_our_mark_and_the_version_are_in_the_file_itself_from_the_first(path: Path) -> None:
    with held_by_another_process(path):
        header = path.read_bytes()[:100]
    assert header[68:72] == b"HbEx"
    assert int.from_bytes(header[60:64]) == NEWEST


@pytest.mark.parametrize(
    ("pragma", "value"),
    [
        ("journal_mode", "wal"),
        ("synchronous", 2),  # FULL: a commit has returned only once the log is on disk
        ("locking_mode", "exclusive"),
        ("foreign_keys", 1),
        ("busy_timeout", 2000),
        ("application_id", APPLICATION_ID),
        ("user_version", NEWEST),
    ],
)
async def test_the_settings_are_in_force(path: Path, pragma: str, value: object) -> None:
    await made(path)
    store = await SqliteStore.open(path)  # of a file that is there: some of them are kept in it, some are not
    assert await store._run(lambda: store._db.execute(f"PRAGMA {pragma}").fetchone()) == (value,)
    await store.close()


# The schema


async def test_scripts_of_the_schema_are_applied_in_order_each_wholly_or_not_at_all(path: Path) -> None:
    await made(path)
    scripts = [*_schema(), "CREATE TABLE second (a)", "CREATE TABLE third (a); nonsense", "CREATE TABLE fourth (a)"]
    with closing(_connect(path, "mode=rw")) as db, pytest.raises(sqlite3.OperationalError, match="nonsense"):
        _take_over(db, path, scripts)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (NEWEST + 1,)
        tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert tables == {"heartbeats", "pings", "liveness", "journal", "second"}
    with closing(_connect(path, "mode=rw")) as db:
        _take_over(db, path, [*scripts[: NEWEST + 1], "CREATE TABLE third (a)"])
        assert db.execute("PRAGMA user_version").fetchone() == (NEWEST + 2,)
        assert db.execute("SELECT count(*) FROM pings").fetchone() == (1,)


async def test_a_file_of_an_older_version_is_brought_up_to_date_with_all_that_is_in_it(path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    with closing(_connect(path, "mode=rw")) as db:
        _take_over(db, path, _schema()[:1])
        db.execute("INSERT INTO liveness (id, alive_at, outage_start, outage_end) VALUES (1, 7000, 3000, 5000)")
    store = await SqliteStore.open(path)
    assert await store.liveness(HOUR) == Liveness(7000, Outage(3000, 5000, HOUR))
    await store.close()


async def test_a_first_start_that_fails_leaves_a_file_that_the_next_one_fills(path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    with closing(_connect(path, "mode=rw")) as db, pytest.raises(sqlite3.OperationalError, match="nonsense"):
        _take_over(db, path, ["CREATE TABLE first (a); nonsense"])
    await made(path)
    assert len(await history_in(path)) == 1


@pytest.mark.parametrize("first_page", ["written", "lost"])
async def test_a_first_start_that_a_crash_cut_short_is_taken_back_and_the_file_filled(
    path: Path, first_page: str
) -> None:
    path.parent.mkdir()
    other = path.with_name("other.db")
    with closing(sqlite3.connect(other, isolation_level=None)) as db:
        db.execute("PRAGMA cache_size = 1")  # so that pages reach the file before the transaction ends
        db.execute("BEGIN EXCLUSIVE")
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute("CREATE TABLE half (a)")
        db.executemany("INSERT INTO half VALUES (?)", [(b"x" * 1000,)] * 100)
        shutil.copy(other, path)
        shutil.copy(f"{other}-journal", f"{path}-journal")
    if first_page == "lost":
        with path.open("r+b") as file:
            file.write(bytes(4096))
    await made(path)
    assert len(await history_in(path)) == 1


async def test_a_first_start_on_a_disk_that_fails_is_refused_and_leaves_a_file_that_the_next_one_fills(
    path: Path,
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))
    try:
        said = await refusal(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert said == f"{path} cannot be opened: the disk fails (SQLITE_IOERR_WRITE)"
    assert contents(path.parent) == {"heartbeats.db": b""}
    await made(path)
    assert len(await history_in(path)) == 1


# What is refused


async def a_file_of_another_program(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE dashboards (id INTEGER PRIMARY KEY)")


async def a_file_that_another_program_has_marked(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA application_id = 1")


async def a_file_of_another_program_that_crashed(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE dashboards (id INTEGER PRIMARY KEY)")
        shutil.copy(path, f"{path}.copy")
        shutil.copy(f"{path}-wal", f"{path}-wal.copy")
    Path(f"{path}.copy").rename(path)
    Path(f"{path}-wal.copy").rename(f"{path}-wal")


async def a_file_of_a_newer_version(path: Path) -> None:
    await made(path)
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 7")


async def a_text(path: Path) -> None:
    path.write_text("db-backup: 0 3 * * *\n" * 100)


async def a_file_whose_first_page_is_zeros(path: Path) -> None:
    await made(path)
    overwrite(path, 0)


async def a_file_whose_pages_are_zeros_somewhere(path: Path) -> None:
    await made(path, pings=100)
    overwrite(path, path.stat().st_size - 1)  # where the last pings are


async def a_file_that_was_cut_short(path: Path) -> None:
    await made(path, pings=100)
    os.truncate(path, path.stat().st_size // 2)


async def a_file_that_was_cut_within_its_header(path: Path) -> None:
    await made(path)
    os.truncate(path, 50)


async def a_file_without_one_of_its_tables(path: Path) -> None:
    await made(path)
    with closing(sqlite3.connect(path)) as db:
        db.execute("DROP TABLE heartbeats")


async def a_damaged_file_with_a_log_that_a_crash_left(path: Path) -> None:
    await made(path, pings=100)
    with held_by_another_process(path) as child:
        child.kill()
    overwrite(path, 3 * 4096)


async def a_folder(path: Path) -> None:
    path.mkdir()


def overwrite(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset // 4096 * 4096)
        file.write(bytes(4096))


FOREIGN = "{path} belongs to another program; give the path of a file that does not exist yet"
NEWER = (
    "{path} was written by a newer version (schema 7, this one knows up to 3);"
    " run that version, or restore a backup from before it"
)
DAMAGED = "{path} is damaged ({finding}); restore a backup, or move it and any heartbeats.db-wal away to begin anew"


@pytest.mark.parametrize(
    ("prepare", "message", "finding"),
    [
        (a_file_of_another_program, FOREIGN, ""),
        (a_file_that_another_program_has_marked, FOREIGN, ""),
        (a_file_of_another_program_that_crashed, FOREIGN, ""),
        (
            a_file_of_a_newer_version,
            NEWER,
            "",
        ),
        (a_text, DAMAGED, "it is no SQLite database, or no longer one"),
        (a_file_whose_first_page_is_zeros, DAMAGED, "it is no SQLite database, or no longer one"),
        (a_file_that_was_cut_within_its_header, DAMAGED, "database disk image is malformed"),
        (a_file_that_was_cut_short, DAMAGED, "database disk image is malformed"),
        (a_file_without_one_of_its_tables, DAMAGED, "no such table: heartbeats"),
        (a_file_whose_pages_are_zeros_somewhere, DAMAGED, None),
        (a_damaged_file_with_a_log_that_a_crash_left, DAMAGED, None),
        (a_folder, "{path} is not a file; give the path of one, which is made if missing", ""),
    ],
)
async def test_what_cannot_be_used_is_refused_with_the_reason_and_not_changed(
    path: Path, prepare: Callable[[Path], Awaitable[None]], message: str, finding: str | None
) -> None:
    path.parent.mkdir()
    await prepare(path)
    before = contents(path.parent)
    said = await refusal(path)
    if finding is None:  # what SQLite finds wrong with a page, which differs from version to version
        assert re.fullmatch(
            re.escape(message.format(path=path, finding="FINDING")).replace("FINDING", ".*[Pp]age.*"), said
        )
    else:
        assert said == message.format(path=path, finding=finding)
    assert contents(path.parent) == before


UNPRIVILEGED = """
import asyncio, os, sys
from pathlib import Path
from exporter.store import StoreRefused
from exporter.store.sqlite import SqliteStore
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    asyncio.run(SqliteStore.open(Path(sys.argv[1])))
except StoreRefused as refused:
    print(str(refused).replace(f"user {os.geteuid()}", "user N"), end="")
"""


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that every user can reach, which the folders of pytest are not."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.parametrize(
    ("file_mode", "folder_mode", "message"),
    [
        (0o400, 0o777, "{path} must be readable and writable for user N; it is not"),
        (0o200, 0o777, "{path} must be readable and writable for user N; it is not"),
        (0o444, 0o777, "{path} must be readable and writable for user N; it is not"),
        (0o666, 0o555, "{path.parent} must be readable and writable for user N; it is not"),
        (None, 0o555, "{path} cannot be reached or made ({path}: Permission denied)"),
        (None, 0o000, "{path} cannot be reached or made ({path}: Permission denied)"),
    ],
)
async def test_a_file_or_folder_that_the_user_may_not_use_is_refused(
    public: Path, file_mode: int | None, folder_mode: int, message: str
) -> None:
    path = public / "data" / "heartbeats.db"
    path.parent.mkdir()
    if file_mode is not None:
        await made(path)
        path.chmod(file_mode)
    path.parent.chmod(folder_mode)
    try:
        said = await asyncio.to_thread(
            subprocess.check_output, [sys.executable, "-c", UNPRIVILEGED, str(path)], cwd=ROOT, text=True
        )
    finally:
        path.parent.chmod(0o755)
    assert said == message.format(path=path)


async def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    path = tmp_path / "data" / "heartbeats.db"
    assert await refusal(path) == f"{path} cannot be reached or made ({path.parent}: File exists)"


# The lock


async def test_a_file_that_another_process_holds_is_refused_and_left_to_it(path: Path) -> None:
    with held_by_another_process(path) as child:
        before = contents(path.parent)
        assert await refusal(path) == (
            f"{path} is held by another process; stop that one, or give this one a file of its own"
        )
        assert contents(path.parent) == before
        assert child.poll() is None
    await made(path)


async def test_a_process_that_is_just_stopping_is_waited_for(path: Path) -> None:
    with held_by_another_process(path) as child:
        opening = asyncio.create_task(SqliteStore.open(path))
        await asyncio.sleep(0)
        assert child.stdin is not None
        child.stdin.close()
        store = await opening
    await store.close()
