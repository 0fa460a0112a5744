"""Where connections come in: sockets, TLS, and how many connections there may be at once."""

import asyncio
import errno
import os
import resource
import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import structlog

from exporter.flags import ListenAddress, TcpAddress, UnixAddress
from exporter.web.connections import Connection
from exporter.web.patience import PatientServer
from exporter.web.security import Security

BACKLOG = 1024
"""Connections that may wait to be accepted, as far as the system's own bound (net.core.somaxconn) allows."""

CONNECTIONS_AT_MOST = 1024
"""Connections that one listening socket may have at once, if so many files may be open."""

HANDSHAKE_SECONDS = 10.0
"""How long the handshake of TLS may take: as long as a request's head."""

_FAREWELL_SECONDS = 2.0
"""How long the other side's end of TLS is waited for."""

_RESERVED_FILES = 128
"""Files that are open, or may be, beside connections: the store's, the configuration's, the process's own."""

PATIENCE_SECONDS = 0.5
"""How long a connection may wait before it is given up for another: whoever sends a request at once is always heard."""

_PAUSE_SECONDS = 0.01
"""How soon accepting is tried again when the system had no room for one more."""

_SILENT_SECONDS = 60.0
"""How soon that is logged again."""

_ACCEPTED_AT_ONCE = 128
"""Connections taken before others get their turn."""

_NO_FAMILY = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL})
"""What a machine without IPv6 says."""

_NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

log: structlog.stdlib.BoundLogger = structlog.get_logger()


