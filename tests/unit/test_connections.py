"""How long a client may take, shown with short times over real sockets."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from exporter.web.connections import PatientServer

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def read_all(request: web.Request) -> web.StreamResponse:
    return web.Response(text=f"{len(await request.read())} bytes")


@asynccontextmanager
async def served(
    handler: Handler, head_seconds: float = 0.2, idle: float = 30
) -> AsyncIterator[tuple[PatientServer, web.ServerRunner]]:
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", handler)
    application = web.AppRunner(app)
    await application.setup()
    assert application.server is not None
    server = PatientServer(application.server, head_seconds=head_seconds, keepalive_timeout=idle, access_log=None)
    runner = web.ServerRunner(server, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield server, runner
    finally:
        await runner.cleanup()


@asynccontextmanager
async def connection(runner: web.ServerRunner) -> AsyncIterator[Streams]:
    reader, writer = await asyncio.open_connection(*runner.addresses[0][:2])
    try:
        async with asyncio.timeout(10):
            yield reader, writer
    finally:
        writer.close()


@asynccontextmanager
async def connected(handler: Handler = read_all, head_seconds: float = 0.2, idle: float = 30) -> AsyncIterator[Streams]:
    async with served(handler, head_seconds, idle) as (_, runner), connection(runner) as streams:
        yield streams


async def answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
    )
    return head.split(b"\r\n")[0] + b" | " + await reader.readexactly(length)


@pytest.mark.parametrize("sent", [b"", b"G", b"GET / HTTP/1.1\r\nHost: x\r\n"])
async def test_a_connection_whose_head_stays_away_is_closed(sent: bytes) -> None:
    async with connected() as (reader, writer):
        writer.write(sent)
        assert await reader.read() == b""


async def test_a_head_that_comes_drop_by_drop_is_no_reason_to_wait_longer() -> None:
    async with connected() as (reader, writer):
        closed = asyncio.ensure_future(reader.read())
        writer.write(b"GET / HTTP/1.1\r\nX: ")
        while not closed.done():
            writer.write(b"x")
            await asyncio.wait({closed}, timeout=0.02)
        assert closed.result() == b""


async def test_a_body_may_take_longer_than_a_head() -> None:
    arrived = asyncio.Event()

    async def slow(request: web.Request) -> web.StreamResponse:
        await request.content.readexactly(2)
        arrived.set()
        return await read_all(request)

    async with connected(slow, head_seconds=0.05) as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab")
        await arrived.wait()
        for byte in (b"c", b"d"):
            with pytest.raises(TimeoutError):  # longer than a head may take
                await asyncio.wait_for(reader.read(1), 0.1)
            writer.write(byte)
        assert await answer(reader) == b"HTTP/1.1 200 OK | 2 bytes"


async def test_a_connection_between_requests_waits_longer_than_for_a_head() -> None:
    async with connected(head_seconds=0.05) as (reader, writer):
        for _ in range(2):
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert await answer(reader) == b"HTTP/1.1 200 OK | 0 bytes"
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(1), 0.15)


async def test_a_second_head_that_stays_away_closes_the_connection() -> None:
    async with connected() as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert await answer(reader) == b"HTTP/1.1 200 OK | 0 bytes"
        writer.write(b"GET / HTTP/1.1\r\n")
        assert await reader.read() == b""


async def test_requests_sent_at_once_are_answered_in_order() -> None:
    async with connected() as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\nPOST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc")
        assert await answer(reader) == b"HTTP/1.1 200 OK | 0 bytes"
        assert await answer(reader) == b"HTTP/1.1 200 OK | 3 bytes"


async def test_an_idle_connection_is_closed_in_the_end() -> None:
    async with connected(idle=0.3) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await answer(reader)
        assert await reader.read() == b""


@asynccontextmanager
async def half_sent() -> AsyncIterator[tuple[PatientServer, web.ServerRunner, *Streams]]:
    """A request that is being handled, with half of its body still to come: cd."""
    begun = asyncio.Event()

    async def handle(request: web.Request) -> web.StreamResponse:
        begun.set()
        return await read_all(request)

    async with served(handle) as (server, runner), connection(runner) as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab")
        await begun.wait()
        yield server, runner, reader, writer


async def test_at_the_end_a_body_that_has_begun_to_arrive_is_still_heard() -> None:
    async with half_sent() as (server, _, reader, writer):
        finishing = asyncio.ensure_future(server.finish(10))
        await asyncio.sleep(0)
        writer.write(b"cd")
        assert await answer(reader) == b"HTTP/1.1 200 OK | 4 bytes"
        assert await reader.read() == b""  # and then the connection is closed
        await finishing


async def test_at_the_end_a_body_that_stays_away_is_waited_for_no_longer_than_said() -> None:
    async with half_sent() as (server, runner, reader, _):
        await server.finish(0.1)
        await runner.cleanup()
        assert await reader.read() == b""


@pytest.mark.parametrize("sent", [b"", b"GET / HT"])
async def test_at_the_end_connections_without_a_request_are_closed_at_once(sent: bytes) -> None:
    async with served(read_all, head_seconds=30) as (server, runner), connection(runner) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await answer(reader)
        writer.write(sent)
        await server.finish(10)
        await runner.cleanup()
        assert await reader.read() == b""
