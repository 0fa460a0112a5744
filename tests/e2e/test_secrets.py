"""Secrets stay where they belong, at the most talkative level of logging, whatever is done to the exporter."""

import base64
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import bcrypt
import pytest
import yaml
from certificates import Authority
from leaks import Watch
from servers import ROOT, Exporter, eventually
from wire import answers, exchange

OWN = "tok_Own-5hGd83kWq0Zx"
FILED = "tok_Filed-8Jq2mVb7Ls"
SHARED = "key_Shared-Xw4n9Tc6"
SHARED_FILED = "key_Filed-Rf3p7Yb1"
BESIDE = "tok_Beside-7Kp4sWd2"
SPOILT = "tok_Spoilt-2Qz9!vKd"
PASSWORD = "pw_Dsn-6Bt1rMc8uH"
LOGIN = "pw_Login-9Hw3tKx5Ej"
LOGIN_HASH = bcrypt.hashpw(LOGIN.encode(), bcrypt.gensalt(4)).decode()
PING_SECRET = "sec_Derive-4Vn8cXq2wLe7"

ALIKE = "a token that another is derived to"  # which only those see who know the secret
CONFIG = f"""pings: {{keys: [{{key: {SHARED}}}, {{key_file: secrets/key}}]}}
heartbeats:
  - {{name: own, interval: 1h, token: {OWN}}}
  - {{name: filed, interval: 1h, token_file: secrets/token}}
  - {{name: derived, interval: 1h, methods: [POST], labels: {{team: storage}}}}
"""
BAD = {
    "a duration beside a token": f"heartbeats: [{{name: own, interval: soon, token: {BESIDE}}}]",
    "a token that is none": f"heartbeats: [{{name: own, interval: 1h, token: '{SPOILT}'}}]",
    "a token of a wrong type": f"heartbeats: [{{name: own, interval: 1h, token: [{BESIDE}]}}]",
    "a token under an unknown key": f"heartbeats: [{{name: own, interval: 1h, tokne: {BESIDE}}}]",
    "a token for a file": f"heartbeats: [{{name: own, interval: 1h, token_file: {BESIDE}}}]",
    "a key for a mapping": f"pings: {{keys: [{BESIDE}]}}",
    "a token on a line that is no YAML": f"heartbeats: [{{name: own, token: {BESIDE}",
    "two alike tokens": "heartbeats:\n" + "".join(f"  - {{name: {n}, interval: 1h, token: {BESIDE}}}\n" for n in "ab"),
    "a token that is a key": f"""pings: {{keys: [{{key: {BESIDE}}}]}}
heartbeats: [{{name: a, interval: 1h, token: {BESIDE}}}]""",
    ALIKE: "heartbeats: [{name: derived, interval: 1h}, {name: b, interval: 1h, token: DERIVED}]",
}


