"""Pings over HTTP: every form of the URL, every answer."""

import asyncio
import io
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import aiohttp
import pytest
from configs import write
from running import LOOPBACK, Running, exporter_in, until
from structlog.testing import capture_logs

from exporter.server import wall_clock
from exporter.store import StoreError
from exporter.web.app import Service
from exporter.web.pings import Pings

pytestmark = pytest.mark.each_loop

OWN_TOKEN = "0123456789abcdef-own"
KEY = "shared-key-0123456789"
CONFIG = f"""
pings:
  body_limit: 100
  keys: [{{key: {KEY}}}]
heartbeats:
  - {{name: backup, interval: 1h}}
  - {{name: posted, interval: 1h, methods: [POST]}}
  - {{name: own, interval: 1h, token: {OWN_TOKEN}}}
"""


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Running]:
    async with exporter_in(tmp_path, CONFIG) as running:
        yield running


async def count(server: Running, name: str, signal: str) -> float:
    return await server.sample(f'heartbeat_pings_total{{heartbeat="{name}",signal="{signal}"}}')


@pytest.mark.parametrize(
    ("path", "signal"),
    [
        (f"/heartbeat/{OWN_TOKEN}", "success"),
        (f"/heartbeat/{OWN_TOKEN}/", "success"),
        (f"/ping/{OWN_TOKEN}", "success"),
        (f"/ping/{OWN_TOKEN}/", "success"),
        (f"/ping/{KEY}/own", "success"),
        (f"/ping/{KEY}/own/", "success"),
        (f"/ping/{KEY}/%6Fwn", "success"),
        (f"/heartbeat/{OWN_TOKEN}/start", "start"),
        (f"/ping/{OWN_TOKEN}/fail", "fail"),
        (f"/ping/{OWN_TOKEN}/log", "log"),
        (f"/ping/{OWN_TOKEN}/0", "success"),
        (f"/ping/{OWN_TOKEN}/1", "fail"),
        (f"/ping/{OWN_TOKEN}/255", "fail"),
        (f"/ping/{KEY}/own/start", "start"),
        (f"/ping/{KEY}/own/fail", "fail"),
        (f"/ping/{KEY}/own/17", "fail"),
    ],
)
async def test_each_form_of_the_url_carries_its_signal(server: Running, path: str, signal: str) -> None:
    async with server.client.get(path) as answer:
        assert (answer.status, await answer.text()) == (200, "OK")
    assert await count(server, "own", signal) == 1


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/heartbeat/0123456789abcdef-foreign", 404, "not found"),
        ("/heartbeat/", 404, "not found"),
        ("/ping/", 404, "not found"),
        ("/ping", 404, "not found\n"),
        (f"/ping/{KEY}", 404, "not found"),
        (f"/ping/{KEY}/", 404, "not found"),
        (f"/ping/{KEY}/unknown", 404, "not found"),
        (f"/ping/{KEY}/unknown/FAIL", 404, "not found"),
        (f"/ping/{KEY}x/own", 404, "not found"),
        (f"/heartbeat/{KEY}/own", 404, "not found"),
        (f"/ping//{OWN_TOKEN}", 404, "not found"),
        (f"/ping/{OWN_TOKEN}/256", 400, "invalid url format"),
        (f"/ping/{OWN_TOKEN}/007", 400, "invalid url format"),
        (f"/ping/{OWN_TOKEN}/00", 400, "invalid url format"),
        (f"/ping/{OWN_TOKEN}/-1", 400, "invalid url format"),
        (f"/ping/{OWN_TOKEN}/%D9%A1", 400, "invalid url format"),
        (f"/ping/{OWN_TOKEN}/FAIL", 400, "invalid url format"),
        (f"/ping/{OWN_TOKEN}/fail%0A", 400, "invalid url format"),
        (f"/ping/{OWN_TOKEN}%0A", 404, "not found"),
        (f"/ping/{OWN_TOKEN}/success", 400, "invalid url format"),
        (f"/ping/{OWN_TOKEN}/start/x", 400, "invalid url format"),
        (f"/ping/{OWN_TOKEN}//", 400, "invalid url format"),
        (f"/ping/{KEY}/own/256", 400, "invalid url format"),
        (f"/ping/{KEY}/own/success", 400, "invalid url format"),
        (f"/ping/{KEY}/own/start/x", 400, "invalid url format"),
        (f"/ping/{OWN_TOKEN}?rid=", 400, "invalid uuid format"),
        (f"/ping/{OWN_TOKEN}?rid=7", 400, "invalid uuid format"),
        (f"/ping/{OWN_TOKEN}?rid=0_000000-0000-0000-0000-000000000000", 400, "invalid uuid format"),
    ],
)
async def test_what_means_nothing_is_refused_and_changes_nothing(
    server: Running, path: str, status: int, message: str
) -> None:
    async with server.client.get(path) as answer:
        assert (answer.status, await answer.text()) == (status, message)
    assert await server.sample('heartbeat_last_seen_timestamp_seconds{heartbeat="own"}') == 0
    if message != "not found\n":
        reason = "unknown" if status == 404 else "bad_request"
        assert await server.sample(f'heartbeat_exporter_pings_rejected_total{{reason="{reason}"}}') == 1
        assert await server.sample("heartbeat_exporter_pings_received_total") == 1


