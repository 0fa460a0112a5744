"""What keeps the exporter itself running: probes, and the reload of its configuration."""

from collections.abc import Awaitable, Callable

from aiohttp import hdrs, web

from exporter.monitor import Monitor
from exporter.web.serving import Endpoint, text


class ReloadError(Exception):
    """The configuration could not be taken over, and nothing has changed; the message has a line for each reason."""


class Operations:
    """Serves the probes and the reload."""

    def __init__(self, monitor: Monitor, reload: Callable[[], Awaitable[None]] | None) -> None:
        """``reload`` raises ReloadError; None: reloading over HTTP is not allowed."""
        self._monitor = monitor
        self._reload = reload

    def endpoints(self) -> list[Endpoint]:
        """The probes and the reload."""
        return [
            Endpoint("/-/healthy", "healthy", self._healthy, guarded=False),
            Endpoint("/-/ready", "ready", self._ready, guarded=False),
            Endpoint("/-/reload", "reload", self._take_reload, methods=frozenset({hdrs.METH_POST, hdrs.METH_PUT})),
        ]

    async def _healthy(self, _: web.Request) -> web.Response:
        return text(200, "healthy")

    async def _ready(self, _: web.Request) -> web.Response:
        if self._monitor.trouble is not None:
            return text(503, f"not ready: {self._monitor.trouble}")
        return text(200, "ready")

    async def _take_reload(self, _: web.Request) -> web.Response:
        if self._reload is None:
            return text(403, "reloading over HTTP is switched off (start with --web.enable-lifecycle)")
        try:
            await self._reload()
        except ReloadError as error:
            return text(500, str(error))
        return text(200, "reloaded")
