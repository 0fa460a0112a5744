"""Answers that are made once and given often."""

from dataclasses import dataclass
from http import HTTPStatus

from aiohttp import hdrs, web
from aiohttp.helpers import rfc822_formatted_time

from exporter.web.connections import SERVER
from exporter.web.security import Security


@dataclass(frozen=True, slots=True, eq=False)
class Reply:
    """What is answered, whichever way it goes."""

    status: int
    text: str | None
    """None: there is no body, and with this status there can be none."""
    headers: tuple[tuple[str, str], ...]
    """Those that are this answer's own, in their order."""
    closes: bool = False
    """Whether the connection ends with it."""

    def response(self) -> web.Response:
        """It as an answer of aiohttp's."""
        answer = web.Response(status=self.status, text=self.text, headers=self.headers)
        if self.closes:
            answer.force_close()
        return answer


class Answers:
    """Replies as bytes, which are what aiohttp would send for them."""

    def __init__(self, security: Security) -> None:
        self._security = security
        self._date = ""
        self._added: tuple[tuple[str, str], ...] = ()
        self._known: dict[tuple[Reply, bool, bool], bytes] = {}
        """Those that were given in this second."""

    def encode(self, reply: Reply, *, head: bool, last: bool) -> bytes:
        """A reply to a request in HTTP/1.1; ``head``: without its body; ``last``: the connection ends with it."""
        date, added = rfc822_formatted_time(), self._security.headers_seen
        if date is not self._date or added is not self._added:
            self._known.clear()
            self._date, self._added = date, added
        known = self._known.get((reply, head, last))
        if known is None:
            known = self._known[reply, head, last] = _encode(reply, date, added, head=head, last=last)
        return known


def _encode(reply: Reply, date: str, added: tuple[tuple[str, str], ...], *, head: bool, last: bool) -> bytes:
    body = (reply.text or "").encode()
    headers = [*reply.headers, (hdrs.CONTENT_LENGTH, str(len(body))), (hdrs.DATE, date), (hdrs.SERVER, SERVER)]
    if last:
        headers.append((hdrs.CONNECTION, "close"))
    lines = [f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}"]
    lines += (f"{name}: {value}" for name, value in (*headers, *added))
    return "\r\n".join([*lines, "\r\n"]).encode() + (b"" if head else body)
