"""Connections whose patience ends: with bounds on the time and the size of a request's head, and on the time in which
its answer must be taken in.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, Protocol, cast

import structlog
from aiohttp import ClientConnectionResetError, hdrs, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.streams import StreamReader

from exporter.web.shortcut import TwoWays

log: structlog.stdlib.BoundLogger = structlog.get_logger()

HEAD_SECONDS = 10.0
"""How long the request line and headers may take, from their first byte or, for the first request, from connecting."""

HEAD_BYTES = 64 * 1024
"""How much the request line and headers may hold together. Each line may hold 8,190 bytes, as aiohttp has it."""

ANSWER_SECONDS = 60.0
"""How long a client may take to take an answer in."""

_LARGE = 64 * 1024
"""Bytes of an answer that is more than the system's own buffers take off our hands at once."""

IDLE_SECONDS = 75.0
"""How long a connection may stay open between requests; longer than proxies and clients keep theirs."""

LINGER_SECONDS = 2.0
"""How long what is left of a body is still taken in once a request is answered without it: closed at once, the
connection would be reset, and the answer could be lost on its way."""

SERVER = "heartbeat-exporter"
"""What every answer says that it comes from, in the place of the names and versions of what serves it."""


class Watcher(Protocol):
    """Who is told what a connection does."""

    @property
    def crowded(self) -> bool:
        """Whether others may be waiting for room."""

    def admits(self, connection: "Connection") -> bool:
        """Whether a connection that is made, its handshake included, may be served."""

    def waiting(self, connection: "Connection") -> None:
        """It waits: for a request, for the rest of one, or for its answer to be taken in."""

    def working(self, connection: "Connection") -> None:
        """A request has come on it, as far as it is needed, and is being handled."""

    def gone(self, connection: "Connection") -> None:
        """It was made, and has ended."""


class Host(Protocol):
    """What has the requests of connections served."""

    @property
    def finishing(self) -> bool:
        """Whether no new requests are heard."""

    def make_room(self, size: int, whose: "Connection") -> None:
        """See that there is room for an answer of this size, which is about to be sent."""

    def note_end(self) -> None:
        """A request has been answered."""


