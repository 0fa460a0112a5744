"""A receiver of Alertmanager's notifications that remembers them."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from servers import Alert, Server, eventually


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


@dataclass(frozen=True)
class Notification:
    """What Alertmanager sends at once: the alerts of one group, for one receiver."""

    receiver: str
    status: str
    """``firing`` if any of its alerts does, else ``resolved``."""
    group: Mapping[str, str]
    """The labels that its alerts have in common, as ``group_by`` names them."""
    notices: tuple[Notice, ...]

    def heartbeats(self, status: str) -> set[str]:
        """The heartbeats of its alerts that have a status."""
        return {notice.alert.labels["heartbeat"] for notice in self.notices if notice.status == status}


class Webhook:
    """Where notifications arrive: each receiver's at the path of its name."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._notifications: list[Notification] = []

    def add(self, path: str, body: bytes) -> None:
        """Remember a notification."""
        message = json.loads(body)
        receiver = path.removeprefix("/")
        notices = tuple(
            Notice(receiver, alert["status"], Alert(alert["labels"], alert["annotations"]))
            for alert in message["alerts"]
        )
        self._notifications.append(Notification(receiver, message["status"], message["groupLabels"], notices))

    def notifications(self, alertname: str) -> list[Notification]:
        """What came of the groups of an alert, in the order in which it came."""
        return [notification for notification in self._notifications if notification.group["alertname"] == alertname]

    def notices(self, key: tuple[str, str, str]) -> list[Notice]:
        """What came of one alert in one status, in the order in which it came."""
        return [notice for notice in self._all() if notice.key == key]

    def awaited(
        self,
        alert: tuple[str, str],
        status: str,
        *servers: Server,
        times: int = 1,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> list[Notice]:
        """What came of an alert in a status, once so many have come; until then, something is done again and again."""

        def notices() -> list[Notice]:
            meanwhile()
            found = self.notices((*alert, status))
            return found if len(found) >= times else []

        return eventually(f"{alert} is notified as {status}, {times} times", notices, *servers)

    def seen(self) -> set[tuple[str, str, str]]:
        """What came at all."""
        return {notice.key for notice in self._all()}

    def forget(self) -> None:
        """Forget what came so far."""
        self._notifications.clear()

    def _all(self) -> list[Notice]:
        return [notice for notification in self._notifications for notice in notification.notices]


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
