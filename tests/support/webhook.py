"""A receiver of Alertmanager's notifications that remembers them."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from servers import Alert


@dataclass(frozen=True)
class Notice:
    """One alert in a notification."""

    receiver: str
    status: str
    """``firing`` or ``resolved``."""
    alert: Alert

    @property
    def key(self) -> tuple[str, str, str]:
        """The names of the alert and of its heartbeat, and the status."""
        return (*self.alert.key, self.status)


class Webhook:
    """Where notifications arrive: each receiver's at the path of its name."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._notices: list[Notice] = []

    def add(self, path: str, body: bytes) -> None:
        """Remember a notification."""
        message = json.loads(body)
        self._notices += [
            Notice(path.removeprefix("/"), alert["status"], Alert(alert["labels"], alert["annotations"]))
            for alert in message["alerts"]
        ]

    def notices(self, key: tuple[str, str, str]) -> list[Notice]:
        """What came of one alert in one status, in the order in which it came."""
        return [notice for notice in self._notices if notice.key == key]

    def seen(self) -> set[tuple[str, str, str]]:
        """What came at all."""
        return {notice.key for notice in self._notices}

    def forget(self) -> None:
        """Forget what came so far."""
        self._notices.clear()


class _Server(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.webhook = Webhook(f"http://127.0.0.1:{self.server_port}")


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        self.server.webhook.add(self.path, self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is http.server's
        """Say nothing: a failing test prints what came."""


@contextmanager
def listening() -> Iterator[Webhook]:
    """A receiver that listens on a free loopback port."""
    with _Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server.webhook
        finally:
            server.shutdown()
            thread.join()
