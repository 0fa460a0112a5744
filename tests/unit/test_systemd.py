"""The unit for systemd: it is one, it confines the exporter as far as it does today, and the exporter lives with it.

What a running systemd alone can show, file systems and users among it, is not shown here.
"""

import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from programs import printed, program
from servers import DEPLOY, ROOT, Exporter, eventually

from exporter.cli import build_parser

UNIT = DEPLOY / "systemd" / "heartbeat-exporter.service"
PROGRAM = "/opt/heartbeat-exporter/bin/heartbeat-exporter"
MOST_EXPOSED = 13
"""Tenths of what `systemd-analyze security` calls the exposure; a newer systemd knows more that may be taken away."""


def lines() -> list[str]:
    """The unit's lines, continued ones joined."""
    return UNIT.read_text().replace("\\\n", "").splitlines()


def settings(key: str) -> list[str]:
    """The values of a key, in their order."""
    return [value for line in lines() for name, _, value in [line.partition("=")] if name == key]


def commands() -> list[list[str]]:
    """What the unit has run of the exporter, as its arguments."""
    found = [shlex.split(value) for key in ("ExecStart", "ExecReload") for value in settings(key)]
    return [arguments for path, *arguments in found if path == PROGRAM]


def members(group: str) -> set[str]:
    """The system calls in one of systemd's groups."""
    _, *names = (
        line.partition("#")[0].strip() for line in printed("systemd-analyze", "syscall-filter", group).splitlines()
    )
    return {call for name in names if name for call in (members(name) if name.startswith("@") else {name})}


def allowed_calls() -> set[str]:
    """The system calls that the unit leaves to the exporter."""
    allowed: set[str] = set()
    for value in settings("SystemCallFilter"):
        named = {
            call for name in value.removeprefix("~").split() for call in (members(name) if name[0] == "@" else {name})
        }
        allowed = allowed - named if value.startswith("~") else allowed | named
    return allowed


class Confined(Exporter):
    """An exporter with the system calls that the unit leaves it."""

    def command(self) -> Sequence[str]:
        confine = [sys.executable, str(ROOT / "tests" / "support" / "confined.py"), *sorted(allowed_calls()), "--"]
        return [*confine, *super().command()]

    def filters(self) -> int:
        """How many filters of system calls hold for it."""
        assert self._process is not None
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(dict(line.split(":", 1) for line in status.splitlines())["Seccomp_filters"])


def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    # It wants to find the programs, which are elsewhere here.
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace(PROGRAM, sys.executable).replace("/bin/kill", sys.executable))
    done = subprocess.run(
        [program("systemd-analyze"), "verify", "--man=no", unit],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_unit_exposes_no_more_than_it_did() -> None:
    # 250 or newer, for --offline.
    printed("systemd-analyze", "security", "--offline=true", f"--threshold={MOST_EXPOSED}", "--no-pager", UNIT)


def test_the_exporter_knows_every_flag_in_the_unit() -> None:
    for arguments in commands():
        build_parser().parse_args([argument for argument in arguments if argument != "$ARGS"])
    assert len(commands()) == 2


def test_what_is_checked_after_a_reload_is_what_is_loaded() -> None:
    (start, check) = (build_parser().parse_args([a for a in arguments if a != "$ARGS"]) for arguments in commands())
    assert check.config_check
    assert check.config_file == start.config_file


def test_the_store_is_in_the_folder_that_systemd_makes_for_it() -> None:
    options = build_parser().parse_args([argument for argument in commands()[0] if argument != "$ARGS"])
    assert settings("StateDirectory") == ["heartbeat-exporter"]
    assert options.storage.parent == Path("/var/lib/heartbeat-exporter")


def test_systemd_waits_longer_for_the_end_than_the_exporter_takes() -> None:
    (seconds,) = settings("TimeoutStopSec")
    assert int(seconds.removesuffix("s")) > 10


@pytest.mark.parametrize("call", ["mount", "ptrace", "bpf", "init_module", "reboot", "setuid", "chown", "setrlimit"])
def test_the_unit_refuses_calls_that_the_exporter_has_no_use_for(call: str) -> None:
    assert call not in allowed_calls()


TO_READ_APART = "\n#" + 300_000 * "x"


def test_the_exporter_does_all_its_work_with_the_system_calls_that_the_unit_leaves_it(tmp_path: Path) -> None:
    web = tmp_path / "web.sock"
    with Confined(
        tmp_path, f"heartbeats: [{{name: backup, interval: 1h}}]{TO_READ_APART}", f"--web.listen-address=unix:{web}"
    ) as exporter:
        exporter.start()
        assert exporter.filters() >= 2
        (url,) = exporter.urls().values()
        assert exporter.request(urlsplit(url).path, "POST", body="all is well").status == 200
        assert exporter.request("/metrics", headers={"Accept-Encoding": "identity"}).status == 200
        assert exporter.request("/").status == 200
        assert printed("curl", "-fsS", "--unix-socket", web, "http://localhost/-/ready") == "ready\n"
        heartbeats = "[{name: backup, interval: 1h}, {name: report, interval: 1h}]"
        exporter.configure(f"heartbeats: {heartbeats}{TO_READ_APART}")
        exporter.send(signal.SIGHUP)
        eventually("it has reloaded", lambda: 'heartbeat="report"' in exporter.request("/metrics").text, exporter)
        assert exporter.stop() == 0


@pytest.mark.parametrize(
    ("attempt", "refused"),
    [
        ("import os; os.chown('.', 0, 0)", "PermissionError"),
        ("import mmap; mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC)", "PermissionError"),
        ("import os; os.memfd_create('certificate')", ""),
    ],
)
def test_what_is_refused_here_is_what_the_unit_refuses(attempt: str, refused: str) -> None:
    confine = ROOT / "tests" / "support" / "confined.py"
    command = [sys.executable, str(confine), *sorted(allowed_calls()), "--", sys.executable, "-c", attempt]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr.strip().rpartition("\n")[2].partition(":")[0] == refused