class Stage:
    """An exporter whose secrets are all known, and everything that it and its tools say."""

    def __init__(self, folder: Path, form: str, *flags: str) -> None:
        (folder / "secrets").mkdir()
        for name, secret in (("token", FILED), ("key", SHARED_FILED), ("ping", PING_SECRET)):
            (folder / "secrets" / name).write_text(f"{secret}\n")
            (folder / "secrets" / name).chmod(0o600)
        self.folder = folder
        self.exporter = Exporter(
            folder,
            CONFIG,
            *("--log.level=debug", f"--log.format={form}", "--web.enable-lifecycle"),
            f"--ping.secret-file={folder / 'secrets' / 'ping'}",
            *flags,
        )
        self.watch = Watch(
            {
                "own token": OWN,
                "token from a file": FILED,
                "shared key": SHARED,
                "shared key from a file": SHARED_FILED,
                "token in a bad configuration": BESIDE,
                "text for a token": SPOILT,
                "ping secret": PING_SECRET,
                "storage password": PASSWORD,
            }
        )

    @property
    def flags(self) -> list[str]:
        """The flags of the exporter that `heartbeatctl` takes, too."""
        return [*self.exporter._own_flags, f"--ping.secret-file={self.folder / 'secrets' / 'ping'}"]

    def ask(self, request: str, headers: Mapping[str, str] | None = None, body: str = "") -> list[int]:
        """The statuses of the answers to one request, once they have been taken down: ``POST /path``."""
        told = {"Host": "x", "Content-Length": str(len(body)), "Connection": "close"} | dict(headers or {})
        head = [f"{request} HTTP/1.1", *(f"{name}: {value}" for name, value in told.items()), "", ""]
        return self.send("\r\n".join(head).encode() + body.encode(), whole=True)

    def send(self, sent: bytes, *, whole: bool = False) -> list[int]:
        """The statuses of the answers to some bytes, once they have been taken down."""
        heard = exchange(("127.0.0.1", self.exporter.port), sent, whole=whole)
        self.watch.hear("answers", heard.decode("latin-1"))
        return [answer.status for answer in answers(heard)]

    def command(
        self, module: str, *arguments: str, environment: Mapping[str, str] | None = None, may_tell: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """What a command says, which is taken down; of one that may tell secrets, only what it says on stderr."""
        done = subprocess.run(
            [sys.executable, "-m", f"exporter.{module}", *arguments],
            cwd=ROOT,
            env=os.environ | dict(environment or {}),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        where = f"{module} {arguments[0] if arguments else ''}"
        self.watch.hear(f"stderr of {where}", done.stderr)
        if not may_tell:
            self.watch.hear(f"stdout of {where}", done.stdout)
        return done

    def log(self) -> str:
        """All that the exporter has written."""
        return self.exporter._log.read_text()


def ping_in_every_way(stage: Stage, tokens: Mapping[str, str]) -> None:
    """Good and bad requests, all of which hold a secret or what nearly is one."""
    for token in tokens.values():
        for path in (
            f"/ping/{token}",
            f"/heartbeat/{token}",
            f"/heartbeat/{token}/start",
            f"/ping/{token}/3",
            f"/ping/{token}/log",
        ):
            assert stage.ask(f"POST {path}", body="x" * 20_000) == [200]
        assert stage.ask(f"GET /ping/{token}?rid=6f9619ff-8b86-d011-b42d-00c04fc964ff") == [200]
        for path in (f"/ping/{token}/256", f"/ping/{token}/{token}", f"/ping/{token}?rid={token}"):
            assert stage.ask(f"GET {path}") == [400]
        for method in ("PUT", "DELETE"):
            assert stage.ask(f"{method} /ping/{token}") == [405]
        assert stage.ask(f"OPTIONS /ping/{token}") == [204]
        mistyped = [token[:-1], token + "x", token.swapcase(), f"{token}%00", f"x/{token}", f"{token[:-1]}/fail"]
        assert [stage.ask(f"GET /ping/{each}") for each in mistyped] == [[404]] * len(mistyped)
        for path in (f"/{token}", f"/metrics/{token}", f"/-/{token}", f"//ping/{token}", f"/PING/{token}"):
            assert stage.ask(f"GET {path}") == [404]
        assert stage.ask(f"GET /metrics?name[]={token}", {"Accept": token, "User-Agent": token}) == [200]
        for broken in (f"GET /ping/{token} HTTP/1.1\r\nHost", token, f"GET /ping/{token} \0 HTTP/1.1", f"{token} x"):
            assert stage.send(f"{broken}\r\n\r\n".encode()) == [400]
        assert stage.send(f"POST /ping/{token} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nfour".encode()) in (
            [408],
            [],
        )
        assert stage.ask(f"GET /ping/{quote(token[:-1])}\N{SNOWMAN}") in ([400], [404])
    for key in (SHARED, SHARED_FILED):
        assert [stage.ask(f"GET /ping/{key}/own{signal}") for signal in ("", "/fail", "/log")] == [[200]] * 3
        assert stage.ask(f"GET /ping/{key}/own/{key}") == [400]
        assert stage.ask(f"GET /ping/{key}/nobody") == [404]
        assert stage.ask(f"GET /ping/{key[:-1]}/own") == [404]
        assert stage.ask(f"GET /ping/{key}") == [404]


def look_everywhere(stage: Stage) -> None:
    """Every page, and requests that hold secrets where a client may put them by mistake."""
    basic = base64.b64encode(f"job:{OWN}".encode()).decode()
    mistaken = {
        "Authorization": f"Basic {basic}",
        "Cookie": OWN,
        "Referer": f"http://x/ping/{OWN}",
        "X-Forwarded-For": OWN,
    }
    for path in ("/", "/-/healthy", "/-/ready", "/metrics"):
        assert stage.ask(f"GET {path}", mistaken) == [200]
    assert stage.ask("GET /metrics", {"Accept": "application/openmetrics-text; version=1.0.0"}) == [200]
    assert stage.ask("DELETE /metrics", mistaken) == [405]


def reload_good_and_bad(stage: Stage, derived: str) -> None:
    """Reloads by HTTP and by signal of each configuration."""
    for what, config in BAD.items():
        stage.exporter.configure(config.replace("DERIVED", derived))
        assert stage.ask("POST /-/reload") == [500], what
    refused = stage.log().count("reload refused")
    stage.exporter.send(signal.SIGHUP)
    eventually("it refuses", lambda: stage.log().count("reload refused") > refused, stage.exporter)
    stage.exporter.configure(CONFIG)
    assert stage.ask("PUT /-/reload") == [200]


def check_bad_ones(stage: Stage, derived: str) -> None:
    """What the commands say of each configuration."""
    file = f"--config.file={stage.folder / 'config.yaml'}"
    for what, config in BAD.items():
        stage.exporter.configure(config.replace("DERIVED", derived))
        commands = {
            ("ctl", "check-config", file): int(what != ALIKE),
            ("cli", *stage.flags, "--log.level=debug"): 1,
        }
        with ThreadPoolExecutor() as pool:
            done = pool.map(lambda command: stage.command(*command), commands)
            assert [each.returncode for each in done] == list(commands.values()), what
    # It reads in the same way as those two; the last of the configurations has alike tokens.
    assert stage.command("cli", "--config.check", file).returncode == 0
    assert stage.command("ctl", "urls", *stage.flags).returncode == 1
    stage.exporter.configure(BAD["a token that is none"])
    assert stage.command("cli", "--config.check", file).returncode == 1
    assert stage.command("ctl", "urls", *stage.flags).returncode == 1
    stage.exporter.configure(CONFIG)
    assert stage.command("ctl", "check-config", file).returncode == 0
    assert stage.command("ctl", "urls", "nobody", *stage.flags).returncode == 1


def start_in_vain(stage: Stage) -> None:
    """Starts that are refused, and what else the commands say."""
    dsn = {"HEARTBEAT_STORAGE_URL": f"postgresql://hb:{PASSWORD}@db.example/hb"}
    file = f"--config.file={stage.folder / 'config.yaml'}"
    for module, arguments in (
        ("cli", [file]),
        ("ctl", ["urls", file]),
        ("cli", [file, "--storage.url=" + dsn["HEARTBEAT_STORAGE_URL"]]),
    ):
        done = stage.command(module, *arguments, environment=dsn)
        assert done.returncode == 2, done.stderr
    for module, flag in (("cli", "--help"), ("cli", "--version"), ("ctl", "--help"), ("ctl", "--version")):
        assert stage.command(module, flag, environment=dsn).returncode == 0
    assert stage.command("ctl", "urls", "--help", environment=dsn).returncode == 0
    assert stage.command("cli", *stage.flags).returncode == 1, "another serves there"
    assert stage.command("cli", file, f"--ping.secret-file={stage.folder}/none").returncode == 1


@pytest.mark.parametrize("form", ["logfmt", "json"])
def test_nothing_that_the_exporter_says_holds_a_secret(tmp_path: Path, form: str) -> None:
    stage = Stage(tmp_path, form)
    with stage.exporter as exporter:
        exporter.start()
        tokens = tell_tokens(stage)
        ping_in_every_way(stage, tokens)
        look_everywhere(stage)
        reload_good_and_bad(stage, tokens["derived"])
        stage.watch.hear("the command line", process_text(exporter, "cmdline"))
        assert exporter.stop() == 0
    log = stage.log()
    stage.watch.hear("the log", log)
    assert "malformed request" in log, "the log is at its most talkative"
    assert log.count("\n") > 100
    assert list(stage.watch.leaks()) == []


def test_nothing_that_the_commands_say_holds_a_secret(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "logfmt")
    with stage.exporter as exporter:
        exporter.start()
        tokens = tell_tokens(stage)
        start_in_vain(stage)
        check_bad_ones(stage, tokens["derived"])
    stage.watch.hear("the log", stage.log())
    assert list(stage.watch.leaks()) == []


def bad_web_configs(key: str) -> dict[str, dict[str, object]]:
    """Web configs that are refused, each with a secret beside the mistake or in it."""
    return {
        "a password for a hash": {"basic_auth_users": {"me": LOGIN}},
        "a hash that is cut": {"basic_auth_users": {"me": LOGIN_HASH[:-1]}},
        "a hash for users": {"basic_auth_users": LOGIN_HASH},
        "a hash as a key": {"basic_auth_users": {"me": {LOGIN_HASH: 1}}},
        "a key for a certificate": {"tls_server_config": {"cert": key, "key": key}},
        "a key that is cut": {"tls_server_config": {"cert_file": "server.crt", "key": key[:100]}},
        "a key for a file": {"tls_server_config": {"cert_file": "server.crt", "key_file": key}},
        "a key of a wrong type": {"tls_server_config": {"cert_file": "server.crt", "key": [key]}},
    }


@pytest.mark.parametrize("form", ["logfmt", "json"])
def test_nothing_that_is_said_of_logins_and_certificates_holds_a_secret(tmp_path: Path, form: str) -> None:
    Authority.make(tmp_path).issue("server")
    key = (tmp_path / "server.key").read_text()
    file = tmp_path / "web.yaml"
    file.write_text(yaml.safe_dump({"basic_auth_users": {"me": LOGIN_HASH}}))
    stage = Stage(tmp_path, form, f"--web.config.file={file}")
    stage.watch.secrets |= {
        "password": LOGIN,
        "hash": LOGIN_HASH,
        "hash's end": LOGIN_HASH[29:],
        "key": key.split("\n")[1],
    }

    def log_in(name: str, password: str) -> list[int]:
        return stage.ask("GET /metrics", {"Authorization": f"Basic {encoded(f'{name}:{password}')}"})

    with stage.exporter as exporter:
        exporter.start()
        assert log_in("me", LOGIN) == [200]
        for name, password in (("me", LOGIN + "x"), ("you", LOGIN), (LOGIN, "me"), ("me", LOGIN * 5)):
            assert log_in(name, password) == [401]
        for junk in (LOGIN, f"Basic {LOGIN}", f"Bearer {LOGIN}", f"Basic {encoded(LOGIN)}"):
            assert stage.ask("GET /", {"Authorization": junk}) == [401]
        for what, config in bad_web_configs(key).items():
            file.write_text(yaml.safe_dump(config))
            refused = stage.log().count("refused, the old one stays")
            assert log_in("me", LOGIN) == [200]
            assert stage.log().count("refused, the old one stays") > refused, what
            assert stage.command("ctl", "check-web-config", f"--web.config.file={file}").returncode == 1, what
        assert exporter.stop() == 0
    stage.watch.hear("the log", stage.log())
    assert list(stage.watch.leaks()) == []


def encoded(login: str) -> str:
    return base64.b64encode(login.encode()).decode()


def tell_tokens(stage: Stage) -> dict[str, str]:
    """The token of every heartbeat, as the one command prints them that may; they are watched for from now on."""
    done = stage.command("ctl", "urls", *stage.flags, may_tell=True)
    assert done.returncode == 0, done.stderr
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    tokens = {name: url.rpartition("/")[2] for name, url in lines}
    stage.watch.secrets |= {f"token of {name}": token for name, token in tokens.items()}
    return tokens


def process_text(exporter: Exporter, name: str) -> str:
    assert exporter._process is not None
    return Path(f"/proc/{exporter._process.pid}/{name}").read_bytes().decode()


class FromEnvironment(Exporter):
    """An exporter that is told by its environment where its store is."""

    def command(self) -> Sequence[str]:
        flags = [flag for flag in self._own_flags if not flag.startswith("--storage.url")]
        return [
            "env",
            f"HEARTBEAT_STORAGE_URL=sqlite:///{self.folder}/{PASSWORD}/heartbeats.db",
            sys.executable,
            "-m",
            "exporter.cli",
            *flags,
        ]


def test_a_storage_url_in_the_environment_is_not_in_the_list_of_processes(tmp_path: Path) -> None:
    with FromEnvironment(tmp_path, "heartbeats: [{name: a, interval: 1h}]") as exporter:
        exporter.start()
        shown = process_text(exporter, "cmdline")
        assert "exporter.cli" in shown
        assert PASSWORD not in shown
        assert (tmp_path / PASSWORD / "heartbeats.db").exists()


def test_what_the_exporter_writes_is_for_its_owner_only(tmp_path: Path) -> None:
    before = os.umask(0o000)
    try:
        with Exporter(tmp_path, "heartbeats: [{name: a, interval: 1h}]") as exporter:
            exporter.start()
            (url,) = exporter.urls().values()
            assert exporter.request(f"/ping/{url.rpartition('/')[2]}").status == 200
            modes = {file.name: oct(stat.S_IMODE(file.stat().st_mode)) for file in (tmp_path / "data").iterdir()}
    finally:
        os.umask(before)
    assert {"heartbeats.db", "ping-secret"} <= modes.keys()
    assert set(modes.values()) == {"0o600"}, modes


@pytest.mark.parametrize(
    "said",
    [
        f"GET /ping/{OWN} 200",
        f"…{OWN[:14]}…",
        OWN.upper(),
        base64.b64encode(f"user:{OWN}".encode()).decode(),
        base64.b64encode(f"me:{OWN}".encode()).decode(),
        base64.b64encode(f"abc:{OWN}".encode()).decode(),
        quote("x" + OWN),
        "".join(f"%{byte:02X}" for byte in OWN.encode()),
    ],
)
def test_a_secret_that_is_said_is_found(said: str) -> None:
    watch = Watch({"own token": OWN})
    watch.hear("a log", f"level=debug {said} end")
    assert list(watch.leaks()) == ["own token in a log"]


def test_where_no_secret_is_said_none_is_found() -> None:
    watch = Watch({"own token": OWN, "password": PASSWORD})
    watch.hear("a log", "level=debug msg=request handler=ping status=200 tok_Filed pw_")
    assert list(watch.leaks()) == []
