"""/metrics: the page in the form that the scraper asks for."""

import asyncio
import gzip
from collections.abc import Callable

from aiohttp import hdrs, web

from exporter.heartbeat import Survey
from exporter.metrics.negotiation import Format, accepts_gzip, choose_format
from exporter.metrics.page import Page
from exporter.monitor import Monitor
from exporter.schedule import Moment
from exporter.store import StoreError
from exporter.web.serving import Endpoint

GZIP_LEVEL = 1
"""Pages of metrics repeat themselves so much that the cheapest level already takes nine tenths away."""


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
        body = await asyncio.to_thread(self._render, survey, form, names, zipped)
        answer = web.Response(body=body)
        answer.headers[hdrs.CONTENT_TYPE] = form.content_type
        answer.headers[hdrs.VARY] = "Accept, Accept-Encoding"
        if zipped:
            answer.headers[hdrs.CONTENT_ENCODING] = "gzip"
        return answer

    def _render(self, survey: Survey | None, form: Format, names: frozenset[str], zipped: bool) -> bytes:
        body = self._page.render(survey, form, names)
        return gzip.compress(body, GZIP_LEVEL) if zipped else body


def _header(request: web.Request, name: str) -> str | None:
    """The values of a header, which may be given several times, as if it had been given once."""
    return ", ".join(request.headers.getall(name, ())) or None
