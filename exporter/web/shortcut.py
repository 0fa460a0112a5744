"""The short way of a request: taken over where aiohttp's parser hands it out, and answered with bytes.

Most of what a request costs is not its parsing but what is made around it: a task, a request, a match of the router, an
answer and its headers. A plain request, one without a body or anything else that needs them, is spared all that. It
is parsed by aiohttp like every other, and what is decided about it is decided by the same code; only the way there and
back is shorter. Everything else goes aiohttp's way, on the same connection and in turn.
"""

import asyncio
from typing import Any, Protocol, cast

from aiohttp import EMPTY_PAYLOAD, HttpVersion11, hdrs, web
from aiohttp.http_parser import HttpRequestParser, RawRequestMessage
from aiohttp.streams import StreamReader


class Turn(Protocol):
    """A connection, while a request of its own goes the short way."""

    peer: str
    """The address of the other side; empty for a Unix socket."""

    @property
    def last(self) -> bool:
        """Whether the connection is to end with an answer that is given now."""

    def begin(self) -> None:
        """The request is taken over, and will be answered. What comes after it waits for that."""

    def answer(self, answer: bytes, *, last: bool) -> None:
        """Send the answer, and then end the connection if it is the ``last``."""


class Shortcut(Protocol):
    """Who takes requests over."""

    def take(self, turn: Turn, message: RawRequestMessage) -> bool:
        """Whether this plain request is taken over, and then, before this returns, the turn has begun."""


class Taker(Protocol):
    """Who is offered what was parsed."""

    def __call__(self, message: RawRequestMessage) -> bool:
        """Whether the request is taken over."""


class Sieve:
    """aiohttp's parser for one connection, which keeps back the plain requests that are taken over."""

    __slots__ = ("_parser", "_take", "feed_eof", "message_consumed", "pause_reading", "set_upgraded")

    def __init__(self, parser: HttpRequestParser, take: Taker) -> None:
        self._parser = parser
        self._take = take
        self.feed_eof = parser.feed_eof
        self.message_consumed = parser.message_consumed
        self.pause_reading = parser.pause_reading
        self.set_upgraded = parser.set_upgraded

    def feed_data(self, data: bytes) -> Any:
        """What aiohttp's parser makes of this, without a request that was taken over."""
        parsed = self._parser.feed_data(data)
        messages = parsed[0]
        if len(messages) == 1:
            message, payload = messages[0]
            if is_plain(message, payload) and self._take(message):
                self.message_consumed()
                return (), *parsed[1:]
        return parsed


def is_plain(message: RawRequestMessage, payload: StreamReader) -> bool:
    """Whether it is a request for nothing but its answer: no body, no upgrade, no wish to hear of either before."""
    return (
        payload is EMPTY_PAYLOAD
        and not message.should_close
        and not message.upgrade
        and message.version == HttpVersion11
        and hdrs.EXPECT not in message.headers
    )


class TwoWays(web.RequestHandler):
    """aiohttp's handler of one connection, with the short way beside its own.

    A task of aiohttp's waits for requests with a future. While one goes the short way, that future is kept from it: so
    what else arrives is queued, and the connection is not taken for an idle one.
    """

    __slots__ = ("_held", "_shortcut", "_started")

    def __init__(self, *args: Any, shortcut: Shortcut | None, **kwargs: Any) -> None:
        """``shortcut``: who is offered plain requests; None: all go aiohttp's way."""
        super().__init__(*args, **kwargs)
        self._held: asyncio.Future[None] | None = None
        self._started = False
        """Whether the task has had its first turn. On some event loops a request may be there before it has."""
        self._shortcut = shortcut
        if shortcut is not None:
            self._parser = cast("Any", Sieve(cast("Any", self._parser), self._take))

    async def start(self) -> None:
        """Handle the requests that come, one after another, until the connection is to end."""
        self._started = True
        if self._held is not None:
            try:
                await self._held
            finally:
                self._waiter = None
        await super().start()

    def _take(self, message: RawRequestMessage) -> bool:
        """Whether a plain request goes the short way: only if nothing else of this connection's has to come first."""
        waiter = self._waiter
        if waiter is None and not self._started and not self._messages and self._held is None:
            waiter = self._waiter = self._loop.create_future()
        return (
            waiter is not None
            and not waiter.done()
            and not self.writing_paused  # else aiohttp's way waits until the client takes its answers in
            and self._shortcut is not None
            and self._shortcut.take(cast("Turn", self), message)
        )

    def begin(self) -> None:
        """A request that is taken over is being handled from now on."""
        self._held, self._waiter = self._waiter, None
        self._request_in_progress = True
        self._request_count += 1

    def answer(self, answer: bytes, *, last: bool) -> None:
        """Send the answer to the request that was taken over, unless the connection has ended meanwhile."""
        waiter, self._held = self._held, None
        if waiter is not None and self.transport is not None:
            self._waiter = waiter
            if not self.transport.is_closing():
                self.transport.write(answer)
            self._go_on(waiter, self.transport, ends=last or self._close or self._force_close)
        self._request_in_progress = False
        if self._handler_waiter is not None and not self._handler_waiter.done():
            self._handler_waiter.set_result(None)

    def _go_on(self, waiter: "asyncio.Future[None]", transport: asyncio.Transport, *, ends: bool) -> None:
        """After an answer, what aiohttp's task does after one of its own."""
        if ends:
            self.close()
            transport.close()
            return
        if self._messages and not waiter.done():
            waiter.set_result(None)
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        if self._keepalive_handle is None:
            self._keepalive_handle = self._loop.call_at(self._next_keepalive_close_time, self._process_keepalive)

    def force_close(self) -> None:
        """End the connection once what was written is sent."""
        if self._held is not None:
            self._waiter, self._held = self._held, None  # so that the task comes to its end
        super().force_close()
