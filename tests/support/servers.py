"""The real programs as child processes on free loopback ports: the exporter, Prometheus and Alertmanager.

Prometheus and Alertmanager run what `deploy/` ships; only addresses and lengths of time are replaced.
"""

import http.client
import json
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias, TypeVar
from urllib.parse import quote

import pytest
import yaml
from programs import program
from prometheus_client.parser import text_string_to_metric_families as parse_text
from scraping import check_page, samples_of

from exporter.metrics.negotiation import Format
from exporter.schedule import format_duration, parse_duration

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
SCRAPE_INTERVAL = "1s"
EVALUATION_INTERVAL = "500ms"
WATCHDOG_RECEIVER = "watchdog"

T = TypeVar("T")


def eventually(what: str, question: Callable[[], T], *servers: "Server", within: float = 30) -> T:
    """The first true answer to a question that is asked again and again, of servers that may not listen yet.

    Fails with what was awaited, the last answer and the ends of the servers' logs when none comes in time (seconds).
    """
    deadline = time.monotonic() + within
    while True:
        answer: T | OSError
        try:
            answer = question()
        except OSError as error:
            answer = error
        if answer and not isinstance(answer, OSError):
            return answer
        if time.monotonic() > deadline:
            logs = "\n".join(server.tail() for server in servers)
            pytest.fail(f"{what}: not so after {within} s\nlast answer: {answer!r}\n{logs}")
        time.sleep(0.05)


def free_port() -> int:
    """A port of the loopback address on which nothing listens.

    It lies below those that the system gives to clients: none of them can take it while its server is restarted.
    """
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int
    content_type: str
    text: str


class Server:
    """A server in a child process of its own, with its output in a file."""

    def __init__(self, folder: Path, name: str, port: int) -> None:
        self.folder = folder
        self.port = port
        self._name = name
        self._log = folder / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> Sequence[str]:
        """The program and its arguments."""
        raise NotImplementedError

    def start(self, within: float = 30) -> None:
        """Start it and wait, at most so many seconds, until it says that it is ready."""
        with self._log.open("ab") as log:
            # From the project's folder, so that `python -m` finds it there.
            self._process = subprocess.Popen(self.command(), cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
        eventually(f"{self._name} is ready", lambda: self._ended() or self.ready(), self, within=within)
        if self._ended():
            pytest.fail(f"{self._name} does not start\n{self.tail()}")

    def ready(self) -> bool:
        """Whether it says that it is ready."""
        return self.request("/-/ready").status == 200

    def _ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    @property
    def pid(self) -> int:
        """Its process's number."""
        assert self._process is not None
        return self._process.pid

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self, within: float = 10) -> int:
        """Its exit code, once it has ended; fails if it takes longer."""
        assert self._process is not None
        try:
            return self._process.wait(within)
        except subprocess.TimeoutExpired:
            pytest.fail(f"{self._name} has not ended after {within} s\n{self.tail()}")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send it a signal that ends it; returns its exit code."""
        self.send(number)
        return self.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._process is None or self._ended():
            return
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def tail(self) -> str:
        """The end of its log, for people."""
        lines = self._log.read_text(errors="replace").splitlines() if self._log.exists() else []
        return "\n".join([f"--- {self._name}", *lines[-30:]])

    def request(
        self, path: str, method: str = "GET", headers: Mapping[str, str] | None = None, body: str | None = None
    ) -> Answer:
        """What it answers. Raises OSError where it does not."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, headers=dict(headers or {}))
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers.get("Content-Type", ""), answer.read().decode())
        finally:
            connection.close()

    def json(self, path: str) -> Any:
        """The JSON that it answers with 200."""
        answer = self.request(path)
        assert answer.status == 200, answer
        return json.loads(answer.text)