async def test_a_derived_token_opens_its_heartbeat_only(server: Running) -> None:
    async with server.client.get(server.ping_path("backup")) as answer:
        assert answer.status == 200
    assert await count(server, "backup", "success") == 1
    assert await count(server, "own", "success") == 0


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
async def test_get_head_and_post_are_pings(server: Running, method: str) -> None:
    async with server.client.request(method, f"/ping/{OWN_TOKEN}") as answer:
        assert answer.status == 200
        assert await answer.text() == ("" if method == "HEAD" else "OK")
    assert await count(server, "own", "success") == 1


@pytest.mark.parametrize("path", [f"/ping/{OWN_TOKEN}", "/ping/unknown-0123456789", "/heartbeat/x"])
async def test_options_is_answered_for_browsers_and_is_no_ping(server: Running, path: str) -> None:
    async with server.client.options(path) as answer:
        assert (answer.status, await answer.read()) == (204, b"")
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert answer.headers["Access-Control-Allow-Methods"] == "GET, HEAD, OPTIONS, POST"
        assert answer.headers["Access-Control-Allow-Headers"] == "*"
    assert await count(server, "own", "success") == 0
    assert await server.sample("heartbeat_exporter_pings_received_total") == 1


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE", "PROPFIND"])
async def test_other_methods_are_refused_with_those_that_are_allowed(server: Running, method: str) -> None:
    async with server.client.request(method, f"/ping/{OWN_TOKEN}") as answer:
        assert answer.status == 405
        assert answer.headers["Allow"] == "GET, HEAD, OPTIONS, POST"
    assert await server.sample('heartbeat_exporter_pings_rejected_total{reason="method"}') == 1
    assert await count(server, "own", "success") == 0


async def test_a_method_that_the_heartbeat_leaves_out_is_answered_but_not_counted(server: Running) -> None:
    path = server.ping_path("posted")
    async with server.client.get(path) as answer:
        assert (answer.status, await answer.text()) == (200, "OK")
    assert await count(server, "posted", "success") == 0
    assert await server.sample('heartbeat_last_seen_timestamp_seconds{heartbeat="posted"}') == 0
    assert await server.sample('heartbeat_exporter_pings_rejected_total{reason="method"}') == 0
    async with server.client.post(path) as answer:
        assert answer.status == 200
    assert await count(server, "posted", "success") == 1


