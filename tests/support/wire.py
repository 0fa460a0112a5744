"""HTTP as bytes: requests that no client library would send, and answers read by the letter of RFC 9112."""

import re
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass

_STATUS = re.compile(rb"HTTP/[0-2]\.[0-9] ([1-5][0-9]{2}) [\t\x20-\x7e]*")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ?([\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?)?")

QUIET_SECONDS = 0.15
"""After so much silence a client takes it that nothing more comes, and hangs up."""
CLOSE_SECONDS = 8.0
"""How soon a server has to hang up once its client has."""


@dataclass(frozen=True)
class WireAnswer:
    """An answer as it stood on the wire."""

    status: int
    headers: dict[str, str]
    body: bytes
    raw: bytes


def exchange(address: tuple[str, int], sent: bytes, *, whole: bool = False) -> bytes:
    """All that a server says to these bytes, after which the client hangs up; fails when the server does not, too.

    ``whole``: the bytes ask it to hang up in the end, so that it is waited for, however slow the machine is.
    """
    with socket.create_connection(address, timeout=CLOSE_SECONDS) as connection:
        heard = bytearray()
        try:
            connection.settimeout(CLOSE_SECONDS)
            connection.sendall(sent)
            connection.settimeout(CLOSE_SECONDS if whole else QUIET_SECONDS)
            if _read(connection, heard):
                return bytes(heard)
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(CLOSE_SECONDS)
            assert _read(connection, heard), f"the connection is still open after {CLOSE_SECONDS} s"
        except (ConnectionResetError, BrokenPipeError):
            pass  # It refuses to read what is still to come, as it may once it has answered.
        return bytes(heard)


def _read(connection: socket.socket, heard: bytearray) -> bool:
    """Whether the other end has hung up; if not, it has been silent for as long as the socket waits."""
    began = time.monotonic()
    try:
        while piece := connection.recv(1 << 16):
            heard += piece
            assert time.monotonic() - began < 60, "it goes on and on"
    except TimeoutError:
        return False
    return True


def answers(heard: bytes) -> Iterator[WireAnswer]:
    """The answers in what a server said; fails where it is no HTTP. Answers to HEAD, which have no bodies, may be
    among them, as no body of ours begins as an answer does.
    """
    rest = heard
    while rest:
        head, end, rest = rest.partition(b"\r\n\r\n")
        assert end, f"an answer's head does not end: {head!r}"
        line, *lines = head.split(b"\r\n")
        status = _STATUS.fullmatch(line)
        assert status, f"no status line: {line!r}"
        headers: dict[str, str] = {}
        for each in lines:
            header = _HEADER.fullmatch(each)
            assert header, f"no header: {each!r}"
            name = header[1].decode().lower()
            assert name not in headers, f"{name} stands there twice"
            headers[name] = (header[2] or b"").decode()
        code = int(status[1])
        if code < 200 or code in (204, 304):
            assert headers.get("content-length", "0") == "0"
            assert "transfer-encoding" not in headers
            yield WireAnswer(code, headers, b"", head)
            continue
        assert "transfer-encoding" not in headers, "all that we say is of a known length"
        length = int(headers.get("content-length", "0"))  # none on an answer to HEAD that would be empty
        body = b"" if rest.startswith(b"HTTP/") or not rest else rest[:length]
        assert len(body) in (0, length), "a body ends too early"
        rest = rest[len(body) :]
        yield WireAnswer(code, headers, body, head + end + body)


def host_and_port(address: str) -> tuple[str, int]:
    """Where to connect to."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)
