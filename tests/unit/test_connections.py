"""How long a client may take and how much it may send, shown with short times over real sockets."""

import asyncio
import gc
import os
import resource
import socket
import weakref
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import cast

import pytest
from aiohttp import web
from connected import Handler, Streams, answer, connection, ended, place, read_all, reset, served
from running import until
from structlog.testing import capture_logs

from exporter.metrics.page import Sheet
from exporter.web.connections import HEAD_BYTES, Connection
from exporter.web.patience import PatientServer
from exporter.web.scrape import in_parts

pytestmark = pytest.mark.each_loop


@asynccontextmanager
async def connected(handler: Handler = read_all, head_seconds: float = 0.2, idle: float = 30) -> AsyncIterator[Streams]:
    async with served(handler, head_seconds, idle) as (_, listener), connection(listener) as streams:
        yield streams


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
        with suppress(ConnectionResetError):
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
async def half_sent() -> AsyncIterator[tuple[PatientServer, *Streams]]:
    """A request that is being handled, with half of its body still to come: cd."""
    begun = asyncio.Event()

    async def handle(request: web.Request) -> web.StreamResponse:
        begun.set()
        return await read_all(request)

    async with served(handle) as (server, listener), connection(listener) as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab")
        await begun.wait()
        yield server, reader, writer


async def test_at_the_end_a_body_that_has_begun_to_arrive_is_still_heard() -> None:
    async with half_sent() as (server, reader, writer):
        finishing = asyncio.ensure_future(server.finish(10))
        for _ in range(100):  # until the server has done all that it does at once
            await asyncio.sleep(0)
        writer.write(b"cd")
        assert await answer(reader) == b"HTTP/1.1 200 OK | 4 bytes"
        assert await reader.read() == b""  # and then the connection is closed
        await finishing


async def test_at_the_end_a_body_that_stays_away_is_waited_for_no_longer_than_said() -> None:
    async with half_sent() as (server, reader, _):
        await server.finish(0.1)
        await server.shutdown(0.1)
        assert await reader.read() == b""


@pytest.mark.parametrize("sent", [b"", b"GET / HT"])
async def test_at_the_end_connections_without_a_request_are_closed_at_once(sent: bytes) -> None:
    async with served(read_all, head_seconds=30) as (server, listener), connection(listener) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await answer(reader)
        writer.write(sent)
        await server.finish(10)
        assert await reader.read() == b""


# What is too large, and what is not taken in


async def test_a_head_that_grows_too_large_is_cut_off() -> None:
    async with connected(head_seconds=30) as (reader, writer):
        closed = asyncio.ensure_future(reader.read())
        writer.write(b"GET / HTTP/1.1\r\n")
        sent = 0
        while not closed.done():
            assert sent <= 4 * HEAD_BYTES
            writer.write(b"X: " + b"x" * 4000 + b"\r\n")
            sent += 4005
            await asyncio.wait({closed}, timeout=0.01)
        with suppress(ConnectionResetError):
            assert b" 200 " not in closed.result()


async def test_a_large_body_is_no_large_head() -> None:
    async def count(request: web.Request) -> web.StreamResponse:
        size = 0
        async for chunk in request.content.iter_any():
            size += len(chunk)
        return web.Response(text=f"{size} bytes")

    size = 20 * HEAD_BYTES
    async with connected(count) as (reader, writer):
        for _ in range(2):
            writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size + bytes(size))
            assert await answer(reader) == b"HTTP/1.1 200 OK | %d bytes" % size


LARGE = 20_000_000


async def send_much(_: web.Request) -> web.StreamResponse:
    return web.Response(body=bytes(LARGE))


@pytest.mark.parametrize("header", [b"", b"Connection: close\r\n"])
async def test_an_answer_that_is_not_taken_in_is_cut_off(header: bytes) -> None:
    async with (
        served(send_much, answer_seconds=0.1) as (server, listener),
        connection(listener) as (reader, writer),
    ):
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n" + header + b"\r\n")
        await reader.read(1)
        await ended(server)