@dataclass(frozen=True)
class Scrape:
    """A page of metrics that has passed every check."""

    samples: Mapping[tuple[str, frozenset[tuple[str, str]]], float]

    def of_heartbeats(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """What is shown of heartbeats."""
        return {
            (name, labels): value
            for (name, labels), value in self.samples.items()
            if name.startswith("heartbeat_") and not name.startswith("heartbeat_exporter_")
        }

    def each(self, name: str, label: str = "heartbeat", **labels: str) -> dict[str, float]:
        """The values of a metric's series that have these labels, by another of their labels."""
        return {
            dict(series)[label]: value
            for (metric, series), value in self.samples.items()
            if metric == name and labels.items() <= dict(series).items()
        }

    def value(self, name: str) -> float:
        """The value of a metric that has only one series."""
        return self.samples[name, frozenset()]


class Exporter(Server):
    """A heartbeat exporter with its configuration and data in a folder."""

    def __init__(self, folder: Path, config: str, *flags: str) -> None:
        super().__init__(folder, "exporter", free_port())
        self._config = folder / "config.yaml"
        self._flags = flags
        self.configure(config)

    def configure(self, config: str) -> None:
        """Write its configuration, which it is not told."""
        self._config.write_text(config)

    @property
    def _own_flags(self) -> list[str]:
        return [
            f"--config.file={self._config}",
            f"--storage.url=sqlite:///{self.folder / 'data' / 'heartbeats.db'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
        ]

    def command(self) -> Sequence[str]:
        return [sys.executable, "-m", "exporter.cli", *self._own_flags, *self._flags]

    def urls(self) -> dict[str, str]:
        """The ping URL of every heartbeat by its name, as `heartbeatctl urls` prints them."""
        command = [sys.executable, "-m", "exporter.ctl", "urls", *self._own_flags]
        printed = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=60, check=True).stdout
        return dict(line.split("\t") for line in printed.splitlines())

    def scrape(self, form: Format = Format.OPENMETRICS) -> Scrape:
        """The metrics as they stand."""
        page = self.request("/metrics", headers={"Accept": form.content_type})
        assert (page.status, page.content_type) == (200, form.content_type)
        return Scrape(samples_of(check_page(page.text, page.content_type).values()))


StartExporter: TypeAlias = Callable[..., Exporter]
"""Starts an exporter with this configuration and further flags, all of them texts."""


def curl(url: str) -> None:
    """Ping as a job does, with curl; fails unless the ping was taken."""
    path = program("curl")
    pinged = subprocess.run(
        [path, "-fsS", "-m", "10", "--noproxy", "*", url], capture_output=True, text=True, timeout=20, check=False
    )
    assert (pinged.returncode, pinged.stdout) == (0, "OK"), pinged


@dataclass(frozen=True)
class Alert:
    """An alert, without what Prometheus and Alertmanager add for themselves."""

    labels: Mapping[str, str]
    annotations: Mapping[str, str]

    @property
    def key(self) -> tuple[str, str]:
        """The names of the alert and of its heartbeat, if it has one."""
        return self.labels["alertname"], self.labels.get("heartbeat", "")


class Prometheus(Server):
    """A Prometheus with the rules that we ship, which scrapes exporters and tells an Alertmanager or nobody."""

    def __init__(self, folder: Path, exporters: Sequence[Exporter], alertmanager: Server | None = None) -> None:
        super().__init__(folder, "prometheus", free_port())
        config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yaml").read_text())
        config["global"] = {"scrape_interval": SCRAPE_INTERVAL, "evaluation_interval": EVALUATION_INTERVAL}
        (scraped,) = config["scrape_configs"]
        scraped["static_configs"] = [{"targets": [f"127.0.0.1:{exporter.port}" for exporter in exporters]}]
        (told,) = config["alerting"]["alertmanagers"]
        told["static_configs"] = [{"targets": [f"127.0.0.1:{alertmanager.port}"] if alertmanager else []}]
        self._config = folder / "prometheus.yaml"
        self._config.write_text(yaml.safe_dump(config))
        (folder / "rules").mkdir()
        self._groups: set[str] = set()
        for file in (DEPLOY / "prometheus" / "rules").glob("*.yaml"):
            rules = yaml.safe_load(file.read_text())
            self._groups |= {group["name"] for group in rules["groups"] if "interval" not in group}
            for rule in (rule for group in rules["groups"] for rule in group["rules"] if "for" in rule):
                rule["for"] = "1s"
            (folder / "rules" / file.name).write_text(yaml.safe_dump(rules))

    def command(self) -> Sequence[str]:
        return [
            program("prometheus"),
            f"--config.file={self._config}",
            f"--storage.tsdb.path={self.folder / 'prometheus'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            # An alert that is not told again for a few of these ends by itself at Alertmanager.
            "--rules.alert.resend-delay=1s",
        ]

    def query(self, expression: str) -> list[float]:
        """The values that an expression has now."""
        answer = self.json(f"/api/v1/query?query={quote(expression)}")
        return [float(series["value"][1]) for series in answer["data"]["result"]]

    def firing(self) -> set[tuple[str, str]]:
        """The keys of the alerts that fire."""
        alerts = self.json("/api/v1/alerts")["data"]["alerts"]
        return {Alert(alert["labels"], {}).key for alert in alerts if alert["state"] == "firing"}

    def evaluations(self) -> float:
        """How often each group of rules has been evaluated, those with an interval of their own left out.

        Fails if any rule could not be.
        """
        families = parse_text(self.request("/metrics").text)
        samples = [sample for family in families for sample in family.samples]
        assert not sum(s.value for s in samples if s.name == "prometheus_rule_evaluation_failures_total"), self.tail()
        return min(
            sample.value
            for sample in samples
            if sample.name == "prometheus_rule_group_iterations_total"
            and sample.labels["rule_group"].rpartition(";")[2] in self._groups
        )

    def evaluate(self, times: int) -> None:
        """Wait until the rules have been evaluated so many times more."""
        target = self.evaluations() + times
        eventually(f"{times} evaluations", lambda: self.evaluations() >= target, self)


