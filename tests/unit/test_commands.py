"""The two commands as a person calls them."""

import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest
from certificates import Authority

from exporter import __version__, cli, ctl
from exporter.heartbeat import Name
from exporter.roster import derive_token, ensure_secret

Check: TypeAlias = Callable[[], int]
Captured: TypeAlias = pytest.CaptureFixture[str]

ROOT = str(Path(__file__).parents[2])
CONFIG = "heartbeats: [{name: backup, interval: 1h}, {name: own, interval: 1h, token: own-token-0123456789}]"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a configuration in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HEARTBEAT_STORAGE_URL", raising=False)
    (tmp_path / "config.yaml").write_text(CONFIG)
    return tmp_path


@pytest.fixture
def token(here: Path) -> str:
    """The derived token of the heartbeat backup."""
    return derive_token(ensure_secret(here / "data" / "ping-secret"), Name("backup"), 1)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("check", [lambda: cli.main(["--config.check"]), lambda: ctl.main(["check-config"])])
class TestCheckConfig:
    def test_a_good_file_is_called_good(self, check: Check, capsys: Captured) -> None:
        assert check() == 0
        assert capsys.readouterr() == ("config.yaml: good, 2 heartbeats\n", "")

    def test_warnings_are_printed_and_leave_the_file_good(self, here: Path, check: Check, capsys: Captured) -> None:
        (here / "config.yaml").write_text("heartbeats: [{name: backup, interval: 1h, grace: 0s}]")
        assert check() == 0
        out, err = capsys.readouterr()
        assert out == "config.yaml: good, 1 heartbeat\n"
        assert err.startswith("config.yaml:1: heartbeats.backup.grace: ")
        assert err.endswith(" (warning)\n")

    def test_every_error_of_a_bad_file_is_printed(self, here: Path, check: Check, capsys: Captured) -> None:
        (here / "config.yaml").write_text("heartbeats:\n- {name: backup, interval: soon}\n- {name: 7}\n")
        assert check() == 1
        out, err = capsys.readouterr()
        assert out == ""
        assert err.splitlines()[0].startswith("config.yaml:2: heartbeats.backup.interval: ")
        assert any(line.startswith("config.yaml:3: ") for line in err.splitlines())
        assert err.splitlines()[-1].endswith(" errors")


@pytest.mark.usefixtures("here")
class TestCheckWebConfig:
    def test_a_good_file_is_called_good_with_what_it_asks_for(self, here: Path, capsys: Captured) -> None:
        (here / "web.yaml").write_text("http_server_config: {headers: {X-Frame-Options: deny}}")
        assert ctl.main(["check-web-config", "--web.config.file=web.yaml"]) == 0
        assert capsys.readouterr() == ("web.yaml: good, no TLS, 0 users\n", "")

    def test_every_error_of_a_bad_file_is_printed(self, here: Path, capsys: Captured) -> None:
        (here / "web.yaml").write_text("basic_auth_users:\n  ann: in-clear\ntls: {}\n")
        assert ctl.main(["check-web-config", "--web.config.file=web.yaml"]) == 1
        out, err = capsys.readouterr()
        assert out == ""
        first, second, last = err.splitlines()
        assert first.startswith("web.yaml:2: basic_auth_users.ann: is not a bcrypt hash")
        assert second.startswith("web.yaml:3: tls: is not a known key")
        assert last == "web.yaml: 2 errors"

    def test_the_file_must_be_named(self, capsys: Captured) -> None:
        with pytest.raises(SystemExit) as caught:
            ctl.main(["check-web-config"])
        assert caught.value.code == 2
        assert "--web.config.file" in capsys.readouterr().err


def test_urls_prints_every_heartbeat_with_its_url(token: str, capsys: Captured) -> None:
    assert ctl.main(["urls"]) == 0
    assert capsys.readouterr().out == (
        f"backup\thttp://localhost:10090/heartbeat/{token}\n"
        "own\thttp://localhost:10090/heartbeat/own-token-0123456789\n"
    )


def test_urls_prints_the_url_of_one(token: str, capsys: Captured) -> None:
    assert ctl.main(["urls", "backup", "--web.external-url=https://hb.example.org/"]) == 0
    assert capsys.readouterr().out == f"https://hb.example.org/heartbeat/{token}\n"


def test_urls_are_encrypted_where_the_web_config_says_so(here: Path, token: str, capsys: Captured) -> None:
    Authority.make(here).issue("server")
    (here / "web.yaml").write_text("tls_server_config: {cert_file: server.crt, key_file: server.key}")
    assert ctl.main(["urls", "backup", "--web.config.file=web.yaml"]) == 0
    assert capsys.readouterr().out == f"https://localhost:10090/heartbeat/{token}\n"


@pytest.mark.usefixtures("token")
def test_urls_ends_quietly_when_nobody_reads_on(here: Path) -> None:
    many = "\n".join(f"- {{name: j{number}, interval: 1h}}" for number in range(5000))
    (here / "config.yaml").write_text(f"heartbeats:\n{many}")
    command = [sys.executable, "-m", "exporter.ctl", "urls"]
    environment = os.environ | {"PYTHONPATH": ROOT}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        assert child.stdout.readline().startswith(b"j0\t")
        child.stdout.close()
        assert child.stderr.read() == b""
    assert child.returncode == 0


@pytest.mark.usefixtures("token")
def test_urls_of_a_heartbeat_that_is_not_there_names_the_likeliest(capsys: Captured) -> None:
    assert ctl.main(["urls", "bakcup"]) == 1
    assert capsys.readouterr().err == 'config.yaml has no heartbeat "bakcup"; did you mean backup?\n'


@pytest.mark.usefixtures("here")
def test_urls_before_the_first_start_says_where_the_secret_comes_from(capsys: Captured) -> None:
    assert ctl.main(["urls"]) == 1
    err = capsys.readouterr().err
    assert "data/ping-secret cannot be read: No such file or directory" in err
    assert "made when the exporter first starts" in err


def test_urls_of_a_bad_file_prints_its_errors(here: Path, capsys: Captured) -> None:
    (here / "config.yaml").write_text("heartbeats: [{name: backup}]")
    assert ctl.main(["urls"]) == 1
    assert capsys.readouterr().err.startswith("config.yaml:1: heartbeats.backup")


@pytest.mark.usefixtures("here")
def test_a_server_that_cannot_start_says_why_and_exits_with_1(capsys: Captured) -> None:
    assert cli.main(["--config.file=missing.yaml"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("heartbeat-exporter: cannot start:\nmissing.yaml: cannot be read: ")


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["urls", "--nonsense"], ["urls", "--config=x"]])
def test_a_wrong_command_line_exits_with_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        ctl.main(arguments)
    assert caught.value.code == 2


@pytest.mark.parametrize(("main", "name"), [(cli.main, "heartbeat-exporter"), (ctl.main, "heartbeatctl")])
def test_the_version_is_printed_as_other_exporters_print_theirs(
    main: Callable[[list[str]], int], name: str, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEARTBEAT_EXPORTER_REVISION", "abc123")
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    python = platform.python_version()
    assert capsys.readouterr().out == f"{name}, version {__version__} (revision: abc123, python: {python})\n"
