"""TLS and basic auth over the whole exporter, as curl and a real Prometheus meet them."""

import asyncio
import base64
import subprocess
from collections.abc import Sequence
from pathlib import Path

import bcrypt
import pytest
import yaml
from certificates import Authority, write_pair
from programs import program
from running import exporter_in, make_settings
from servers import Server, eventually, free_port

from exporter.server import Exporter, StartError, running

TOKEN = "own-token-0123456789"
CONFIG = f"heartbeats: [{{name: own, interval: 1h, token: {TOKEN}}}]"
PING = f"/ping/{TOKEN}"
USER, PASSWORD = "prometheus", "correct horse battery staple"
HASH = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(10)).decode()
TLS = {"cert_file": "server.crt", "key_file": "server.key"}
OPEN = [PING, "/-/healthy", "/-/ready"]
GUARDED = ["/metrics", "/", "/-/reload", "/unknown"]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    authority = Authority.make(tmp_path)
    authority.issue("server", "127.0.0.1", "localhost")
    return authority


def web_config(folder: Path, **sections: object) -> Path:
    path = folder / "web.yaml"
    path.write_text(yaml.safe_dump(sections))
    path.chmod(0o600)
    return path


def address(exporter: Exporter) -> str:
    return exporter.addresses[0]


async def curl(exporter: Exporter, path: str, *options: str, scheme: str = "https") -> tuple[int, int]:
    """The exit code of curl, and the status of the answer."""
    command = [program("curl"), "-sS", "-m", "20", "--noproxy", "*", "-o", "/dev/null", "-w", "%{http_code}", *options]
    done = await asyncio.to_thread(
        subprocess.run,
        [*command, f"{scheme}://{address(exporter)}{path}"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return done.returncode, int(done.stdout)


def trusting(authority: Authority) -> list[str]:
    return ["--cacert", str(authority.folder / "ca.pem")]


def showing(folder: Path, name: str) -> list[str]:
    """With the certificate of that name."""
    return ["--cert", str(folder / f"{name}.crt"), "--key", str(folder / f"{name}.key")]


async def test_all_but_pings_and_probes_need_a_login(tmp_path: Path, authority: Authority) -> None:
    file = web_config(tmp_path, tls_server_config=TLS, basic_auth_users={USER: HASH})
    ca = trusting(authority)
    async with running(make_settings(tmp_path, CONFIG, web_config_file=file)) as exporter:
        for path in OPEN:
            assert await curl(exporter, path, *ca) == (0, 200), path
        for path in GUARDED:
            assert await curl(exporter, path, *ca) == (0, 401), path
            assert await curl(exporter, path, *ca, "-u", f"{USER}:wrong") == (0, 401), path
            assert await curl(exporter, path, *ca, "-u", f"nobody:{PASSWORD}") == (0, 401), path
        for path, status in zip(GUARDED, [200, 200, 405, 404], strict=True):
            assert await curl(exporter, path, *ca, "-u", f"{USER}:{PASSWORD}") == (0, status), path


async def test_a_login_is_asked_for_by_name_and_with_the_headers_of_the_file(tmp_path: Path) -> None:
    headers = {"X-Frame-Options": "deny", "Content-Security-Policy": "default-src 'self'"}
    file = web_config(tmp_path, basic_auth_users={USER: HASH}, http_server_config={"headers": headers})
    async with exporter_in(tmp_path, CONFIG, web_config_file=file) as server:
        for path, status in ((PING, 200), ("/", 401), ("/metrics", 401)):
            async with server.client.get(path) as answer:
                assert answer.status == status
                assert headers.items() <= dict(answer.headers).items()
                assert ("WWW-Authenticate" in answer.headers) is (status == 401)
        assert answer.headers["WWW-Authenticate"] == 'Basic realm="heartbeat-exporter", charset="UTF-8"'


async def test_a_listener_for_pings_asks_nobody_for_a_login(tmp_path: Path, authority: Authority) -> None:
    file = web_config(tmp_path, tls_server_config=TLS, basic_auth_users={USER: HASH})
    listeners = make_settings(tmp_path, CONFIG).web_listen
    settings = make_settings(tmp_path, CONFIG, web_config_file=file, ping_listen=listeners)
    ca = trusting(authority)
    async with running(settings) as exporter:  # the first address is the one for pings
        assert await curl(exporter, PING, *ca) == (0, 200)
        assert await curl(exporter, "/metrics", *ca) == (0, 401)
        assert await curl(exporter, "/metrics", *ca, "-u", f"{USER}:{PASSWORD}") == (0, 404)


async def test_plain_and_old_clients_get_nothing_from_an_encrypted_listener(
    tmp_path: Path, authority: Authority
) -> None:
    file = web_config(tmp_path, tls_server_config=TLS | {"min_version": "TLS13"})
    ca = trusting(authority)
    async with running(make_settings(tmp_path, CONFIG, web_config_file=file)) as exporter:
        code, status = await curl(exporter, PING, scheme="http")
        assert (code != 0, status) == (True, 0)
        code, status = await curl(exporter, PING, *ca, "--tls-max", "1.2")
        assert (code != 0, status) == (True, 0)
        assert await curl(exporter, PING, *ca) == (0, 200)


async def test_mutual_tls_lets_in_only_whom_it_names(tmp_path: Path, authority: Authority) -> None:
    stranger = Authority.make(tmp_path, "stranger")
    authority.issue("allowed", "prometheus.test")
    authority.issue("other", "other.test")
    stranger.issue("foreign", "prometheus.test")
    clients = {
        "client_auth_type": "RequireAndVerifyClientCert",
        "client_ca_file": "ca.pem",
        "client_allowed_sans": ["prometheus.test"],
    }
    file = web_config(tmp_path, tls_server_config=TLS | clients)
    ca = trusting(authority)
    async with running(make_settings(tmp_path, CONFIG, web_config_file=file)) as exporter:
        for name in (None, "other", "foreign"):
            code, status = await curl(exporter, "/metrics", *ca, *(showing(tmp_path, name) if name else []))
            assert (code != 0, status) == (True, 0), name
        assert await curl(exporter, "/metrics", *ca, *showing(tmp_path, "allowed")) == (0, 200)


@pytest.mark.usefixtures("authority")
async def test_what_is_renewed_on_disk_counts_from_the_next_connection_on(tmp_path: Path) -> None:
    file = web_config(tmp_path, tls_server_config=TLS, basic_auth_users={USER: HASH})
    login = ["-u", f"{USER}:{PASSWORD}"]
    async with running(make_settings(tmp_path, CONFIG, web_config_file=file)) as exporter:
        assert await curl(exporter, "/metrics", "--cacert", str(tmp_path / "ca.pem"), *login) == (0, 200)
        successor = Authority.make(tmp_path, "successor")
        write_pair(successor.ca.issue_cert("127.0.0.1"), tmp_path, "server")
        assert (await curl(exporter, "/metrics", "--cacert", str(tmp_path / "ca.pem"), *login))[1] == 0
        ca = ["--cacert", str(tmp_path / "successor.pem")]
        assert await curl(exporter, "/metrics", *ca, *login) == (0, 200)
        web_config(tmp_path, tls_server_config=TLS, basic_auth_users={"other": HASH})
        assert await curl(exporter, "/metrics", *ca, *login) == (0, 401)
        web_config(tmp_path)
        assert await curl(exporter, "/metrics", *ca) == (0, 401)


async def test_pings_with_large_bodies_share_an_encrypted_connection(tmp_path: Path, authority: Authority) -> None:
    file = web_config(tmp_path, tls_server_config=TLS)
    async with running(make_settings(tmp_path, CONFIG, web_config_file=file)) as exporter:
        host, port = address(exporter).split(":")
        reader, writer = await asyncio.open_connection(host, int(port), ssl=authority.client())
        for _ in range(3):
            body = b"x" * 200_000
            writer.write(f"POST {PING} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
            assert await reader.readexactly(2) == b"OK"
        writer.close()


async def test_many_logins_at_once_hold_up_no_ping(tmp_path: Path) -> None:
    costly = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(12)).decode()
    file = web_config(tmp_path, basic_auth_users={USER: costly})
    async with exporter_in(tmp_path, CONFIG, web_config_file=file) as server:

        async def log_in(number: int) -> int:
            headers = {"Authorization": f"Basic {encoded(f'{USER}:guess {number}')}"}
            async with server.client.get("/metrics", headers=headers) as answer:
                return answer.status

        guesses = [asyncio.ensure_future(log_in(number)) for number in range(8)]
        pings = 0
        while not all(guess.done() for guess in guesses):
            async with server.client.get(PING) as answer:
                assert answer.status == 200
            pings += 1
        assert {guess.result() for guess in guesses} == {401}
        assert pings > 5 * len(guesses)  # Each guess takes as long as many pings.


def encoded(login: str) -> str:
    return base64.b64encode(login.encode()).decode()


async def test_a_bad_web_config_stops_the_start_and_all_of_it_is_said(tmp_path: Path) -> None:
    file = tmp_path / "web.yaml"
    file.write_text("tls_server_config: {client_auth_type: RequestClientCert}\nbasic_auth_users: {ann: secret-word}\n")
    with pytest.raises(StartError) as caught:
        async with running(make_settings(tmp_path, CONFIG, web_config_file=file)):
            raise AssertionError
    assert "RequestClientCert" in str(caught.value)
    assert f"{file}:2: basic_auth_users.ann: is not a bcrypt hash" in str(caught.value)
    assert "secret-word" not in str(caught.value)


class Scraper(Server):
    """A Prometheus that scrapes one exporter with TLS and a login."""

    def __init__(self, folder: Path, target: str) -> None:
        super().__init__(folder, "prometheus", free_port())
        scrape = {
            "job_name": "heartbeat-exporter",
            "scrape_interval": "1s",
            "scheme": "https",
            "tls_config": {"ca_file": str(folder / "ca.pem")},
            "basic_auth": {"username": USER, "password": PASSWORD},
            "static_configs": [{"targets": [target]}],
        }
        (folder / "prometheus.yaml").write_text(yaml.safe_dump({"scrape_configs": [scrape]}))

    def command(self) -> Sequence[str]:
        return [
            program("prometheus"),
            f"--config.file={self.folder / 'prometheus.yaml'}",
            f"--storage.tsdb.path={self.folder / 'prometheus'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
        ]

    def up(self) -> bool:
        answer = self.json("/api/v1/query?query=up")
        return [series["value"][1] for series in answer["data"]["result"]] == ["1"]


async def test_prometheus_scrapes_with_tls_and_a_login(tmp_path: Path, authority: Authority) -> None:
    assert authority.folder == tmp_path
    file = web_config(tmp_path, tls_server_config=TLS, basic_auth_users={USER: HASH})
    async with running(make_settings(tmp_path, CONFIG, web_config_file=file)) as exporter:
        with Scraper(tmp_path, address(exporter)) as prometheus:
            await asyncio.to_thread(prometheus.start)
            await asyncio.to_thread(eventually, "the exporter is up", prometheus.up, prometheus)
