"""Connections with patience that ends: aiohttp's server with a bound on the time that a request's head may take, and
with an end in which what has begun is still heard.
"""

import asyncio
from contextlib import suppress
from http import HTTPStatus
from typing import Any, cast

import structlog
from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader

log: structlog.stdlib.BoundLogger = structlog.get_logger()

HEAD_SECONDS = 10.0
"""How long the request line and headers may take, from their first byte or, for the first request, from connecting."""

IDLE_SECONDS = 75.0
"""How long a connection may stay open between requests; longer than proxies and clients keep theirs."""

LINGER_SECONDS = 2.0
"""How long what is left of a body is still taken in once a request is answered without it: closed at once, the
connection would be reset, and the answer could be lost on its way."""


class Connection(web.RequestHandler):
    """One client's connection; closed when a request's head does not arrive in time."""

    __slots__ = ("_head_seconds", "_head_timer", "busy")

    def __init__(self, *args: Any, head_seconds: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.busy = False
        self._head_seconds = head_seconds
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self.busy and self._head_timer is None:
            self._expect_head()

    def connection_lost(self, exc: BaseException | None) -> None:
        self.head_arrived()
        super().connection_lost(exc)

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """The answer to a request that failed, after which the connection is closed."""
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return super().handle_error(request, status, exc, message)
        # Nothing of what was sent: it was no HTTP, and may hold a token all the same.
        log.debug("malformed request", status=status, remote=request.remote)
        answer = web.Response(status=status, text="malformed request\n")
        answer.force_close()
        return answer

    def head_arrived(self) -> None:
        """Stop the time: the head is complete, or never will be."""
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _expect_head(self) -> None:
        self._head_timer = self._loop.call_later(self._head_seconds, self.force_close)


class PatientServer(web.Server):
    """Serves the requests of an application, each connection a `Connection`."""

    def __init__(self, application: web.Server, *, head_seconds: float = HEAD_SECONDS, **options: Any) -> None:
        """``application``: the server of an `AppRunner` that was set up."""
        super().__init__(self._serve, request_factory=self._begin, **options)
        self._application = application
        self._options = options | {"head_seconds": head_seconds}
        self._finished: asyncio.Event | None = None

    def __call__(self) -> Connection:
        return Connection(self, loop=asyncio.get_running_loop(), **self._options)

    async def finish(self, seconds: float) -> None:
        """Hear no new requests, and return once those that have begun are answered, or that much later.

        aiohttp's own shutdown would drop what still arrives of a request's body.
        """
        self._finished = asyncio.Event()
        for connection in self._clients:
            if not connection.busy:
                connection.close()
        await asyncio.sleep(0)  # A request that has come whole in this very turn begins now.
        self._note_end()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._finished.wait()

    @property
    def _clients(self) -> list[Connection]:
        return cast("list[Connection]", self.connections)

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        cast("Connection", handler).busy = False
        super().connection_lost(handler, exc)
        self._note_end()

    def _begin(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: web.RequestHandler,
        writer: AbstractStreamWriter,
        task: "asyncio.Task[None]",
    ) -> web.BaseRequest:
        connection = cast("Connection", protocol)
        connection.busy = True
        connection.head_arrived()
        return self._application.request_factory(message, payload, protocol, writer, task)

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            answer = await self._application.request_handler(request)
            if self._finished is not None:
                answer.force_close()
            return answer
        finally:
            cast("Connection", request.protocol).busy = False
            self._note_end()

    def _note_end(self) -> None:
        if self._finished is not None and not any(connection.busy for connection in self._clients):
            self._finished.set()
