"""A real exporter beside the tests, on a loop in a thread of its own, so that hypothesis may talk to it as it likes."""

import asyncio
import io
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest
from hostile import KEY, TOKEN
from running import Running, exporter_in
from scraping import check_page
from wire import answers, exchange, host_and_port

from exporter.heartbeat import Ping
from exporter.logs import LogFormat, configure
from exporter.metrics.negotiation import Format
from exporter.store.sqlite import SqliteStore

T = TypeVar("T")

CONFIG = f"""pings: {{keys: [{{key: {KEY}}}], history: 5, trusted_proxies: [127.0.0.0/8]}}
heartbeats:
  - {{name: job, interval: 1h, token: {TOKEN}, labels: {{team: a}}}}
  - {{name: other, interval: 1h, methods: [POST]}}
"""


@dataclass
class Target:
    """An exporter that requests of any kind are sent to."""

    running: Running
    loop: asyncio.AbstractEventLoop
    address: tuple[str, int]

    def ask(self, question: Coroutine[Any, Any, T]) -> T:
        """What a coroutine returns on the exporter's own loop."""
        return asyncio.run_coroutine_threadsafe(question, self.loop).result(60)

    def page(self) -> dict[str, float]:
        """The values of all series on the page in OpenMetrics, once the strict parser has passed it."""
        accept = f"Accept: {Format.OPENMETRICS.content_type}".encode()
        heard = exchange(
            self.address,
            b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + accept + b"\r\n\r\n",
            whole=True,
        )
        (answer,) = answers(heard)
        page = answer.body.decode()
        check_page(page, answer.headers["content-type"])
        parted = (line.rpartition(" ") for line in page.splitlines() if not line.startswith("#"))
        return {series: float(value) for series, _, value in parted}

    def history(self, name: str) -> Sequence[Ping]:
        """The pings kept of a heartbeat, newest first."""
        return self.ask(self.running.history(name))

    def at_rest(self) -> int:
        """The tasks that the exporter has, once no client's connection is left and what was sent is settled."""
        return self.ask(self._at_rest())

    async def _at_rest(self) -> int:
        me = asyncio.current_task()
        tasks = -1
        async with asyncio.timeout(10):
            while True:
                now = sum(task is not me for task in asyncio.all_tasks())
                exporter = self.running.exporter
                busy = any(service._server.connections for service in exporter._services)
                if now == tasks and not busy and cast("SqliteStore", exporter._monitor._store)._settling is None:
                    return now
                tasks = now
                await asyncio.sleep(0.02)


class Journal:
    """What the exporter logs, at debug level, in one form."""

    def __init__(self) -> None:
        self._stream = io.StringIO()

    def begin(self, form: LogFormat) -> None:
        """Forget what was written, and write on in this form."""
        self._stream = io.StringIO()
        configure("debug", form, self._stream)

    def text(self) -> str:
        """All that was written since."""
        return self._stream.getvalue()


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """An exporter with two heartbeats and a shared key."""
    yield from serve(tmp_path_factory.mktemp("exporter"))


def serve(folder: Path) -> Iterator[Target]:
    started = threading.Event()
    found: list[Target] = []
    stop: list[Callable[[], object]] = []

    async def run() -> None:
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        stop.append(lambda: loop.call_soon_threadsafe(ended.set))
        async with exporter_in(folder, CONFIG) as running:
            found.append(Target(running, loop, host_and_port(running.exporter.addresses[0])))
            started.set()
            await ended.wait()

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    try:
        assert started.wait(30), "the exporter does not start"
        yield found[0]
    finally:
        stop[0]()
        thread.join(30)
    assert not thread.is_alive()


@pytest.fixture
def journal() -> Journal:
    """What the exporter logs during a test."""
    return Journal()