@pytest.mark.parametrize("path", [f"/ping/{OWN_TOKEN}", f"/ping/{OWN_TOKEN}/FAIL", "/ping/unknown-0123456789"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS", "DELETE"])
async def test_every_answer_to_a_ping_carries_the_same_headers(server: Running, path: str, method: str) -> None:
    async with server.client.request(method, path) as answer:
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert answer.headers["Ping-Body-Limit"] == "100"


async def test_an_exit_status_is_remembered(server: Running) -> None:
    for status in (3, 0, 255):
        async with server.client.get(f"/ping/{OWN_TOKEN}/{status}") as answer:
            assert answer.status == 200
        assert await server.sample('heartbeat_last_exit_status{heartbeat="own"}') == status


@pytest.mark.parametrize("spell", [str, lambda u: str(u).upper(), lambda u: u.hex])
async def test_a_rid_names_a_run_however_it_is_spelled(server: Running, spell: type[str]) -> None:
    rid = uuid4()
    async with server.client.get(f"/ping/{OWN_TOKEN}/start", params={"rid": str(rid)}) as answer:
        assert answer.status == 200
    assert await server.sample('heartbeat_running{heartbeat="own"}') == 1
    async with server.client.get(f"/ping/{OWN_TOKEN}", params={"rid": str(uuid4())}) as answer:
        assert answer.status == 200
    assert await server.sample('heartbeat_running{heartbeat="own"}') == 1
    async with server.client.get(f"/ping/{OWN_TOKEN}", params={"rid": spell(rid)}) as answer:
        assert answer.status == 200
    assert await server.sample('heartbeat_running{heartbeat="own"}') == 0


async def test_the_first_bytes_of_a_body_are_kept_and_the_rest_is_dropped(server: Running) -> None:
    body = bytes(range(256)) * 40_000  # 10 MB, far more than one read
    async with server.client.post(f"/ping/{OWN_TOKEN}", data=io.BytesIO(body)) as answer:
        assert (answer.status, await answer.text()) == (200, "OK")
    (ping,) = await server.history("own")
    assert ping.body == body[:100]


async def test_a_body_in_chunks_is_kept_whole(server: Running) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for part in (b"one ", b"two ", b"three"):
            yield part

    async with server.client.post(f"/ping/{OWN_TOKEN}", data=chunks()) as answer:
        assert answer.status == 200
    (ping,) = await server.history("own")
    assert ping.body == b"one two three"


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "nonsense"])
async def test_a_body_is_kept_byte_for_byte_whatever_its_encoding_claims(server: Running, encoding: str) -> None:
    body = b"\x00\xff not what it claims"
    headers = {"Content-Encoding": encoding, "Content-Type": "text/plain; charset=klingon"}
    async with server.client.post(f"/ping/{OWN_TOKEN}", data=body, headers=headers) as answer:
        assert answer.status == 200
    (ping,) = await server.history("own")
    assert ping.body == body


async def test_what_is_kept_of_a_ping_tells_people_where_it_came_from(server: Running) -> None:
    async with server.client.post(f"/ping/{OWN_TOKEN}/3", data=b"x", headers={"User-Agent": "job/1"}) as answer:
        assert answer.status == 200
    (ping,) = await server.history("own")
    assert (ping.method, ping.remote, ping.user_agent, ping.exit_status) == ("POST", "127.0.0.1", "job/1", 3)


async def test_of_a_long_user_agent_the_beginning_is_kept(server: Running) -> None:
    async with server.client.get(f"/ping/{OWN_TOKEN}", headers={"User-Agent": "x" * 4000}) as answer:
        assert answer.status == 200
    (ping,) = await server.history("own")
    assert ping.user_agent == "x" * 512


async def exchange(address: str, request: bytes) -> bytes:
    """Send bytes, and return all that comes back until the connection is closed."""
    reader, writer = await asyncio.open_connection(*address.split(":"))
    try:
        writer.write(request)
        async with asyncio.timeout(10):
            return await reader.read()
    finally:
        writer.close()


async def test_a_user_agent_that_is_no_text_does_not_lose_the_ping(server: Running) -> None:
    request = f"GET /ping/{OWN_TOKEN} HTTP/1.0\r\nUser-Agent: \xff\xfe\r\n\r\n".encode("latin-1")
    assert b"\r\n\r\nOK" in await exchange(server.exporter.addresses[0], request)
    assert await count(server, "own", "success") == 1


