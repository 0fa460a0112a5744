"""A database that cannot be used: the command says so and exits with 1, and what is there stays as it is."""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from load import CONFIG, KEY
from servers import ROOT
from victim import Victim

UNPRIVILEGED = ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if os.geteuid() == 0 else ()
"""Runs a command under a user to whom permissions apply; root without its privilege to ignore them is one."""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """The folder of an exporter that was never started."""
    (tmp_path / "data").mkdir()
    (tmp_path / "config.yaml").write_text(CONFIG)
    yield tmp_path
    (tmp_path / "data").chmod(0o755)


@pytest.fixture
def database(folder: Path) -> Path:
    return folder / "data" / "heartbeats.db"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a database of ours with some pings in it."""
    with Victim(tmp_path_factory.mktemp("good"), CONFIG) as victim:
        victim.start()
        for _ in range(100):
            assert victim.request(f"/ping/{KEY}/hourly", "POST", body="x" * 200).status == 200
        assert victim.stop() == 0
        return victim.database.parent


def started(folder: Path, *before: str) -> subprocess.CompletedProcess[str]:
    """What becomes of the command when it is started by another one."""
    return subprocess.run(
        [
            *before,
            *(sys.executable, "-m", "exporter.cli", f"--config.file={folder / 'config.yaml'}"),
            f"--storage.url=sqlite:///{folder / 'data' / 'heartbeats.db'}",
            "--web.listen-address=127.0.0.1:0",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def refusal(folder: Path, *before: str) -> str:
    """What the command says when it does not start."""
    ended = started(folder, *before)
    assert (ended.returncode, ended.stdout) == (1, ""), ended.stderr
    assert "Traceback" not in ended.stderr
    first, said = ended.stderr.splitlines()[-2:]
    assert first == "heartbeat-exporter: cannot start:"
    return said


def contents(folder: Path) -> dict[str, bytes]:
    """Every file in the data folder but the secret, which is no part of the database, and SQLite's index of a log."""
    return {
        file.name: file.read_bytes()
        for file in (folder / "data").iterdir()
        if file.is_file() and file.name != "ping-secret" and not file.name.endswith("-shm")
    }


def zeros_in_the_middle(database: Path) -> None:
    with closing(sqlite3.connect(f"file:{database}?immutable=1", uri=True)) as db:
        (page,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'pings'").fetchone()
    with database.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(bytes(4096))


def zeros_at_the_beginning(database: Path) -> None:
    with database.open("r+b") as file:
        file.write(bytes(4096))


def cut_short(database: Path) -> None:
    os.truncate(database, database.stat().st_size // 2)


def no_database(database: Path) -> None:
    database.write_text("db-backup: 0 3 * * *\n" * 100)


def another_programs(database: Path) -> None:
    database.unlink()
    with closing(sqlite3.connect(database)) as db:
        db.execute("CREATE TABLE dashboards (id INTEGER PRIMARY KEY)")


def a_newer_versions(database: Path) -> None:
    with closing(sqlite3.connect(database)) as db:
        db.execute("PRAGMA user_version = 7")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (zeros_in_the_middle, "{path} is damaged ("),
        (zeros_at_the_beginning, "{path} is damaged (it is no SQLite database, or no longer one); restore a backup"),
        (cut_short, "{path} is damaged (database disk image is malformed); restore a backup"),
        (no_database, "{path} is damaged (it is no SQLite database, or no longer one)"),
        (another_programs, "{path} belongs to another program; give the path of a file that does not exist yet"),
        (
            a_newer_versions,
            "{path} was written by a newer version (schema 7, this one knows up to 3); run that version",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_the_reason_and_left_as_it_is(
    folder: Path, database: Path, good: Path, spoil: Callable[[Path], None], says: str
) -> None:
    shutil.copytree(good, database.parent, dirs_exist_ok=True)
    spoil(database)
    before = contents(folder)
    assert refusal(folder).startswith(says.format(path=database))
    assert contents(folder) == before


@pytest.mark.parametrize("there", [True, False], ids=["with a database", "empty"])
def test_a_folder_that_the_user_may_not_write_to_is_named_and_left_as_it_is(
    folder: Path, database: Path, good: Path, there: bool
) -> None:
    secret = good / "ping-secret"
    shutil.copy(secret, database.parent)
    (database.parent / "ping-secret").chmod(0o644)
    if there:
        shutil.copy(good / database.name, database)
        database.chmod(0o666)
    before = contents(folder)
    database.parent.chmod(0o555)
    said = refusal(folder, *UNPRIVILEGED)
    assert said.startswith(
        f"{database.parent} must be readable and writable for user"
        if there
        else f"{database} cannot be reached or made ({database}: Permission denied)"
    )
    assert contents(folder) == before


def test_a_second_process_on_a_file_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    with Victim(tmp_path, CONFIG) as victim:
        victim.start()
        before = contents(tmp_path)
        assert refusal(tmp_path) == (
            f"{victim.database} is held by another process; stop that one, or give this one a file of its own"
        )
        assert contents(tmp_path) == before
        assert victim.request(f"/ping/{KEY}/hourly").status == 200
        assert victim.scrape().each("heartbeat_pings_total", signal="success")["hourly"] == 1


def test_a_disk_that_fails_at_the_first_start_is_named_and_the_next_start_begins(folder: Path, database: Path) -> None:
    said = refusal(folder, "sh", "-c", 'unset COVERAGE_PROCESS_CONFIG; ulimit -f 16; exec "$@"', "sh")
    assert said == f"{database} cannot be opened: the disk fails (SQLITE_IOERR_WRITE)"
    with Victim(folder, CONFIG) as victim:
        victim.start()
        assert victim.request(f"/ping/{KEY}/hourly").status == 200
        assert victim.stop() == 0
