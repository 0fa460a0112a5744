"""The page at /: every heartbeat, what is wrong first."""

import asyncio
from collections.abc import Callable

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined

from exporter import __version__
from exporter.heartbeat import NEVER, Status, Survey
from exporter.monitor import Monitor
from exporter.schedule import Moment, to_datetime
from exporter.store import StoreError
from exporter.web.serving import Endpoint

_WORST_FIRST = {status: rank for rank, status in enumerate(Status)}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def format_moment(moment: Moment | None) -> str:
    """A moment for people, to the second, in UTC; a dash where there is none."""
    if moment is None:
        return "–"
    return "never" if moment == NEVER else f"{to_datetime(moment):%Y-%m-%d %H:%M:%S}Z"


class StatusPage:
    """Serves the list of heartbeats for people."""

    def __init__(
        self, monitor: Monitor, clock: Callable[[], Moment], *, telemetry_path: str, external_url: str
    ) -> None:
        """``external_url``: how jobs reach us, which is shown to people."""
        self._monitor = monitor
        self._clock = clock
        environment = Environment(
            loader=PackageLoader("exporter.web"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
        )
        environment.filters["moment"] = format_moment
        environment.globals |= {
            "telemetry_path": telemetry_path,
            "external_url": external_url,
            "version": __version__,
        }
        self._template = environment.get_template("status.html")

    def endpoints(self) -> list[Endpoint]:
        """The page."""
        return [Endpoint("/", "status", self._answer)]

    async def _answer(self, _: web.Request) -> web.Response:
        survey, trouble = None, None
        try:
            survey = await self._monitor.survey(self._clock())
        except StoreError as error:
            trouble = str(error)
        page = await asyncio.to_thread(self._render, survey, trouble)
        return web.Response(
            status=200 if survey else 503, text=page, content_type="text/html", charset="utf-8", headers=_HEADERS
        )

    def _render(self, survey: Survey | None, trouble: str | None) -> str:
        observations = survey.observations if survey else ()
        ordered = sorted(observations, key=lambda o: (_WORST_FIRST[o.assessment.status], o.heartbeat.name))
        return self._template.render(survey=survey, observations=ordered, trouble=trouble)