async def test_an_answer_that_is_taken_in_late_but_in_time_is_whole() -> None:
    async with served(send_much) as (_, listener), connection(listener) as (reader, writer):
        for _ in range(2):
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await answer(reader)).endswith(bytes(LARGE))


# Many at once


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert await answer(reader) == b"HTTP/1.1 200 OK | 0 bytes"


@pytest.fixture
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any connection that waits may be given up for another, however short it has waited."""
    monkeypatch.setattr("exporter.web.listener.PATIENCE_SECONDS", 0)


@pytest.mark.usefixtures("no_patience")
async def test_where_there_is_no_room_the_connection_that_has_waited_longest_goes() -> None:
    async with AsyncExitStack() as stack:
        server, listener = await stack.enter_async_context(served(read_all, head_seconds=30, at_most=3))
        first, second, third = [await stack.enter_async_context(connection(listener)) for _ in range(3)]
        for streams in (first, second, third, first):
            await ask(*streams)
        fourth = await stack.enter_async_context(connection(listener))
        await ask(*fourth)
        assert await second[0].read() == b""
        assert len(server.connections) == 3
        for streams in (first, third, fourth):
            await ask(*streams)


async def test_whoever_only_holds_connections_keeps_nobody_out() -> None:
    async with AsyncExitStack() as stack:
        _, listener = await stack.enter_async_context(served(read_all, head_seconds=30, at_most=3))
        for _ in range(20):
            _, writer = await stack.enter_async_context(connection(listener))
            writer.write(b"GET / HTTP/1.1\r\nX: slow")
        await ask(*await stack.enter_async_context(connection(listener)))


async def test_a_connection_is_heard_before_it_is_given_up_for_another() -> None:
    async with AsyncExitStack() as stack:
        _, listener = await stack.enter_async_context(served(read_all, at_most=3))
        clients = [await stack.enter_async_context(connection(listener)) for _ in range(20)]
        for _, writer in clients:
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        for reader, _ in clients:
            assert await answer(reader) == b"HTTP/1.1 200 OK | 0 bytes"


async def test_while_all_connections_work_a_new_one_waits_its_turn() -> None:
    go_on = asyncio.Event()
    working = asyncio.Semaphore(0)

    async def work(request: web.Request) -> web.StreamResponse:
        working.release()
        await go_on.wait()
        return await read_all(request)

    async with AsyncExitStack() as stack:
        _, listener = await stack.enter_async_context(served(work, at_most=2))
        asking = []
        for _ in range(2):
            asking.append(asyncio.ensure_future(ask(*await stack.enter_async_context(connection(listener)))))
            await working.acquire()
        asking.append(asyncio.ensure_future(ask(*await stack.enter_async_context(connection(listener)))))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(working.acquire(), 0.1)
        go_on.set()
        await asyncio.gather(*asking)


async def test_with_no_file_left_for_a_connection_one_that_waits_is_given_up() -> None:
    async with AsyncExitStack() as stack:
        _, listener = await stack.enter_async_context(served(read_all, head_seconds=30, at_most=1000))
        held = [await stack.enter_async_context(connection(listener)) for _ in range(5)]
        for streams in held:
            await ask(*streams)
        client = stack.enter_context(socket.socket())
        client.setblocking(False)
        with capture_logs() as logs, no_more_files():
            await asyncio.get_running_loop().sock_connect(client, place(listener))
            assert await held[0][0].read() == b""
            reader, writer = await asyncio.open_connection(sock=client)
            await ask(reader, writer)
            writer.close()
        assert logs[0]["event"] == "connections wait: the system has no room for more"


@contextmanager
def no_more_files() -> Iterator[None]:
    """No file can be opened, but in place of one that is closed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(file.name) for file in Path("/proc/self/fd").iterdir())
    with ExitStack() as stack:
        filling = []
        while (descriptor := os.open("/dev/null", os.O_RDONLY)) <= highest:
            filling.append(descriptor)
            stack.callback(os.close, descriptor)
        os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptor, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# The end


