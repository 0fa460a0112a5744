"""A real exporter inside the test's own process, on a free loopback port."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from scraping import check_page

from exporter.config import load
from exporter.flags import TcpAddress
from exporter.heartbeat import BEAT_EVERY, Name, Ping
from exporter.metrics.negotiation import Format
from exporter.roster import Roster, read_secret
from exporter.schedule import Moment
from exporter.server import Exporter, Settings, running, wall_clock

LOOPBACK = TcpAddress("127.0.0.1", 0)


class Clock:
    """A clock that a test sets."""

    def __init__(self, now: Moment) -> None:
        self.now = now

    def __call__(self) -> Moment:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += round(seconds * 1000)


@dataclass
class Running:
    """An exporter that serves, and a client that talks to it."""

    exporter: Exporter
    client: aiohttp.ClientSession
    settings: Settings

    def roster(self) -> Roster:
        """What the configuration on disk says now."""
        return Roster(load(self.settings.config_file), read_secret(self.settings.storage.parent / "ping-secret"))

    def ping_path(self, name: str) -> str:
        """The path that pings a heartbeat."""
        roster = self.roster()
        heartbeat = roster.named(name)
        assert heartbeat is not None, name
        return f"/heartbeat/{roster.token_of(heartbeat)}"

    async def history(self, name: str) -> Sequence[Ping]:
        """The pings kept of a heartbeat, newest first."""
        return await self.exporter._monitor._store.history(Name(name))

    async def metrics(self, path: str = "/metrics", form: Format = Format.TEXT) -> str:
        """The page of metrics, once it has passed every check."""
        async with self.client.get(path, headers={"Accept": form.content_type}) as answer:
            assert answer.status == 200
            page = await answer.text()
            await asyncio.to_thread(check_page, page, answer.headers["Content-Type"])
            return page

    async def pass_time(self, clock: Clock, seconds: float) -> None:
        """Let time go by as it does while the exporter runs."""
        end = clock.now + round(seconds * 1000)
        while clock.now < end:
            clock.now = min(clock.now + BEAT_EVERY, end)
            await self.exporter._monitor.beat(clock.now)

    async def sample(self, series: str) -> float:
        """The value of one series, written as on the page."""
        page = await self.metrics()
        for line in page.splitlines():
            if line.startswith(f"{series} "):
                return float(line.removeprefix(f"{series} "))
        raise AssertionError(f"no {series} on the page:\n{page}")


async def until(condition: Callable[[], Awaitable[object]], seconds: float = 10) -> None:
    """Return once the condition holds; fail when it does not for too long."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - what is waited for is on the other side of a socket
            await asyncio.sleep(0.01)


def make_settings(folder: Path, config: str, **changes: object) -> Settings:
    """Settings for an exporter that lives in a folder."""
    file = folder / "config.yaml"
    file.write_text(config)
    settings: dict[str, object] = {
        "config_file": file,
        "storage": folder / "data" / "heartbeats.db",
        "secret_file": None,
        "web_listen": (LOOPBACK,),
        "ping_listen": (),
        "telemetry_path": "/metrics",
        "web_config_file": None,
        "external_url": "https://hb.example.org",
        "enable_lifecycle": True,
    }
    return Settings(**(settings | changes))  # type: ignore[arg-type] # names are checked when it runs


@asynccontextmanager
async def exporter_in(
    folder: Path, config: str, clock: Callable[[], Moment] = wall_clock, **changes: object
) -> AsyncIterator[Running]:
    """Start an exporter with this configuration and its data below the folder; stop it afterwards."""
    settings = make_settings(folder, config, **changes)
    async with (
        running(settings, clock) as exporter,
        aiohttp.ClientSession(f"http://{exporter.addresses[0]}") as client,
    ):
        yield Running(exporter, client, settings)
