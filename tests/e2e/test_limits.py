"""Clients that are slow, large or many, and the real exporter beside them."""

import resource
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from servers import Exporter, StartExporter, curl

CONFIG = "heartbeats: [{name: backup, interval: 1h}]"
MANY = 1500
"""More connections than one address may have."""
MEGABYTE = 1 << 20


def connect(exporter: Exporter) -> socket.socket:
    return socket.create_connection(("127.0.0.1", exporter.port), timeout=15)


def path(exporter: Exporter) -> str:
    return urlsplit(exporter.urls()["backup"]).path


@pytest.fixture(autouse=True)
def files_for_many() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def resident(exporter: Exporter) -> int:
    """Bytes of memory that it has in use."""
    return int(exporter.scrape().value("process_resident_memory_bytes"))


@contextmanager
def held(exporter: Exporter, sent: bytes) -> Iterator[list[socket.socket]]:
    """Many connections, on each of which only so much is sent."""
    with ExitStack() as stack:
        connections = []
        for _ in range(MANY):
            connection = stack.enter_context(connect(exporter))
            connection.sendall(sent)
            connections.append(connection)
        yield connections


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"GET /metrics HTTP/1.1\r\nX-Slow: ", id="half a head"),
        pytest.param(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf", id="half a body"),
    ],
)
def test_a_thousand_slow_clients_hold_up_nobody(start_exporter: StartExporter, sent: bytes) -> None:
    exporter = start_exporter(CONFIG)
    url = exporter.urls()["backup"]
    with held(exporter, sent):
        for _ in range(3):
            curl(url)
            assert exporter.scrape().value("heartbeat_exporter_store_up") == 1
    assert exporter.scrape().each("heartbeat_pings_total", signal="success") == {"backup": 3}
    assert exporter.stop(signal.SIGTERM) == 0


def test_slow_clients_are_cut_off_in_the_end(start_exporter: StartExporter) -> None:
    exporter = start_exporter(CONFIG)
    with connect(exporter) as slow:
        slow.sendall(b"GET / HTTP/1.1\r\n")
        assert slow.recv(100) == b""  # in ten seconds; the socket's own patience is longer


def test_a_large_body_costs_little_memory_and_loses_no_ping(start_exporter: StartExporter) -> None:
    exporter = start_exporter(CONFIG)
    before = resident(exporter)
    most = before
    size = 100 * MEGABYTE
    head = f"POST {path(exporter)} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode()
    with connect(exporter) as connection:
        sending = threading.Thread(target=connection.sendall, args=(head + bytes(size),))
        sending.start()
        while sending.is_alive():
            most = max(most, resident(exporter))
        sending.join()
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")
    assert most - before < 20 * MEGABYTE
    assert exporter.scrape().each("heartbeat_pings_total", signal="success") == {"backup": 1}


def test_with_few_files_many_connections_make_nobody_deaf(start_exporter: StartExporter) -> None:
    exporter = start_exporter(CONFIG)
    resource.prlimit(
        exporter.pid, resource.RLIMIT_NOFILE, (len(list(Path(f"/proc/{exporter.pid}/fd").iterdir())) + 50,) * 2
    )
    url = exporter.urls()["backup"]
    with held(exporter, b""):
        curl(url)
        assert exporter.scrape().each("heartbeat_pings_total", signal="success") == {"backup": 1}