@pytest.mark.parametrize("accepted", ["accepted", "not accepted"])
async def test_at_the_end_a_request_that_has_come_whole_is_answered(accepted: str) -> None:
    async with served(read_all) as (server, listener), connection(listener) as (reader, writer):
        if accepted == "accepted":
            await ask(reader, writer)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        # No turn of the loop is given to the server before it is told to stop.
        listener.stop()
        await server.finish(10)
        assert await answer(reader) == b"HTTP/1.1 200 OK | 0 bytes"
        assert await reader.read() == b""


async def test_at_the_end_requests_that_were_read_and_not_begun_are_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exporter.web.patience._TURNS", 0)
    async with served(read_all) as (server, listener), connection(listener) as (reader, writer):
        await ask(reader, writer)
        (served_connection,) = server.connections
        served_connection.data_received(2 * b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        listener.stop()
        await server.finish(10)
        for _ in range(2):
            assert await answer(reader) == b"HTTP/1.1 200 OK | 0 bytes"
        assert await reader.read() == b""


async def test_at_the_end_nobody_is_waited_for_who_has_left() -> None:
    async with served(read_all) as (server, listener), connection(listener) as (reader, writer):
        await ask(reader, writer)
        (served_connection,) = server.connections
        served_connection.data_received(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        served_connection.force_close()
        async with asyncio.timeout(5):
            await server.finish(30)


async def test_after_the_end_nobody_is_listened_to() -> None:
    async with served(read_all) as (_, listener):
        listener.stop()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(*place(listener))


# What clients may try


@pytest.mark.usefixtures("no_patience")
async def test_clients_that_ask_again_and_again_make_way_for_others() -> None:
    async with AsyncExitStack() as stack:
        _, listener = await stack.enter_async_context(served(read_all, at_most=3))
        busy = [await stack.enter_async_context(connection(listener)) for _ in range(3)]
        for streams in busy:
            await ask(*streams)
        for reader, writer in busy:
            listener._halt()  # as it is while none of them may be given up
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert await answer(reader) == b"HTTP/1.1 200 OK | 0 bytes"
            assert await reader.read() == b""
        await ask(*await stack.enter_async_context(connection(listener)))


async def test_a_client_that_trickles_a_body_makes_way_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exporter.web.listener.PATIENCE_SECONDS", 0.05)

    async def read_slowly(request: web.Request) -> web.StreamResponse:
        with cast("Connection", request.protocol).awaiting_body():
            return await read_all(request)

    async with AsyncExitStack() as stack:
        server, listener = await stack.enter_async_context(served(read_slowly, at_most=3))
        for _ in range(3):
            _, writer = await stack.enter_async_context(connection(listener))
            writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nx")
        await ask(*await stack.enter_async_context(connection(listener)))
        assert len(server.connections) <= 3


async def test_large_requests_that_are_piled_up_are_not_read_ahead() -> None:
    go_on = asyncio.Event()

    async def wait(request: web.Request) -> web.StreamResponse:
        await go_on.wait()
        return await read_all(request)

    async with served(wait) as (server, listener), connection(listener) as (_, writer):
        large = b"GET / HTTP/1.1\r\nHost: x\r\n" + 50 * (b"X: " + b"x" * 8000 + b"\r\n") + b"\r\n"
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + 50 * large)

        async def is_paused() -> bool:
            return any(each._buffer_paused for each in server.connections)

        await until(is_paused)
        assert [len(each._messages) for each in server.connections] == [2]
        go_on.set()


@pytest.mark.parametrize("size", [60_000, 200_000, 2_000_000])
async def test_what_is_left_of_a_body_is_no_large_head(size: int) -> None:
    async def answer_at_once(_: web.Request) -> web.StreamResponse:
        return web.Response(status=404, text="not found")

    async with connected(answer_at_once) as (reader, writer):
        for _ in range(2):
            writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size + bytes(size))
            assert await answer(reader) == b"HTTP/1.1 404 Not Found | not found"


