"""/metrics: the page in the form that the scraper asks for."""

from collections.abc import Callable

from aiohttp import hdrs, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload

from exporter.metrics.negotiation import accepts_gzip, choose_format
from exporter.metrics.page import Page, Sheet
from exporter.monitor import Monitor
from exporter.schedule import Moment
from exporter.store import StoreError
from exporter.web.serving import Endpoint

_AT_ONCE = 128 * 1024
"""Bytes of a page that are handed on together, at the most."""


class Scrape:
    """Serves the page of metrics, each time for the moment of the scrape."""

    def __init__(self, monitor: Monitor, page: Page, clock: Callable[[], Moment]) -> None:
        self._monitor = monitor
        self._page = page
        self._clock = clock

    def endpoints(self, path: str) -> list[Endpoint]:
        """The page, at the given path."""
        return [Endpoint(path, "metrics", self._answer)]

    async def _answer(self, request: web.Request) -> web.Response:
        form = choose_format(_header(request, hdrs.ACCEPT))
        zipped = accepts_gzip(_header(request, hdrs.ACCEPT_ENCODING))
        names = frozenset(request.query.getall("name[]", ()))
        try:
            survey = await self._monitor.survey(self._clock())
        except StoreError:
            survey = None  # What we no longer know we do not claim; heartbeat_exporter_store_up says so.
        answer = in_parts(await self._page.render(survey, form, names, zipped=zipped))
        answer.headers[hdrs.CONTENT_TYPE] = form.content_type
        answer.headers[hdrs.VARY] = "Accept, Accept-Encoding"
        if zipped:
            answer.headers[hdrs.CONTENT_ENCODING] = "gzip"
        return answer


def in_parts(sheet: Sheet) -> web.Response:
    """A page as an answer."""
    answer = web.Response(body=_Body(sheet))
    answer.headers[hdrs.CONTENT_LENGTH] = str(sheet.size)  # from which it is known how much is still to come
    return answer


class _Body(Payload):
    """A page, handed on as fast as it is taken in: no second copy of it is made."""

    def __init__(self, sheet: Sheet) -> None:
        super().__init__(sheet, content_type="")
        self._size = sheet.size
        self._pieces = sheet.pieces

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return b"".join(self._pieces).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        gathered: list[bytes] = []
        size = 0
        for piece in self._pieces:
            for start in range(0, len(piece), _AT_ONCE):
                part = piece[start : start + _AT_ONCE]
                if size + len(part) > _AT_ONCE:
                    await writer.write(b"".join(gathered))
                    gathered, size = [], 0
                gathered.append(part)
                size += len(part)
        await writer.write(b"".join(gathered))


def _header(request: web.Request, name: str) -> str | None:
    """The values of a header, which may be given several times, as if it had been given once."""
    return ", ".join(request.headers.getall(name, ())) or None
