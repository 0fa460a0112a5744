"""aiohttp's server for connections whose patience ends, and with an end of its own in which what has begun is still
heard.
"""

import asyncio
from contextlib import suppress
from typing import Any, cast

from aiohttp import HttpVersion10, HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader

from exporter.web.connections import ANSWER_SECONDS, HEAD_SECONDS, Connection, Watcher
from exporter.web.shortcut import Shortcut

UNSENT_AT_MOST = 128 << 20
"""Bytes of all answers together that may wait to be taken in. Two that are larger by themselves are sent all the same:
there are often two who scrape."""

_TURNS = 10
"""Turns of the event loop that it takes a new connection to read what it was sent and to begin to handle it, and some
more."""


class PatientServer(web.Server):
    """Serves the requests of an application, each connection a `Connection`."""

    def __init__(
        self,
        application: web.Server,
        *,
        head_seconds: float = HEAD_SECONDS,
        answer_seconds: float = ANSWER_SECONDS,
        shortcut: Shortcut | None = None,
        **options: Any,
    ) -> None:
        """``application``: the server of an `AppRunner` that was set up."""
        super().__init__(self._serve, request_factory=self._begin, **options)
        self._application = application
        self._options = options | {
            "head_seconds": head_seconds,
            "answer_seconds": answer_seconds,
            "shortcut": shortcut,
        }
        self._finished: asyncio.Event | None = None

    def connect(self, watcher: Watcher) -> Connection:
        """A connection that is still to be made."""
        return Connection(self, loop=asyncio.get_running_loop(), watcher=watcher, **self._options)

    def make_room(self, size: int, whose: Connection) -> None:
        """Cut off others who take their answers in most slowly, if all that is unsent would be too much with this."""
        unsent = {connection: connection.unsent for connection in self._clients if connection is not whose}
        excess = sum(unsent.values()) + size - max(UNSENT_AT_MOST, 2 * size)
        for connection in sorted(unsent, key=lambda slow: slow.answering_since):
            if excess <= 0:
                return
            if unsent[connection]:
                connection.drop()
                excess -= unsent[connection]

    @property
    def finishing(self) -> bool:
        """Whether no new requests are heard."""
        return self._finished is not None

    async def finish(self, seconds: float) -> None:
        """Hear no new requests, and return once those that have begun are answered, or that much later.

        What has come whole has begun, also if it was not read yet. aiohttp's own shutdown would drop what still arrives
        of a request's body.
        """
        self._finished = asyncio.Event()
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        for connection in self._clients:
            if connection.begun:
                continue
            if connection.answering:
                connection.close()
            else:
                connection.force_close()
        self.note_end()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._finished.wait()

    @property
    def _clients(self) -> list[Connection]:
        return cast("list[Connection]", self.connections)

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        cast("Connection", handler).busy = False
        super().connection_lost(handler, exc)
        self.note_end()

    def _begin(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: web.RequestHandler,
        writer: AbstractStreamWriter,
        task: "asyncio.Task[None]",
    ) -> web.BaseRequest:
        connection = cast("Connection", protocol)
        connection.work(payload)
        connection.spoken = message.version in (HttpVersion10, HttpVersion11)
        if not connection.spoken:
            message = message._replace(version=HttpVersion11)  # in which it is answered
        return self._application.request_factory(message, payload, protocol, writer, task)

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = cast("Connection", request.protocol)
        try:
            if not connection.spoken:
                return connection.refuse(request)
            answer = await self._application.request_handler(request)
            if connection.last:
                answer.force_close()
            return answer
        finally:
            connection.rest()
            self.note_end()

    def note_end(self) -> None:
        """A request or a connection has ended; the last one ends the wait in `finish`."""
        if self._finished is not None and not any(connection.begun for connection in self._clients):
            self._finished.set()