@pytest.mark.parametrize(
    "request_line",
    [
        f"GET /ping/{OWN_TOKEN} HTTP/1.1\nHost: x\n\n",
        f"GET ping/{OWN_TOKEN} HTTP/1.1\r\nHost: x\r\n\r\n",
        f"GET /ping/{OWN_TOKEN}/\xe9 HTTP/1.1\r\nHost: x\r\n\r\n",
        f"GET /ping/{OWN_TOKEN}/{'x' * 9000} HTTP/1.1\r\nHost: x\r\n\r\n",
        f"GET /ping/{OWN_TOKEN} HTTP/9.9\r\nHost: x\r\n\r\n",
    ],
)
async def test_a_malformed_request_is_answered_without_a_trace_of_what_it_said(
    server: Running, request_line: str, caplog: pytest.LogCaptureFixture
) -> None:
    with capture_logs() as logs:
        answered = await exchange(server.exporter.addresses[0], request_line.encode("latin-1"))
    assert answered.startswith((b"HTTP/1.0 400 ", b"HTTP/1.1 400 "))
    assert OWN_TOKEN.encode() not in answered
    assert OWN_TOKEN not in caplog.text
    assert OWN_TOKEN not in str(logs)
    assert all(entry["log_level"] == "debug" for entry in logs)


async def test_a_client_that_leaves_in_the_middle_of_its_body_is_not_counted(server: Running) -> None:
    _, writer = await asyncio.open_connection(*server.exporter.addresses[0].split(":"))
    writer.write(f"POST /ping/{OWN_TOKEN} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf".encode())
    await writer.drain()
    await until(lambda: server.sample("heartbeat_exporter_pings_received_total"))
    writer.close()
    await until(lambda: server.sample('heartbeat_exporter_pings_rejected_total{reason="timeout"}'))
    assert await count(server, "own", "success") == 0


async def test_a_body_that_does_not_arrive_in_time_is_answered_408_and_not_counted(server: Running) -> None:
    exporter = server.exporter
    impatient = Pings(exporter._monitor, exporter._telemetry, wall_clock, body_seconds=0.05)
    service = await Service.make(exporter._telemetry, exporter._security, impatient.endpoints())
    service.bind(LOOPBACK)
    (listener,) = service.listeners
    listener.start(1)
    head = f"POST /ping/{OWN_TOKEN} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf".encode()
    answered = await exchange(str(listener.address), head)
    await service.stop()
    assert answered.startswith(b"HTTP/1.1 408 ")
    assert b"Connection: close" in answered
    assert answered.endswith(b"the request did not arrive in time")
    assert await server.sample('heartbeat_exporter_pings_rejected_total{reason="timeout"}') == 1
    assert await count(server, "own", "success") == 0


async def test_other_parameters_than_the_rid_mean_nothing(server: Running) -> None:
    async with server.client.get(f"/ping/{OWN_TOKEN}?source=cron") as answer:
        assert answer.status == 200
    assert await count(server, "own", "success") == 1


async def test_pings_at_once_are_all_counted(server: Running) -> None:
    async def ping() -> int:
        async with server.client.get(f"/ping/{OWN_TOKEN}") as answer:
            return answer.status

    assert set(await asyncio.gather(*(ping() for _ in range(200)))) == {200}
    assert await count(server, "own", "success") == 200


async def test_two_listeners_divide_pings_from_all_else(tmp_path: Path) -> None:
    async with exporter_in(tmp_path, CONFIG, ping_listen=(LOOPBACK,)) as server:
        pings, rest = (f"http://{address}" for address in server.exporter.addresses)
        async with aiohttp.ClientSession() as client:
            for base, path, status in [
                (pings, f"/ping/{OWN_TOKEN}", 200),
                (pings, "/metrics", 404),
                (pings, "/-/healthy", 404),
                (pings, "/", 404),
                (rest, f"/ping/{OWN_TOKEN}", 404),
                (rest, "/metrics", 200),
                (rest, "/-/healthy", 200),
                (rest, "/", 200),
            ]:
                async with client.get(base + path) as answer:
                    assert answer.status == status, (base, path)


