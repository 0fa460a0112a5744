"""A real Prometheus that scrapes the largest exporter while jobs ping it: what it says of its scrapes."""

import json
from pathlib import Path
from urllib.parse import quote

from bench.figures import PROMETHEUS, Figure, Results, number
from bench.load import pressing, request_once
from bench.plan import Plan, say
from bench.programs import BenchError, eventually, free_port, program
from bench.servers import Exporter, Server

SCRAPES = 4
"""How many are awaited. The first is not counted: it makes the series, which is Prometheus's work, once."""
CONNECTIONS = 2
"""Which ping meanwhile, as fast as answers come."""


class Prometheus(Server):
    """A Prometheus that scrapes one exporter."""

    def __init__(self, folder: Path, exporter: Exporter, interval: int) -> None:
        port = free_port()
        config = folder / "prometheus.yaml"
        config.write_text(
            f"global: {{scrape_interval: {interval}s, scrape_timeout: {interval}s}}\n"
            "scrape_configs:\n"
            f'  - {{job_name: heartbeats, static_configs: [{{targets: ["127.0.0.1:{exporter.port}"]}}]}}\n'
        )
        command = [
            program("prometheus"),
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'prometheus'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        super().__init__("prometheus", folder, port, command)

    def every(self, name: str) -> list[float]:
        """All samples of a series of the scrapes. Raises BenchError where it cannot say."""
        status, body = self.get(f"/api/v1/query?query={quote(name + '[1h]')}")
        if status != 200:
            raise BenchError(f"prometheus answers a query with {status}")
        series = json.loads(body)["data"]["result"]
        return [float(value) for one in series for _, value in one["values"]]


def measure(plan: Plan, results: Results) -> None:
    """Some scrapes in a row."""
    size = plan.largest
    heartbeats, folder = plan.heartbeats(size), plan.fresh("prometheus")
    say(f"a Prometheus scrapes {size:,} heartbeats {SCRAPES} times")
    with Exporter(folder, heartbeats) as exporter:
        request_once(exporter.url, heartbeats.paths)
        with (
            pressing(exporter.url, heartbeats.paths, CONNECTIONS),
            Prometheus(folder, exporter, plan.scrape_interval) as prometheus,
        ):
            eventually(
                f"{SCRAPES} scrapes",
                lambda: len(prometheus.every("scrape_duration_seconds")) >= SCRAPES,
                within=(SCRAPES + 4) * plan.scrape_interval + 60,
                every=0.5,
            )
            up, taken = prometheus.every("up"), prometheus.every("scrape_duration_seconds")
            samples = prometheus.every("scrape_samples_scraped")
    if set(up) != {1.0}:
        raise BenchError(f"prometheus could not scrape each time: up is {up}, it took {taken} s")
    details = {"first": taken[0], "samples": samples[-1], "interval_seconds": plan.scrape_interval}
    note = f"{samples[-1]:,.0f} samples; the first scrape, in which the series are made, takes {number(taken[0])} s"
    results.figures.append(Figure(PROMETHEUS, size, taken[1:], note, details))
