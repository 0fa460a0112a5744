"""Connections over real sockets, to a server with short times."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from running import until

from exporter.flags import TcpAddress
from exporter.web.listener import Listener, open_sockets
from exporter.web.patience import PatientServer
from exporter.web.security import Security
from exporter.web.shortcut import Shortcut

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def read_all(request: web.Request) -> web.StreamResponse:
    return web.Response(text=f"{len(await request.read())} bytes")


@asynccontextmanager
async def served(
    handler: Handler,
    head_seconds: float = 0.2,
    idle: float = 30,
    answer_seconds: float = 10,
    at_most: int = 10,
    shortcut: Shortcut | None = None,
) -> AsyncIterator[tuple[PatientServer, Listener]]:
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    assert runner.server is not None
    server = PatientServer(
        runner.server,
        head_seconds=head_seconds,
        answer_seconds=answer_seconds,
        keepalive_timeout=idle,
        shortcut=shortcut,
        access_log=None,
    )
    (listening,) = open_sockets(TcpAddress("127.0.0.1", 0))
    listener = Listener(listening, server, Security.open(None))
    listener.start(at_most)
    try:
        yield server, listener
    finally:
        listener.stop()
        listener.close()
        await server.shutdown(0.1)
        await runner.cleanup()


def place(listener: Listener) -> tuple[str, int]:
    assert isinstance(listener.address, TcpAddress)
    assert listener.address.host is not None
    return listener.address.host, listener.address.port


@asynccontextmanager
async def connection(listener: Listener) -> AsyncIterator[Streams]:
    reader, writer = await asyncio.open_connection(*place(listener))
    try:
        async with asyncio.timeout(10):
            yield reader, writer
    finally:
        writer.close()


async def answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
    )
    return head.split(b"\r\n")[0] + b" | " + await reader.readexactly(length)


def reset(writer: asyncio.StreamWriter) -> None:
    """Leave without a word, as a client does that is killed."""
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


async def ended(server: PatientServer) -> None:
    async def has_none() -> bool:
        return not server.connections

    await until(has_none)
