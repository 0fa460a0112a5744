"""The only place where things are put together: started, reloaded and stopped in order."""

import asyncio
import gc
import os
import platform
import signal
import stat
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import structlog

from exporter import __version__, garbage
from exporter.config import Config, ConfigError
from exporter.config.load import collector_at_rest
from exporter.config.result import exposure
from exporter.flags import ListenAddress, external_url, revision, secret_path
from exporter.heartbeat import BEAT_EVERY
from exporter.metrics.page import Page
from exporter.metrics.telemetry import Telemetry
from exporter.monitor import Monitor
from exporter.reading import read
from exporter.roster import AlikeTokensError, Roster, SecretError, ensure_secret, read_secret
from exporter.schedule import SECOND, Moment
from exporter.store import StoreError
from exporter.store.control import answering
from exporter.store.sqlite import SqliteStore
from exporter.turns import in_turns, share_with_threads
from exporter.web.app import Service
from exporter.web.listener import Listener, connections_at_most, raise_file_limit
from exporter.web.operations import Operations, ReloadError
from exporter.web.pings import Pings
from exporter.web.scrape import Scrape
from exporter.web.security import Security
from exporter.web.serving import Endpoint
from exporter.web.status import StatusPage

BEAT_SECONDS = BEAT_EVERY / SECOND
RETRY_SECONDS = 1.0
"""How soon a store that failed is tried again."""

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class StartError(Exception):
    """The exporter cannot start; the message has a line for each reason."""


def new_event_loop() -> asyncio.AbstractEventLoop:
    """The fastest event loop that is installed: uvloop's, else the one that comes with Python."""
    try:
        import uvloop  # noqa: PLC0415 - there may be none for this platform
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def wall_clock() -> Moment:
    """The time now."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line decides; a change needs a restart."""

    config_file: Path
    storage: Path
    secret_file: Path | None
    """None: the one beside the database, which is made if it is not there."""
    web_listen: tuple[ListenAddress, ...]
    ping_listen: tuple[ListenAddress, ...]
    telemetry_path: str
    web_config_file: Path | None
    """What asks for TLS and logins; None: neither."""
    external_url: str | None
    """How jobs and people reach us; None: on this machine, where pings are served."""
    enable_lifecycle: bool


class Exporter:
    """A running exporter; made and ended by `running`."""

    def __init__(
        self,
        settings: Settings,
        security: Security,
        clock: Callable[[], Moment],
        telemetry: Telemetry,
        monitor: Monitor,
        secret: bytes,
    ) -> None:
        self._settings = settings
        self._security = security
        self._clock = clock
        self._telemetry = telemetry
        self._monitor = monitor
        self._secret = secret
        self._services: list[Service] = []
        self._reloading = asyncio.Lock()

    @property
    def addresses(self) -> list[str]:
        """Where it listens, as host:port or unix:path."""
        return [str(listener.address) for listener in self._listeners]

    @property
    def heartbeats(self) -> int:
        """How many are watched."""
        return len(self._monitor.roster.config.heartbeats)

    @property
    def external_url(self) -> str:
        """How jobs and people reach it."""
        settings = self._settings
        return external_url(
            settings.external_url, settings.web_listen, settings.ping_listen, tls=self._security.tls() is not None
        )

    async def listen(self) -> None:
        """Begin to serve. Raises StartError or StoreError."""
        settings, monitor, clock = self._settings, self._monitor, self._clock
        pings = Pings(monitor, self._telemetry, clock).endpoints()
        status = StatusPage(monitor, clock, telemetry_path=settings.telemetry_path, external_url=self.external_url)
        rest = [
            *Scrape(monitor, Page(self._telemetry.registry), clock).endpoints(settings.telemetry_path),
            *Operations(monitor, self.reload if settings.enable_lifecycle else None).endpoints(),
            *status.endpoints(),
        ]
        if settings.ping_listen:
            await self._bind(settings.ping_listen, pings)
            await self._bind(settings.web_listen, rest)
        else:
            await self._bind(settings.web_listen, pings + rest)
        # The outage ends when pings are accepted again: now, as near as can be.
        await monitor.beat(clock(), restarted=True)
        at_most = connections_at_most(len(self._listeners))
        for listener in self._listeners:
            listener.start(at_most)

    async def _bind(self, addresses: Iterable[ListenAddress], endpoints: list[Endpoint]) -> None:
        service = await Service.make(self._telemetry, self._security, endpoints)
        self._services.append(service)
        for address in addresses:
            try:
                service.bind(address)
            except OSError as error:
                raise StartError(f"cannot listen on {address}: {error.strerror or error}") from None
            except UnicodeError:  # from the codec for host names
                raise StartError(f"cannot listen on {address}: this can be no host's name") from None

    @property
    def _listeners(self) -> list[Listener]:
        return [listener for service in self._services for listener in service.listeners]

    async def reload(self) -> None:
        """Read the configuration again and take it over. Raises ReloadError, and then nothing has changed."""
        async with self._reloading:
            try:
                with collector_at_rest():
                    config = await read(self._settings.config_file, self._monitor.roster.named)
                    roster = await in_turns(self._monitor.roster.followed_by(config))
                    await self._monitor.adopt(roster, self._clock())
                    garbage.spare(len(config.heartbeats))
            except (ConfigError, AlikeTokensError, StoreError) as error:
                self._telemetry.config_loaded(False, self._clock())
                said = await asyncio.to_thread(str, error)  # of a large file, a sentence for each of its heartbeats
                await in_turns(_log_refusal(said))
                raise ReloadError(said) from None
            self._telemetry.config_loaded(True, self._clock())
        await in_turns(_log_warnings(config))
        log.info("reloaded", config=str(self._settings.config_file), heartbeats=len(config.heartbeats))

    async def reload_whenever(self, asked: asyncio.Event) -> NoReturn:
        """Reload again and again, each time when the event is set."""
        while True:
            await asked.wait()
            asked.clear()
            with suppress(ReloadError):  # logged where it was raised
                await self.reload()

    async def keep_beating(self) -> NoReturn:
        """Note again and again that we listen; a store that has failed is tried more often."""
        loop = asyncio.get_running_loop()
        noted = collected = loop.time()
        while True:
            await asyncio.sleep(RETRY_SECONDS)
            if loop.time() - collected >= garbage.SECONDS_BETWEEN:
                gc.collect()
                collected = loop.time()
            if self._monitor.trouble is not None or loop.time() - noted >= BEAT_SECONDS:
                noted = loop.time()
                with suppress(StoreError):  # logged by the monitor
                    await self._monitor.beat(self._clock())
                await asyncio.to_thread(self._keep_secret)

    def _keep_secret(self) -> None:
        """Put the ping secret back if it was deleted: the next start would make another one, and so other URLs."""
        path = secret_path(self._settings.storage, self._settings.secret_file)
        if self._settings.secret_file is None and path.parent.is_dir() and not os.path.lexists(path):
            with suppress(SecretError):  # tried again with the next beat
                ensure_secret(path, self._secret)
                log.warning("the ping secret was deleted, and is written anew", path=str(path))

    async def stop(self) -> None:
        """Stop accepting, answer what was received, and settle all of it in the store."""
        await asyncio.gather(*(service.stop() for service in self._services))
        await self._monitor.close()
        with suppress(StoreError):  # logged by the monitor
            await self._monitor.beat(self._clock())