@pytest.mark.parametrize("expected", ["100-continue", "100-Continue", "a-miracle"])
async def test_whatever_a_client_expects_its_ping_is_taken(server: Running, expected: str) -> None:
    head = f"POST /ping/{OWN_TOKEN} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: {expected}\r\n"
    answered = await exchange(server.exporter.addresses[0], f"{head}Content-Length: 4\r\n\r\nbody".encode())
    assert answered.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n").startswith(b"HTTP/1.1 200 OK")
    assert answered.startswith(b"HTTP/1.1 100 ") is (expected.lower() == "100-continue")


@pytest.mark.parametrize("request_line", ["OPTIONS *", "GET /", "GET /ping/unknown", "CONNECT x:80"])
async def test_no_answer_names_the_programs_that_serve_it(server: Running, request_line: str) -> None:
    head = f"{request_line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answered = await exchange(server.exporter.addresses[0], head.encode())
    assert b"\r\nServer: heartbeat-exporter\r\n" in answered
    assert b"aiohttp" not in answered


BODIES = [None, b"a body, and with it the longer way"]


@pytest.mark.parametrize("body", BODIES)
async def test_a_ping_that_the_store_does_not_take_is_to_be_sent_again(
    server: Running, monkeypatch: pytest.MonkeyPatch, body: bytes | None
) -> None:
    async def refuse(*_: object) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(server.exporter._monitor._store, "commit", refuse)
    await check_is_to_be_sent_again(server, body, "the ping could not be stored", "store")


@pytest.mark.parametrize("body", BODIES)
async def test_a_ping_beyond_those_that_may_wait_is_to_be_sent_again(
    server: Running, monkeypatch: pytest.MonkeyPatch, body: bytes | None
) -> None:
    monkeypatch.setattr(server.exporter._monitor._batches, "_limit", 0)
    await check_is_to_be_sent_again(server, body, "0 pings are waiting for the store already", "overload")


async def check_is_to_be_sent_again(server: Running, body: bytes | None, text: str, reason: str) -> None:
    async with server.client.post(f"/ping/{OWN_TOKEN}", data=body) as answer:
        assert (answer.status, await answer.text()) == (503, text)
        assert answer.headers["Retry-After"] == "10"
    assert await server.sample(f'heartbeat_exporter_pings_rejected_total{{reason="{reason}"}}') == 1


@pytest.mark.parametrize("body", BODIES)
async def test_a_mistake_of_ours_is_answered_and_logged(
    server: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, body: bytes | None
) -> None:
    async def break_down(*_: object) -> None:
        raise KeyError("a mistake")

    monkeypatch.setattr(server.exporter._monitor._store, "commit", break_down)
    with capture_logs() as logs:
        async with server.client.post(f"/ping/{OWN_TOKEN}", data=body) as answer:
            assert answer.status == 500
            assert answer.headers["Connection"] == "close"
            assert "mistake" not in await answer.text()
    assert caplog.records or [entry["event"] for entry in logs if entry["log_level"] == "error"]


async def test_headers_that_the_web_configuration_adds_are_those_that_its_last_use_has_seen(tmp_path: Path) -> None:
    web_config = write(tmp_path, "http_server_config: {headers: {X-Frame-Options: deny}}", "web.yaml")
    async with exporter_in(tmp_path, CONFIG, web_config_file=web_config) as server:

        async def framing() -> str | None:
            async with server.client.get(f"/ping/{OWN_TOKEN}") as answer:
                return answer.headers.get("X-Frame-Options")

        assert await framing() == "deny"
        write(tmp_path, "http_server_config: {headers: {X-Frame-Options: sameorigin}}", "web.yaml")
        assert await framing() == "deny"
        async with server.client.get("/metrics"):  # which looks
            pass
        assert await framing() == "sameorigin"
