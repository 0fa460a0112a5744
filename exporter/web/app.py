"""The HTTP surface, put together: endpoints, the addresses they are served on, and the end of serving."""

import asyncio

from aiohttp import web

from exporter.flags import ListenAddress
from exporter.metrics.telemetry import Telemetry
from exporter.web.connections import IDLE_SECONDS, LINGER_SECONDS, PatientServer
from exporter.web.serving import Endpoint, add_endpoints

BACKLOG = 1024
FINISH_SECONDS = 5.0
"""How long requests that have begun may still take, their bodies included, once we are told to stop."""
CLOSE_SECONDS = 1.5
"""How long aiohttp then waits for each of two things: what still runs, and its end after it was cancelled. All of it
together stays below the ten seconds that we promise."""


class Service:
    """Endpoints that are served on some addresses."""

    def __init__(self, server: PatientServer, runner: web.ServerRunner) -> None:
        self._server = server
        self._runner = runner
        self._sites: list[web.TCPSite] = []

    @classmethod
    async def make(cls, telemetry: Telemetry, endpoints: list[Endpoint]) -> "Service":
        """Endpoints that are not yet served anywhere."""
        app = web.Application()
        add_endpoints(app, telemetry, endpoints)
        application = web.AppRunner(app)
        await application.setup()
        assert application.server is not None  # It was set up.
        server = PatientServer(
            application.server,
            access_log=None,  # It would show paths, and with them tokens; see exporter.web.serving.
            auto_decompress=False,  # A ping's body is kept byte for byte; a broken encoding is no reason to lose it.
            keepalive_timeout=IDLE_SECONDS,
            lingering_time=LINGER_SECONDS,
        )
        runner = web.ServerRunner(server, shutdown_timeout=CLOSE_SECONDS)
        await runner.setup()
        return cls(server, runner)

    async def listen(self, address: ListenAddress) -> None:
        """Serve on this address, too. Raises OSError."""
        site = web.TCPSite(self._runner, address.host, address.port, backlog=BACKLOG)
        await site.start()
        self._sites.append(site)

    @property
    def addresses(self) -> list[ListenAddress]:
        """Where it is served, with the ports that the system chose where it was asked to."""
        return [ListenAddress(*name[:2]) for name in self._runner.addresses]

    async def stop(self) -> None:
        """Accept nothing more, let what has begun come to its end, and close."""
        await asyncio.gather(*(site.stop() for site in self._sites))
        await self._server.finish(FINISH_SECONDS)
        await self._runner.cleanup()
