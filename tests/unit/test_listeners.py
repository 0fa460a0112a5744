"""The addresses that can be served on, and what is left of them."""

import asyncio
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest
from running import LOOPBACK, exporter_in, make_settings

from exporter.flags import ListenAddress, TcpAddress, UnixAddress, listen_address
from exporter.server import StartError, running
from exporter.web.listener import CONNECTIONS_AT_MOST, connections_at_most, open_sockets, raise_file_limit

pytestmark = pytest.mark.each_loop

TOKEN = "own-token-0123456789"
CONFIG = f"heartbeats: [{{name: own, interval: 1h, token: {TOKEN}}}]"
PING = f"/ping/{TOKEN}"


def connector(address: str) -> aiohttp.BaseConnector:
    if address.startswith("unix:"):
        return aiohttp.UnixConnector(address.removeprefix("unix:"))
    return aiohttp.TCPConnector()


async def status(address: str, path: str) -> int:
    host = "localhost" if address.startswith("unix:") else address
    async with (
        aiohttp.ClientSession(connector=connector(address)) as client,
        client.get(f"http://{host}{path}") as answer,
    ):
        return answer.status


@pytest.mark.parametrize("text", ["127.0.0.1:0", "[::1]:0", "unix:{folder}/p.sock", "localhost:0"])
async def test_pings_and_all_else_are_served_on_addresses_of_every_kind(tmp_path: Path, text: str) -> None:
    def address(name: str) -> ListenAddress:
        return listen_address(text.format(folder=tmp_path / name))

    for name in ("web", "ping"):
        (tmp_path / name).mkdir()
    listeners = {"web_listen": (address("web"),), "ping_listen": (address("ping"),)}
    async with running(make_settings(tmp_path, CONFIG, **listeners)) as exporter:
        half = len(exporter.addresses) // 2
        for pings, web in zip(exporter.addresses[:half], exporter.addresses[half:], strict=True):
            assert [await status(pings, path) for path in (PING, "/metrics", "/", "/-/ready")] == [200, 404, 404, 404]
            assert [await status(web, path) for path in (PING, "/metrics", "/", "/-/ready")] == [404, 200, 200, 200]


@pytest.mark.parametrize(("text", "families"), [("[::]:0", 1), (":0", 2)])
def test_every_address_of_the_machine_means_both_families(text: str, families: int) -> None:
    sockets = open_sockets(listen_address(text))
    assert len(sockets) == families
    for listening in sockets:
        port = listening.getsockname()[1]
        hosts = ["127.0.0.1"] if listening.family == socket.AF_INET else ["::1"]
        for host in hosts if families == 2 else ["127.0.0.1", "::1"]:
            socket.create_connection((host, port)).close()
        listening.close()


def test_only_ipv4_is_served_where_it_is_what_was_asked_for() -> None:
    (listening,) = open_sockets(listen_address("0.0.0.0:0"))
    with listening, pytest.raises(ConnectionRefusedError):
        socket.create_connection(("::1", listening.getsockname()[1]))


def test_an_address_is_listened_on_wholly_or_not_at_all() -> None:
    with socket.create_server(("::", 0), family=socket.AF_INET6) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            open_sockets(TcpAddress(None, port))
        socket.create_server(("", port)).close()  # is free again


async def test_the_client_of_a_unix_socket_has_no_address(tmp_path: Path) -> None:
    address = UnixAddress(tmp_path / "web.sock")
    async with exporter_in(tmp_path, CONFIG, web_listen=(LOOPBACK, address)) as server:
        assert await status(str(address), PING) == 200
        (ping,) = await server.history("own")
        assert ping.remote == ""


async def test_a_unix_socket_goes_with_the_exporter(tmp_path: Path) -> None:
    address = UnixAddress(tmp_path / "web.sock")
    async with running(make_settings(tmp_path, CONFIG, web_listen=(address,))):
        assert address.path.is_socket()
    assert not address.path.exists()


async def test_a_unix_socket_that_a_killed_process_has_left_is_replaced(tmp_path: Path) -> None:
    address = UnixAddress(tmp_path / "web.sock")
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(address.path))
    async with running(make_settings(tmp_path, CONFIG, web_listen=(address,))) as exporter:
        assert await status(exporter.addresses[0], "/-/ready") == 200


async def test_a_unix_socket_in_use_and_a_file_that_is_none_are_left_alone(tmp_path: Path) -> None:
    used, file = tmp_path / "used.sock", tmp_path / "file"
    file.write_text("somebody's")
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(used))
        other.listen()
        for path, reason in ((used, "Address already in use"), (file, "there is a file that is no socket")):
            with pytest.raises(StartError, match=f"cannot listen on unix:{path}: {reason}"):
                async with running(make_settings(tmp_path, CONFIG, web_listen=(UnixAddress(path),))):
                    raise AssertionError
    assert used.is_socket()
    assert file.read_text() == "somebody's"


@pytest.mark.parametrize(
    ("path", "reason"), [("missing/web.sock", "No such file or directory"), ("x" * 200, "AF_UNIX path too long")]
)
async def test_a_unix_socket_that_cannot_be_made_is_refused_with_the_reason(
    tmp_path: Path, path: str, reason: str
) -> None:
    with pytest.raises(StartError, match=f"cannot listen on unix:.*: {reason}"):
        async with running(make_settings(tmp_path, CONFIG, web_listen=(UnixAddress(tmp_path / path),))):
            raise AssertionError


@contextmanager
def file_limit(soft: int) -> Iterator[None]:
    before, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, hard))


@pytest.mark.parametrize(
    ("files", "listeners", "connections"),
    [(1_000_000, 2, CONNECTIONS_AT_MOST), (1024, 1, 896), (1024, 2, 448), (130, 4, 1)],
)
async def test_connections_leave_files_for_all_else(files: int, listeners: int, connections: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with file_limit(min(files, hard)):
        assert connections_at_most(listeners) == connections


def test_the_process_may_open_as_many_files_as_the_machine_allows_it() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with file_limit(200):
        raise_file_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)


async def test_connections_that_are_only_held_keep_nobody_out(tmp_path: Path) -> None:
    async with exporter_in(tmp_path, CONFIG) as server:
        (listener,) = server.exporter._listeners
        listener.start(20)
        host, port = server.exporter.addresses[0].split(":")
        held = [await asyncio.open_connection(host, int(port)) for _ in range(60)]
        async with server.client.get(PING) as answer:
            assert answer.status == 200
        for _, writer in held:
            writer.close()
