"""Requests that go the short way are answered as those are that go aiohttp's, and leave the same behind."""

import re
import socket
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

import pytest
from aiohttp.http_parser import RawRequestMessage
from bounds import examples
from hostile import RID, TOKEN, queries, secrets, signals
from hypothesis import given
from hypothesis import strategies as st
from running import LOOPBACK
from wire import CLOSE_SECONDS, QUIET_SECONDS, host_and_port

from exporter.heartbeat import Ping
from exporter.web.app import Service
from exporter.web.listener import Listener
from exporter.web.pings import Pings
from exporter.web.serving import Prompts
from exporter.web.shortcut import Turn

from .conftest import Target

LAST = b"GET /heartbeat/none HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
COUNTED = {
    "heartbeat_exporter_pings_received_total",
    "heartbeat_exporter_pings_rejected_total",
    "heartbeat_exporter_http_request_duration_seconds_count",
    "heartbeat_exporter_store_commit_pings_sum",
}
DATE = re.compile(rb"\r\nDate: [^\r]+\r\n")


@pytest.fixture(scope="module")
def slow(target: Target) -> Iterator[tuple[str, int]]:
    """Where the same exporter takes pings that all go aiohttp's way."""

    async def serve() -> Service:
        exporter = target.running.exporter
        endpoints = Pings(exporter._monitor, exporter._telemetry, exporter._clock).endpoints()
        alone = [replace(endpoint, prompt=None) for endpoint in endpoints]
        service = await Service.make(exporter._telemetry, exporter._security, alone)
        service.bind(LOOPBACK)
        for listener in service.listeners:
            listener.start(10)
        return service

    service = target.ask(serve())
    yield host_and_port(str(service.listeners[0].address))
    target.ask(service.stop())


def one_by_one(address: tuple[str, int], *sent: bytes) -> bytes:
    """All that is said to requests, of which each is sent once the one before is answered; without dates."""
    heard = b""
    with socket.create_connection(address, timeout=CLOSE_SECONDS) as connection:
        for request in sent:
            with suppress(TimeoutError, ConnectionError):
                connection.settimeout(CLOSE_SECONDS)
                connection.sendall(request)
                connection.settimeout(CLOSE_SECONDS if request is LAST else QUIET_SECONDS)
                while piece := connection.recv(1 << 16):
                    heard += piece
                    if request is not LAST and heard.count(b"\r\n\r\n"):
                        break
                else:
                    break  # It has hung up.
    return DATE.sub(b"\r\n", heard)


def counts(target: Target) -> Counter[str]:
    """What the exporter has counted."""
    return Counter(
        {
            f"{sample.name}{sorted(sample.labels.items())}": int(sample.value)
            for family in target.running.exporter._telemetry.registry.collect()
            for sample in family.samples
            if sample.name in COUNTED
        }
    )


def newest(target: Target) -> list[Sequence[Ping]]:
    """The last ping of each heartbeat, without its time."""
    return [[ping._replace(at=0) for ping in target.history(name)[:1]] for name in ("job", "other")]


headers = st.lists(
    st.sampled_from(
        [
            b"User-Agent: job/1",
            b"User-Agent: \xff\xfe",
            b"User-Agent: " + b"x" * 600,
            b"X-Forwarded-For: 192.0.2.1, 127.0.0.1",
            b"X-Forwarded-For: nonsense",
            b"Content-Length: 0",
            b"Accept-Encoding: gzip",
            b"Content-Encoding: gzip",
            b"Connection: keep-alive",
            b"Expect: 100-continue",
            b"Upgrade: websocket",
        ]
    ),
    unique_by=lambda line: line.partition(b":")[0],
    max_size=4,
)
noise = st.sampled_from(["", "", "", "/", "//", "%2f", "%00", "%6f", "#x", "?", "?rid=" + RID, "&rid=x"])
pings = st.builds(
    lambda method, path, secret, signal, query, more, lines: b"\r\n".join(
        [f"{method} /{path}/{secret}{signal}{query}{more} HTTP/1.1".encode(), b"Host: x", *lines, b"\r\n"]
    ),
    st.sampled_from(["GET", "GET", "HEAD", "POST", "OPTIONS", "PUT"]),
    st.sampled_from(["ping", "heartbeat"]),
    secrets,
    signals,
    queries,
    noise,
    headers,
)


@examples(400)
@given(sent=pings)
def test_a_ping_is_answered_and_counted_alike_both_ways(target: Target, slow: tuple[str, int], sent: bytes) -> None:
    found = []
    for address in (target.address, slow):
        before = counts(target)
        heard = one_by_one(address, sent, LAST)
        found.append((heard, counts(target) - before, newest(target)))
    assert found[0] == found[1]


def test_both_ways_are_gone(target: Target, slow: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    take = Prompts.take

    def note(self: Prompts, turn: Turn, message: RawRequestMessage) -> bool:
        taken.append(take(self, turn, message))
        return taken[-1]

    monkeypatch.setattr(Prompts, "take", note)
    for address, expected in ((target.address, [True]), (slow, [False])):
        taken.clear()
        assert b" 200 OK" in one_by_one(address, f"GET /ping/{TOKEN} HTTP/1.1\r\nHost: x\r\n\r\n".encode(), LAST)
        assert taken == expected


@pytest.mark.parametrize("crowded", [False, True])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("secret", [TOKEN, "none", f"{TOKEN}/FAIL"])
def test_what_is_added_to_an_answer_is_added_alike(
    target: Target, slow: tuple[str, int], monkeypatch: pytest.MonkeyPatch, method: str, secret: str, crowded: bool
) -> None:
    security = target.running.exporter._security
    headers = (("X-Frame-Options", "deny"), ("X-XSS-Protection", "0"))
    monkeypatch.setattr(security, "_config", replace(security._config, headers=headers))
    monkeypatch.setattr(Listener, "crowded", crowded)
    sent = f"{method} /ping/{secret} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    heard = [one_by_one(address, sent, LAST) for address in (target.address, slow)]
    assert heard[0] == heard[1]
    assert heard[0].count(b"X-XSS-Protection: 0") == heard[0].count(b"HTTP/1.1 ") == (1 if crowded else 2)
