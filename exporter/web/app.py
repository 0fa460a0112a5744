"""The HTTP surface, put together: endpoints, the addresses they are served on, and the end of serving."""

from aiohttp import web

from exporter.flags import ListenAddress
from exporter.metrics.telemetry import Telemetry
from exporter.web.connections import IDLE_SECONDS, LINGER_SECONDS
from exporter.web.listener import Listener, open_sockets
from exporter.web.patience import PatientServer
from exporter.web.security import Security
from exporter.web.serving import Account, Endpoint, Prompts, add_endpoints

FINISH_SECONDS = 5.0
"""How long requests that have begun may still take, their bodies included, once we are told to stop."""
CLOSE_SECONDS = 1.5
"""How long aiohttp then waits for each of two things: what still runs, and its end after it was cancelled. All of it
together stays below the ten seconds that we promise."""


class Service:
    """Endpoints that are served on some addresses."""

    def __init__(self, runner: web.AppRunner, server: PatientServer, security: Security) -> None:
        self._runner = runner
        self._server = server
        self._security = security
        self.listeners: list[Listener] = []
        """Where it is served: a listener for each socket that its addresses mean."""

    @classmethod
    async def make(cls, telemetry: Telemetry, security: Security, endpoints: list[Endpoint]) -> "Service":
        """Endpoints that are not yet served anywhere."""
        app = web.Application()
        account = Account(telemetry)
        add_endpoints(app, account, security, endpoints)
        runner = web.AppRunner(app)
        await runner.setup()
        assert runner.server is not None  # It was set up.
        server = PatientServer(
            runner.server,
            access_log=None,  # It would show paths, and with them tokens; see exporter.web.serving.
            auto_decompress=False,  # A ping's body is kept byte for byte; a broken encoding is no reason to lose it.
            keepalive_timeout=IDLE_SECONDS,
            lingering_time=LINGER_SECONDS,
            shortcut=Prompts(account, security, endpoints),
        )
        return cls(runner, server, security)

    def bind(self, address: ListenAddress) -> None:
        """Be served on this address, too, once its listeners are started. Raises OSError or UnicodeError."""
        self.listeners += (Listener(opened, self._server, self._security) for opened in open_sockets(address))

    async def stop(self) -> None:
        """Accept nothing more, let what has begun come to its end, and close."""
        for listener in self.listeners:
            listener.stop()
        await self._server.finish(FINISH_SECONDS)
        for listener in self.listeners:
            listener.close()
        await self._server.shutdown(CLOSE_SECONDS)
        await self._runner.cleanup()
