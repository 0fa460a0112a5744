"""Pings that are sent whole on plain sockets, whoever reads them or does not."""

import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from load import KEY
from victim import Victim

PING = f"POST /ping/{KEY}/hourly HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n\r\nbody".encode()
"""A whole request."""


@contextmanager
def connected(victim: Victim, number: int) -> Iterator[Sequence[socket.socket]]:
    """So many connections to it."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(socket.create_connection(("127.0.0.1", victim.port), timeout=15)) for _ in range(number)
        ]


def answers(connections: Sequence[socket.socket]) -> list[bytes]:
    """The first line that comes on each; empty where it was closed without one."""
    lines = []
    for connection in connections:
        try:
            lines.append(connection.recv(1000).partition(b"\r\n")[0])
        except ConnectionResetError:
            lines.append(b"")
    return lines