class Connection(TwoWays):
    """One client's connection; ended when a request's head does not arrive in time, or its answer is not taken."""

    __slots__ = (
        "_answer_seconds",
        "_answer_timer",
        "_content",
        "_head_bytes",
        "_head_seconds",
        "_head_timer",
        "_sending",
        "_watcher",
        "answering_since",
        "busy",
        "peer",
        "spoken",
    )

    def __init__(
        self,
        *args: Any,
        watcher: Watcher,
        head_seconds: float,
        answer_seconds: float,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.peer = ""
        """The address of the other side; empty for a Unix socket."""
        self.spoken = True
        """Whether the request that came last is in a version of HTTP that is spoken here."""
        self.busy = False
        """Whether a request is being handled. Its answer may still be on its way when it no longer is."""
        self._watcher = watcher
        self._head_seconds = head_seconds
        self._head_timer: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._answer_seconds = answer_seconds
        self._answer_timer: asyncio.TimerHandle | None = None
        self._content: StreamReader | None = None
        self._sending: tuple[int, AbstractStreamWriter] | None = None
        """How large the answer is that is being sent, and what counts its bytes."""
        # Read no further than two requests ahead: each may be large, and clients seldom send the next so soon.
        self._max_msg_queue_size, self._msg_queue_resume_size = 2, 0
        self.answering_since = 0.0
        """When it began to send the last answer that was not taken in at once, by the loop's clock."""

    @property
    def begun(self) -> bool:
        """Whether a request has come whole, or is being handled."""
        return self.busy or self.pipelined

    @property
    def pipelined(self) -> bool:
        """Whether a request has come whole that is not being handled yet."""
        return self.transport is not None and bool(self._messages)

    @property
    def answering(self) -> bool:
        """Whether a request is being handled, or its answer being written."""
        return self._request_in_progress

    @property
    def peer_certificate(self) -> Any:
        """The client's verified certificate as `ssl.SSLSocket.getpeercert` gives it; None where there is none."""
        encryption = self.transport and self.transport.get_extra_info("ssl_object")
        return encryption and (encryption.getpeercert() or None)

    @property
    def encrypted(self) -> bool:
        """Whether it is TLS."""
        return self.transport is not None and self.transport.get_extra_info("ssl_object") is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        name = transport.get_extra_info("peername")
        self.peer = str(name[0]) if isinstance(name, tuple) else ""
        if self._watcher.admits(self):
            self._expect_head()
        else:
            self.drop()

    async def start(self) -> None:
        """Handle the requests that come, one after another, until the connection is to end."""
        try:
            await super().start()
        finally:
            if self._buffer_paused:
                self._resume_reading_for_buffer()  # While it is paused, asyncio's TLS comes to no end.

    def data_received(self, data: bytes) -> None:
        requests = self._request_count
        super().data_received(data)
        if self._request_count != requests or not data or self.begun or not self._content_is_whole():
            return
        if self._head_timer is None:
            self._expect_head()
        self._head_bytes += len(data)
        if self._head_bytes > HEAD_BYTES:
            self.drop()

    def eof_received(self) -> bool | None:  # type: ignore[override] # asyncio's own type, which aiohttp narrows
        """The client sends nothing more. It may still listen for the answers to what it has sent whole."""
        if self.encrypted or not self.begun or not self._content_is_whole():
            return None
        self.close()
        return True

    def connection_lost(self, exc: BaseException | None) -> None:
        self.head_arrived()
        self._forget_answer()
        super().connection_lost(exc)
        self._watcher.gone(self)

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """The answer to a request that failed, after which the connection is closed."""
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return super().handle_error(request, status, exc, message)
        return self.refuse(request, status)

    def refuse(self, request: web.BaseRequest, status: int = HTTPStatus.BAD_REQUEST) -> web.Response:
        """The answer to what is no HTTP of a version that is spoken here, after which the connection is closed."""
        # Nothing of what was sent: it may hold a token all the same.
        log.debug("malformed request", status=status, peer=request.remote)
        answer = web.Response(status=status, text="malformed request\n", headers={hdrs.SERVER: SERVER})
        answer.force_close()
        return answer

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send an answer. It is cut off if it is not taken in for too long, before or after this returns."""
        if self.busy:
            self.rest()  # What was malformed has no handler that would say so.
        size = resp.content_length if isinstance(resp, web.Response) and request.method != hdrs.METH_HEAD else 0
        size = size or 0
        if self._manager is not None and size > _LARGE:
            cast("Host", self._manager).make_room(size, self)
        self._expect_taking(self._loop.time())
        self._sending = size, request.writer
        try:
            return await super().finish_response(request, resp, start_time)
        finally:
            self._sending = None
            if not self.unsent:
                self._forget_answer()

    async def _drain_helper(self) -> None:
        # The future that aiohttp waits with and the error that ends the wait hold each other, and with the error's
        # traceback all that was being sent. So the error that goes on from here is another one.
        gone = False
        try:
            await super()._drain_helper()
        except ConnectionError:
            gone = True
        if gone:  # not in the handler, or the other would be its context
            raise ClientConnectionResetError("the client has gone")

    def begin(self) -> None:
        """A request that is taken over is being handled from now on."""
        super().begin()
        self.busy = True
        if self._head_timer is not None:
            self.head_arrived()
        self._watcher.working(self)

    def answer(self, answer: bytes, *, last: bool) -> None:
        """Send the answer to the request that was taken over. It is cut off if it is not taken in for too long."""
        self.rest()
        super().answer(answer, last=last)
        if self.unsent:
            self._expect_taking(self._loop.time())
        if self._manager is not None:
            cast("Host", self._manager).note_end()

    @property
    def last(self) -> bool:
        """Whether the connection is to end with an answer that is given now."""
        if self._watcher.crowded:
            return True
        return self._manager is not None and cast("Host", self._manager).finishing and not self.pipelined

    def work(self, content: StreamReader) -> None:
        """A request's head is complete, and the request is being handled from now on; ``content``: its body."""
        self.busy = True
        self._content = content
        self.head_arrived()
        self._watcher.working(self)

    def rest(self) -> None:
        """The request is handled."""
        self.busy = False
        self._watcher.waiting(self)

    @contextmanager
    def awaiting_body(self) -> Iterator[None]:
        """While what is left of the request is awaited, it can be given up for another connection."""
        self._watcher.waiting(self)
        yield
        self._watcher.working(self)

    def head_arrived(self) -> None:
        """Stop the time: the head is complete, or never will be."""
        self._head_bytes = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def drop(self) -> None:
        """End it at once, whatever is still on its way."""
        if self.transport is not None:
            self.transport.abort()  # First: asyncio's TLS aborts nothing once it was closed twice.
        self.force_close()

    @property
    def unsent(self) -> int:
        """Bytes of answers that the client has not taken in, those included that are still to be handed on."""
        transport = self.transport
        if transport is None:
            return 0
        size, writer = self._sending or (0, None)
        to_come = 0 if writer is None else max(0, size - writer.output_size)
        return transport.get_write_buffer_size() + to_come

    def _expect_head(self) -> None:
        self._head_timer = self._loop.call_later(self._head_seconds, self.drop)

    def _content_is_whole(self) -> bool:
        """Whether what comes next is no body of a request that is handled, or was."""
        return self._content is None or self._content.is_eof()

    def _expect_taking(self, now: float) -> None:
        self.answering_since = now
        if self._answer_timer is None:
            self._answer_timer = self._loop.call_at(now + self._answer_seconds, self._drop_unless_taken)

    def _drop_unless_taken(self) -> None:
        self._answer_timer = None
        if not self.unsent:
            return
        ends = self.answering_since + self._answer_seconds
        if self._loop.time() < ends:  # for an answer that followed
            self._answer_timer = self._loop.call_at(ends, self._drop_unless_taken)
        else:
            self.drop()

    def _forget_answer(self) -> None:
        if self._answer_timer is not None:
            self._answer_timer.cancel()
            self._answer_timer = None