@asynccontextmanager
async def running(settings: Settings, clock: Callable[[], Moment] = wall_clock) -> AsyncIterator[Exporter]:
    """An exporter that serves, and that is stopped in order when the block is left. Raises StartError."""
    telemetry = Telemetry(version=__version__, revision=revision())
    async with AsyncExitStack() as stack:
        try:
            config = await read(settings.config_file)
            security = Security.open(settings.web_config_file)
            stack.callback(security.close)
            known = await asyncio.to_thread(os.path.exists, settings.storage)
            store = await SqliteStore.open(settings.storage)
            stack.push_async_callback(store.close)
            secret = _secret(settings, known=known)
            roster = await asyncio.to_thread(Roster, config, secret)
            await stack.enter_async_context(answering(settings.storage, store.backup))
            monitor = Monitor(store, telemetry, roster)
            await monitor.adopt(roster, clock())
            telemetry.config_loaded(True, clock())
            exporter = Exporter(settings, security, clock, telemetry, monitor, secret)
            stack.push_async_callback(exporter.stop)
            await exporter.listen()
        except (ConfigError, SecretError, AlikeTokensError, StoreError) as error:
            raise StartError(str(error)) from None
        await in_turns(_log_warnings(config))
        log.info(
            "started",
            version=__version__,
            python=platform.python_version(),
            loop=type(asyncio.get_running_loop()).__module__.partition(".")[0],
            listening=" ".join(exporter.addresses),
            config=str(settings.config_file),
            storage=str(settings.storage),
            external_url=exporter.external_url,
            heartbeats=len(config.heartbeats),
        )
        yield exporter


def _secret(settings: Settings, *, known: bool) -> bytes:
    """The secret from which tokens are derived; ``known``: whether the database was there before."""
    path = secret_path(settings.storage, settings.secret_file)
    secret = read_secret(path) if settings.secret_file is not None else _own_secret(path, known=known)
    exposed = exposure(stat.S_IMODE(path.stat().st_mode))
    if exposed is not None:
        log.warning("the ping secret is exposed", path=str(path), problem=exposed)
    return secret


def _own_secret(path: Path, *, known: bool) -> bytes:
    if known and not path.exists():
        log.warning(
            "the ping secret was lost, and a new one is made: every derived ping URL is another", path=str(path)
        )
    return ensure_secret(path)


def _log_warnings(config: Config) -> Generator[None, None, None]:
    for problem in config.warnings:
        log.warning("configuration", problem=str(problem))
        yield


def _log_refusal(problems: str) -> Generator[None, None, None]:
    for problem in problems.splitlines():
        log.error("reload refused, the old configuration stays", problem=problem)
        yield


async def serve(settings: Settings) -> None:
    """Run an exporter until SIGTERM or SIGINT; SIGHUP reloads it. Raises StartError."""
    raise_file_limit()
    share_with_threads()
    loop = asyncio.get_running_loop()
    stopped, hung_up = asyncio.Event(), asyncio.Event()
    # From the first, since a signal without a handler would end the process while it still starts.
    for number, event in ((signal.SIGTERM, stopped), (signal.SIGINT, stopped), (signal.SIGHUP, hung_up)):
        loop.add_signal_handler(number, event.set)
    gc.collect()
    async with AsyncExitStack() as stack:
        with collector_at_rest():
            exporter = await stack.enter_async_context(running(settings))
            # Nearly all that there is now stays for as long as the process; garbage was collected before it came.
            gc.freeze()
        garbage.spare(exporter.heartbeats)
        tasks = {
            loop.create_task(work)
            for work in (exporter.keep_beating(), exporter.reload_whenever(hung_up), stopped.wait())
        }
        done, others = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        log.debug("stopping")
        for task in others:
            task.cancel()
        for task in done:
            task.result()  # Only a bug ends the other two, and must not go unnoticed.
    log.info("stopped")
