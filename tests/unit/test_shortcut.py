"""Requests that go the short way, beside and between those that go aiohttp's, over real connections."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from aiohttp.http_parser import RawRequestMessage
from connected import Streams, answer, connection, ended, read_all, reset, served
from running import until

from exporter.web.listener import Listener
from exporter.web.patience import PatientServer
from exporter.web.shortcut import Turn

pytestmark = pytest.mark.each_loop

PLAIN = b"GET /short HTTP/1.1\r\nHost: x\r\n\r\n"
OTHER = b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n"


class Desk:
    """Takes over what is asked of /short, and answers it when it is told to."""

    def __init__(self, body: bytes = b"short") -> None:
        self.turns: list[Turn] = []
        self.taken = 0
        self._body = body

    def take(self, turn: Turn, message: RawRequestMessage) -> bool:
        if message.path != "/short":
            return False
        turn.begin()
        self.taken += 1
        self.turns.append(turn)
        return True

    async def has(self, turns: int) -> None:
        async def there() -> bool:
            return len(self.turns) == turns

        await until(there)

    def answer(self) -> None:
        """Answer the request that has waited longest."""
        turn = self.turns.pop(0)
        last = turn.last
        closing = b"Connection: close\r\n" if last else b""
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%b\r\n" % (len(self._body), closing)
        turn.answer(head + self._body, last=last)


class Prompt(Desk):
    """Answers at once."""

    def take(self, turn: Turn, message: RawRequestMessage) -> bool:
        taken = super().take(turn, message)
        if taken:
            self.answer()
        return taken


@asynccontextmanager
async def one_client(
    desk: Desk, head_seconds: float = 30, idle: float = 30
) -> AsyncIterator[tuple[PatientServer, Listener, *Streams]]:
    async with (
        served(read_all, head_seconds, idle, shortcut=desk) as (server, listener),
        connection(listener) as (reader, writer),
    ):
        yield server, listener, reader, writer


async def turns(times: int = 100) -> None:
    """Let the server do all that it does at once."""
    for _ in range(times):
        await asyncio.sleep(0)


SHORT = b"HTTP/1.1 200 OK | short"
LONG = b"HTTP/1.1 200 OK | 0 bytes"


async def test_requests_of_both_ways_follow_each_other_on_one_connection() -> None:
    async with one_client(desk := Prompt()) as (_, _, reader, writer):
        for sent, heard in [(PLAIN, SHORT), (OTHER, LONG), (PLAIN, SHORT), (PLAIN, SHORT), (OTHER, LONG)]:
            writer.write(sent)
            assert await answer(reader) == heard
        assert desk.taken == 3


async def test_any_number_of_plain_requests_follow_each_other_on_one_connection() -> None:
    async with one_client(desk := Prompt()) as (_, _, reader, writer):
        for _ in range(100):  # more than aiohttp's parser lets wait to be handled
            writer.write(PLAIN)
            assert await answer(reader) == SHORT
        writer.write(PLAIN + OTHER)
        for _ in range(2):
            assert await answer(reader) == LONG
        assert desk.taken == 100


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /short HTTP/1.0\r\n\r\n",
        b"GET /short HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        b"GET /short HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /short HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\r\n",
        b"GET /short HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        b"POST /short HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx",
        b"POST /short HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /short HTTP/1.1\r\nHost: x\r\n\r\nGET /short HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
async def test_what_is_not_plain_goes_aiohttps_way(sent: bytes) -> None:
    async with one_client(desk := Prompt()) as (_, _, reader, writer):
        writer.write(sent)
        writer.write_eof()
        heard = await reader.read()
        assert b" 200 OK\r\n" in heard
        assert heard.endswith(b" bytes")
        assert desk.taken == 0


@pytest.mark.parametrize("sent", [PLAIN, OTHER, PLAIN + OTHER])
async def test_what_comes_while_a_request_waits_is_answered_after_it(sent: bytes) -> None:
    async with one_client(desk := Desk()) as (server, _, reader, writer):
        writer.write(PLAIN)
        await desk.has(1)
        writer.write(sent)

        async def is_read() -> bool:
            return any(each.pipelined for each in server._clients)

        await until(is_read)
        await turns()
        desk.answer()
        assert await answer(reader) == SHORT
        for _ in range(sent.count(b"GET")):
            assert await answer(reader) == LONG


async def test_a_head_that_has_begun_behind_a_plain_request_is_completed() -> None:
    async with one_client(desk := Prompt()) as (_, _, reader, writer):
        writer.write(PLAIN + OTHER[:10])
        assert await answer(reader) == SHORT
        writer.write(OTHER[10:])
        assert await answer(reader) == LONG
        assert desk.taken == 1


async def test_after_a_plain_request_a_head_that_stays_away_closes_the_connection() -> None:
    async with one_client(Prompt(), head_seconds=0.2) as (_, _, reader, writer):
        writer.write(PLAIN)
        assert await answer(reader) == SHORT
        writer.write(OTHER[:10])
        assert await reader.read() == b""


async def test_a_connection_is_idle_only_once_its_plain_request_is_answered() -> None:
    idle = 0.2
    async with one_client(desk := Desk(), head_seconds=0.1, idle=idle) as (_, _, reader, writer):
        writer.write(PLAIN)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 2 * idle)
        desk.answer()
        assert await answer(reader) == SHORT
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), idle / 2)
        assert await reader.read() == b""


async def test_a_client_that_left_while_its_request_waited_leaves_no_trouble(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk()
    async with served(read_all, shortcut=desk) as (server, listener):
        async with connection(listener) as (_, writer):
            writer.write(PLAIN)
            await desk.has(1)
            reset(writer)
        await ended(server)
        desk.answer()
        await turns()
        assert (len(listener._working), len(listener._waiting)) == (0, 0)
    assert caplog.text == ""


async def test_a_client_that_has_said_all_hears_its_answer_and_then_the_end() -> None:
    async with one_client(desk := Desk()) as (_, _, reader, writer):
        writer.write(PLAIN)
        writer.write_eof()
        await desk.has(1)
        await turns()
        desk.answer()
        assert (await reader.read()).endswith(b"short")


async def test_an_answer_to_a_connection_that_is_closing_goes_nowhere() -> None:
    async with one_client(desk := Desk()) as (server, _, reader, writer):
        writer.write(PLAIN)
        await desk.has(1)
        (served_connection,) = server._clients
        assert served_connection.transport is not None
        served_connection.transport.close()
        desk.answer()
        assert await reader.read() == b""


# Many at once


async def test_a_connection_whose_request_waits_is_not_given_up_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exporter.web.listener.PATIENCE_SECONDS", 0)
    desk = Desk()
    async with AsyncExitStack() as stack:
        _, listener = await stack.enter_async_context(served(read_all, shortcut=desk, head_seconds=30, at_most=2))
        first, second = [await stack.enter_async_context(connection(listener)) for _ in range(2)]
        for number, (_, writer) in enumerate([first, second], 1):
            writer.write(PLAIN)
            await desk.has(number)
        third = await stack.enter_async_context(connection(listener))
        third[1].write(OTHER)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(third[0].read(1), 0.1)
        desk.answer()  # and as there is a crowd, its connection ends
        assert await first[0].read() == b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nshort"
        assert await answer(third[0]) == LONG
        desk.answer()
        assert await answer(second[0]) == SHORT


async def test_a_connection_that_was_answered_waits_and_can_be_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exporter.web.listener.PATIENCE_SECONDS", 0)
    async with AsyncExitStack() as stack:
        _, listener = await stack.enter_async_context(served(read_all, shortcut=Prompt(), head_seconds=30, at_most=1))
        first = await stack.enter_async_context(connection(listener))
        first[1].write(PLAIN)
        assert await answer(first[0]) == SHORT
        second = await stack.enter_async_context(connection(listener))
        second[1].write(PLAIN)
        assert await answer(second[0]) == SHORT
        assert await first[0].read() == b""


LARGE = 20_000_000


async def test_an_answer_that_is_not_taken_in_is_cut_off() -> None:
    desk = Prompt(bytes(LARGE))
    async with (
        served(read_all, shortcut=desk, answer_seconds=0.1) as (server, listener),
        connection(listener) as (reader, writer),
    ):
        writer.write(PLAIN)
        await reader.read(1)
        await ended(server)


async def test_an_answer_that_is_taken_in_late_has_all_its_time_after_one_that_was_not_late() -> None:
    desk = Prompt(bytes(LARGE))
    async with (
        served(read_all, shortcut=desk, answer_seconds=0.4) as (_, listener),
        connection(listener) as (reader, writer),
    ):
        for _ in range(4):
            writer.write(PLAIN)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.Event().wait(), 0.2)
            assert (await answer(reader)).endswith(bytes(LARGE))


async def test_while_answers_are_not_taken_in_no_more_are_made_the_short_way() -> None:
    async with one_client(desk := Prompt(bytes(LARGE))) as (server, _, reader, writer):
        writer.write(PLAIN)
        await reader.read(1)
        (served_connection,) = server._clients
        assert served_connection.writing_paused
        writer.write(PLAIN)

        async def is_going_the_other_way() -> bool:
            return served_connection._request_count == 2

        await until(is_going_the_other_way)
        assert desk.taken == 1


# The end


@pytest.mark.parametrize("behind", [b"", OTHER])
async def test_at_the_end_a_request_that_waits_is_waited_for(behind: bytes) -> None:
    async with one_client(desk := Desk()) as (server, listener, reader, writer):
        writer.write(PLAIN + behind[:10])
        await desk.has(1)
        writer.write(behind[10:])
        await turns()
        listener.stop()
        finishing = asyncio.ensure_future(server.finish(10))
        await turns()
        assert not finishing.done()
        desk.answer()
        assert await answer(reader) == SHORT
        if behind:
            assert await answer(reader) == LONG
        assert await reader.read() == b""
        await finishing


async def test_at_the_end_a_request_that_came_last_is_taken() -> None:
    async with one_client(Prompt()) as (server, listener, reader, writer):
        writer.write(OTHER)
        assert await answer(reader) == LONG
        writer.write(PLAIN)
        # No turn of the loop is given to the server before it is told to stop.
        listener.stop()
        await server.finish(10)
        assert await reader.read() == b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nshort"


async def test_at_the_end_a_request_that_is_never_answered_is_waited_for_no_longer_than_said() -> None:
    async with one_client(desk := Desk()) as (server, listener, reader, writer):
        writer.write(PLAIN)
        await desk.has(1)
        listener.stop()
        async with asyncio.timeout(5):
            await server.finish(0.1)
            await server.shutdown(0.1)
        assert await reader.read() == b""
        desk.answer()  # It comes too late, and harms nothing.


@pytest.mark.parametrize(("waits", "late"), [(10, 0.1), (1, 1.2)])  # It waits twice so long.
async def test_an_answer_that_comes_during_aiohttps_own_shutdown_is_sent(waits: float, late: float) -> None:
    async with one_client(desk := Desk()) as (server, listener, reader, writer):
        writer.write(PLAIN)
        await desk.has(1)
        listener.stop()
        await server.finish(0)
        shutting_down = asyncio.ensure_future(server.shutdown(waits))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), late)
        desk.answer()
        assert (await reader.read()).endswith(b"short")
        await shutting_down


async def test_no_task_is_left_of_a_connection_that_was_cut_off_while_its_request_waited() -> None:
    async with one_client(desk := Desk()) as (server, _, reader, writer):
        writer.write(PLAIN)
        await desk.has(1)
        (served_connection,) = server._clients
        task = served_connection._task_handler
        assert task is not None
        served_connection.drop()
        assert await reader.read() == b""
        await asyncio.wait({task}, timeout=5)
        assert task.done()
        desk.answer()