def raise_file_limit() -> None:
    """Let the process have as many files open as it may: the lower limit is there for programs of another age."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # as it was, then
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def connections_at_most(listeners: int) -> int:
    """How many connections each of so many listening sockets may have, so that files are left for all else."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return CONNECTIONS_AT_MOST
    return max(1, min(CONNECTIONS_AT_MOST, (files - _RESERVED_FILES) // listeners))


def open_sockets(address: ListenAddress) -> list[socket.socket]:
    """Sockets that listen on an address: several where a host has several. Raises OSError or UnicodeError."""
    if isinstance(address, UnixAddress):
        return [_open_unix(address.path)]
    sockets: list[socket.socket] = []
    try:
        for family, place in _places(address):
            # As everywhere else in the ecosystem, [::] is every address of both families.
            both = address.host == "::" and socket.has_dualstack_ipv6()
            try:
                sockets.append(socket.create_server(place, family=family, backlog=BACKLOG, dualstack_ipv6=both))
            except OSError as error:
                if address.host is not None or error.errno not in _NO_FAMILY or not sockets:
                    raise
    except BaseException:
        for opened in sockets:
            opened.close()
        raise
    return sockets


def _places(address: TcpAddress) -> list[tuple[socket.AddressFamily, Any]]:
    """Each family and socket address that the host and port mean, IPv4 first."""
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return sorted({(family, place) for family, _, _, _, place in found})


def _open_unix(path: Path) -> socket.socket:
    if path.exists() and not path.is_socket():
        raise FileExistsError(errno.EEXIST, "there is a file that is no socket")
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            if probe.connect_ex(str(path)) == errno.ECONNREFUSED:
                path.unlink(missing_ok=True)  # Nobody listens there any more: a process that was killed has left it.
        listening.bind(str(path))
        listening.listen(BACKLOG)
    except BaseException:
        listening.close()
        raise
    return listening


def _address_of(listening: socket.socket) -> ListenAddress:
    """Where it listens, with the port that the system chose where it was asked to."""
    name = listening.getsockname()
    return UnixAddress(Path(name)) if listening.family == socket.AF_UNIX else TcpAddress(*name[:2])


class Listener:
    """Takes in the connections of one listening socket, as many as may be at once.

    Where there is no room for one more, the connection that has waited longest is dropped for it, once that is longer
    than PATIENCE_SECONDS: one that is idle, or whose client is slow to send a request or to take in an answer. So
    whoever merely holds connections keeps nobody out. Until then new ones wait their turn in the system's queue.
    """

    def __init__(self, listening: socket.socket, server: PatientServer, security: Security) -> None:
        """Takes over the socket, and takes nothing in before it is started."""
        listening.setblocking(False)
        self._listening = listening
        self.address = _address_of(listening)
        self._made = self.address.path.stat() if isinstance(self.address, UnixAddress) else None
        self._server = server
        self._security = security
        self._at_most = 0
        self._loop = asyncio.get_running_loop()
        self._accepting = False
        self._pause: asyncio.TimerHandle | None = None
        self._silent_until = 0.0
        self._heard_until = float("-inf")
        """All that was sent by those that began to wait before this has been read, if it had come."""
        self._handshakes: dict[Connection, asyncio.Task[None]] = {}
        self._working: set[Connection] = set()
        self._waiting: dict[Connection, float] = {}
        """Since when each waits, by the loop's clock; those that have waited longest come first."""

    def start(self, at_most: int) -> None:
        """Begin to accept; there may be so many connections at once."""
        self._at_most = at_most
        self._resume()

    def stop(self) -> None:
        """Accept nothing more, but what has connected by now: it may have sent a whole request already."""
        self._halt()
        if self._pause is not None:
            self._pause.cancel()
        if self._at_most:
            self._accept_the_rest()
        if isinstance(self.address, UnixAddress):
            self._remove(self.address.path)
        self._listening.close()

    def _accept_the_rest(self) -> None:
        while True:
            try:
                self._greet(*self._listening.accept())
            except ConnectionAbortedError:
                continue  # The client is gone already.
            except OSError:
                return  # There are no more, or there is no room.

    def _remove(self, path: Path) -> None:
        """Remove our Unix socket, and nothing that somebody has put in its place."""
        with suppress(OSError):
            if self._made is not None and os.path.samestat(self._made, path.stat()):
                path.unlink()

    def close(self) -> None:
        """Give up the handshakes that are still under way."""
        for handshake in self._handshakes.values():
            handshake.cancel()

    def _resume(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        if not self._accepting and self._listening.fileno() >= 0:
            self._accepting = True
            self._loop.add_reader(self._listening, self._accept)

    def _halt(self, seconds: float | None = None) -> None:
        """Accept nothing more until a connection ends or begins to wait, or for so long."""
        if self._accepting:
            self._accepting = False
            self._loop.remove_reader(self._listening)
            if seconds is not None:
                self._pause = self._loop.call_later(seconds, self._resume)

    def _accept(self) -> None:
        for _ in range(_ACCEPTED_AT_ONCE):
            full = len(self._waiting) + len(self._working) >= self._at_most
            longest = self._longest_waiting() if full else None
            if full and not self._may_give_up(longest):
                return
            try:
                accepted, peer = self._listening.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _NO_ROOM:
                    self._relent(error)
                    return
                continue  # The client is gone already.
            if longest is not None:
                self._drop(longest)
            self._greet(accepted, peer)

    def _longest_waiting(self) -> Connection | None:
        return next(self._given_up_first(), None)

    def _given_up_first(self) -> Iterator[Connection]:
        """Those that wait, but for those whose request has just come and is about to be handled."""
        return (connection for connection in self._waiting if connection.answering or not connection.begun)

    def _may_give_up(self, longest: Connection | None) -> bool:
        """Whether it has waited long enough. If not, nothing is accepted until it has, or until there is room."""
        if longest is None:
            self._halt()
            return False
        now = self._loop.time()
        left = self._waiting[longest] + PATIENCE_SECONDS - now
        if left <= 0 and self._waiting[longest] > self._heard_until:
            # It may be us who were slow: what these have sent by now is read first.
            self._heard_until = now - PATIENCE_SECONDS
            self._halt(0)
            return False
        if left > 0:
            self._halt(left)
        return left <= 0

    def _relent(self, error: OSError) -> None:
        """The system has no room for one more: give up half of what only waits, and try again a little later."""
        now = self._loop.time()
        if now >= self._silent_until:
            self._silent_until = now + _SILENT_SECONDS
            log.warning("connections wait: the system has no room for more", reason=error.strerror)
        self._halt(_PAUSE_SECONDS)
        for connection in list(islice(self._given_up_first(), (len(self._waiting) + 1) // 2)):
            self._drop(connection)

    def _drop(self, connection: Connection) -> None:
        del self._waiting[connection]
        if connection in self._handshakes:
            self._handshakes[connection].cancel()
        connection.drop()

    def _greet(self, accepted: socket.socket, peer: Any) -> None:
        accepted.setblocking(False)
        if accepted.family != socket.AF_UNIX:
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        connection = self._server.connect(self)
        self._waiting[connection] = self._loop.time()
        handshake = self._loop.create_task(self._shake_hands(connection, accepted, peer))
        self._handshakes[connection] = handshake
        handshake.add_done_callback(partial(self._greeted, connection, accepted))

    async def _shake_hands(self, connection: Connection, accepted: socket.socket, peer: Any) -> None:
        context = self._security.tls()
        try:
            if context is None:
                await self._loop.connect_accepted_socket(lambda: connection, accepted)
            else:
                await self._loop.connect_accepted_socket(
                    lambda: connection,
                    accepted,
                    ssl=context,
                    ssl_handshake_timeout=HANDSHAKE_SECONDS,
                    ssl_shutdown_timeout=_FAREWELL_SECONDS,
                )
        except (OSError, ssl.SSLError) as error:
            log.debug("handshake failed", reason=str(error), peer=str(peer[0] if peer else ""))

    def _greeted(self, connection: Connection, accepted: socket.socket, handshake: "asyncio.Task[None]") -> None:
        del self._handshakes[connection]
        if connection.transport is None:  # It was not made, or has ended meanwhile.
            self.gone(connection)
        if handshake.cancelled():
            accepted.close()
        else:
            handshake.result()  # Anything but a failed handshake is a bug, and must not go unnoticed.

    # What connections tell.

    @property
    def crowded(self) -> bool:
        return not self._accepting and self._listening.fileno() >= 0

    def admits(self, connection: Connection) -> bool:
        if self._waiting.pop(connection, None) is not None:
            self._waiting[connection] = self._loop.time()  # from now on it can send a request
        if not connection.encrypted or self._security.admits(connection.peer_certificate):
            return True
        log.debug("connection refused: the client's certificate has no name that is allowed", peer=connection.peer)
        return False

    def waiting(self, connection: Connection) -> None:
        if connection in self._working:
            self._working.discard(connection)
            self._waiting[connection] = self._loop.time()
            self._resume()

    def working(self, connection: Connection) -> None:
        if connection in self._waiting:
            del self._waiting[connection]
            self._working.add(connection)

    def gone(self, connection: Connection) -> None:
        self._waiting.pop(connection, None)
        self._working.discard(connection)
        self._resume()