async def send_in_pieces(_: web.Request) -> web.StreamResponse:
    return in_parts(Sheet([bytes(LARGE // 64)] * 64, LARGE))


@pytest.mark.parametrize("send", [send_much, send_in_pieces])
async def test_answers_that_nobody_takes_in_are_cut_off_before_they_are_too_many(
    monkeypatch: pytest.MonkeyPatch, send: Handler
) -> None:
    monkeypatch.setattr("exporter.web.patience.UNSENT_AT_MOST", 2 * LARGE)
    async with AsyncExitStack() as stack:
        server, listener = await stack.enter_async_context(served(send, answer_seconds=30))
        for _ in range(6):
            reader, writer = await stack.enter_async_context(connection(listener))
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await reader.readexactly(1)
        assert sum(each.unsent for each in server._clients) <= 2 * LARGE
        assert len(server._clients) <= 3
        reader, writer = await stack.enter_async_context(connection(listener))
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await answer(reader)).endswith(bytes(LARGE))


async def test_nothing_is_kept_of_an_answer_whose_client_has_left_in_the_middle_of_it() -> None:
    answers: list[weakref.ref[web.StreamResponse]] = []

    async def send(request: web.Request) -> web.StreamResponse:
        answer = await send_in_pieces(request)
        answers.append(weakref.ref(answer))
        return answer

    gc.disable()  # as it is, in effect, where there are many heartbeats
    try:
        async with served(send, answer_seconds=30) as (server, listener):
            async with connection(listener) as (reader, writer):
                writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                await reader.readexactly(1)
                reset(writer)
            await ended(server)

            async def is_gone() -> bool:
                return answers[0]() is None

            await until(is_gone)
    finally:
        gc.enable()


async def test_to_ask_for_the_head_of_a_large_answer_cuts_nobody_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exporter.web.patience.UNSENT_AT_MOST", LARGE)
    async with AsyncExitStack() as stack:
        _, listener = await stack.enter_async_context(served(send_in_pieces, answer_seconds=30))
        readers = []
        for _ in range(2):
            reader, writer = await stack.enter_async_context(connection(listener))
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            readers.append(reader)
            await reader.readuntil(b"\r\n\r\n")
        reader, writer = await stack.enter_async_context(connection(listener))
        writer.write(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"Content-Length: %d" % LARGE in await reader.readuntil(b"\r\n\r\n")
        for reader in readers:
            assert len(await reader.readexactly(LARGE)) == LARGE


@pytest.mark.parametrize(
    ("sent", "heard"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 200 OK"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", b"HTTP/1.1 200 OK"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nab", b""),
        (b"GET / HTTP/1.1\r\nHost", b""),
        (b"", b""),
    ],
)
async def test_a_client_that_has_said_all_is_answered_if_that_was_a_request(sent: bytes, heard: bytes) -> None:
    async def answer_late(request: web.Request) -> web.StreamResponse:
        answer = await read_all(request)
        for _ in range(20):
            await asyncio.sleep(0)
        return answer

    async with connected(answer_late, head_seconds=30) as (reader, writer):
        writer.write(sent)
        writer.write_eof()
        assert (await reader.read()).partition(b"\r\n")[0] == heard


async def test_a_client_that_left_before_a_large_answer_leaves_no_trouble(caplog: pytest.LogCaptureFixture) -> None:
    left = asyncio.Event()

    async def answer_late(request: web.Request) -> web.StreamResponse:
        await left.wait()
        return await send_much(request)

    async with served(answer_late) as (server, listener):
        async with connection(listener) as (_, writer):
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")

            async def is_working() -> bool:
                return any(each.busy for each in server._clients)

            await until(is_working)
            reset(writer)

        async def is_gone() -> bool:
            return not any(each.transport for each in server._clients)

        await until(is_gone)
        left.set()
        await ended(server)
    assert caplog.text == ""