class Alertmanager(Server):
    """An Alertmanager with the routes that we ship, which sends each receiver's notifications to a path of its name.

    The lengths of time of every route are replaced, but those of the watchdog's: that one keeps its own, with a second
    for a minute, and calls another URL if one is given.
    """

    def __init__(
        self,
        folder: Path,
        receiver_url: str,
        *,
        group_wait: str = "0s",
        group_interval: str = "1s",
        repeat_interval: str = "1h",
        watchdog_url: str | None = None,
    ) -> None:
        super().__init__(folder, "alertmanager", free_port())
        config = yaml.safe_load((DEPLOY / "alertmanager" / "alertmanager.yaml").read_text())
        self._pace = {"group_wait": group_wait, "group_interval": group_interval, "repeat_interval": repeat_interval}
        self._hurry(config["route"])
        for receiver in config["receivers"]:
            (hook,) = receiver["webhook_configs"]
            hook["url"] = f"{receiver_url}/{receiver['name']}"
            if receiver["name"] == WATCHDOG_RECEIVER and watchdog_url is not None:
                hook["url"] = watchdog_url
        self._config = folder / "alertmanager.yaml"
        self._config.write_text(yaml.safe_dump(config))

    def _hurry(self, route: dict[str, Any]) -> None:
        if route["receiver"] == WATCHDOG_RECEIVER:
            route.update({key: format_duration(parse_duration(route[key]) // 60) for key in self._pace})
        else:
            route.update(self._pace)
        for child in route.get("routes", []):
            self._hurry(child)

    def command(self) -> Sequence[str]:
        return [
            program("alertmanager"),
            f"--config.file={self._config}",
            f"--storage.path={self.folder / 'alertmanager'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--cluster.listen-address=",  # no cluster, and so no port for one
        ]

    def tell(self, *alerts: Mapping[str, str], ended: bool = False) -> None:
        """Tell it, as Prometheus does, that alerts with these labels fire, or that they have just ended."""
        ends = {"endsAt": datetime.now(UTC).isoformat()} if ended else {}
        told = json.dumps([{"labels": dict(labels), **ends} for labels in alerts])
        answer = self.request("/api/v2/alerts", "POST", {"Content-Type": "application/json"}, told)
        assert answer.status == 200, answer

    def active(self) -> dict[tuple[str, str], Alert]:
        """The alerts that are active, by their keys."""
        alerts = self.json("/api/v2/alerts?active=true&silenced=false&inhibited=false")
        found = (Alert(alert["labels"], alert["annotations"]) for alert in alerts)
        return {alert.key: alert for alert in found}

    def muted(self) -> dict[tuple[str, str], set[tuple[str, str]]]:
        """The alerts that others inhibit, each with those others, by their keys."""
        alerts = self.json("/api/v2/alerts")
        keys = {alert["fingerprint"]: Alert(alert["labels"], {}).key for alert in alerts}
        return {
            keys[alert["fingerprint"]]: {keys[by] for by in alert["status"]["inhibitedBy"]}
            for alert in alerts
            if alert["status"]["inhibitedBy"]
        }


StartAlertmanager: TypeAlias = Callable[..., Alertmanager]
"""Starts an Alertmanager with these keywords, all of them texts."""
