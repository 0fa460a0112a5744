"""An exporter's life at the largest size: how soon it is ready, what it holds, and pings during a reload."""

import time
from collections.abc import Iterable
from pathlib import Path

from bench.figures import MEMORY, RELOAD, START, Figure, Results, middle, number
from bench.heartbeats import Heartbeats
from bench.load import Hey, Ping, p99, request_once, scrape, with_the_unsent
from bench.plan import Plan, say
from bench.servers import Exporter, Memory

RELOAD_SECONDS = 120.0
AROUND_SECONDS = 1.0
"""How long pings are sent before and after a reload."""
MEGABYTE = 1_000_000


def measure(plan: Plan, results: Results) -> None:
    """Starts with a store in which each heartbeat has been pinged; of the last one also its memory, and reloads."""
    size = plan.largest
    heartbeats, folder = plan.heartbeats(size), plan.fresh("life")
    say(f"filling the store of {size:,} heartbeats")
    with Exporter(folder, heartbeats) as exporter:
        request_once(exporter.url, heartbeats.paths)
    ready = []
    for turn, _ in plan.turns(f"start with {size:,}", [None]):
        started = time.perf_counter()
        with Exporter(folder, heartbeats) as exporter:
            ready.append(time.perf_counter() - started)
            if turn == plan.rounds - 1:
                results.figures.append(Figure(START, size, ready, "from the process's start to 200 from /-/ready", {}))
                _memory(exporter, size, results)
                _reloads(plan, exporter, heartbeats, results)


def _memory(exporter: Exporter, size: int, results: Results) -> None:
    """Resident memory after the start, and after two scrapes in each encoding."""
    started = exporter.memory()
    for _ in range(2):
        scrape(exporter.url, zipped=False)
        scrape(exporter.url, zipped=True)
    scraped = exporter.memory()
    details = {"after_start": _of(started), "after_scrapes": _of(scraped)}
    note = f"{number(started.resident / MEGABYTE)} MB after the start; at most {number(scraped.peak / MEGABYTE)} MB"
    results.figures.append(Figure(MEMORY, size, [scraped.resident / MEGABYTE], note, details))


def _of(memory: Memory) -> dict[str, float]:
    return {"resident_mb": memory.resident / MEGABYTE, "peak_mb": memory.peak / MEGABYTE}


def _reloads(plan: Plan, exporter: Exporter, heartbeats: Heartbeats, results: Results) -> None:
    """Reloads of a configuration in which one heartbeat in a hundred has changed, with pings meanwhile."""
    slow, as_sent, durations = [], [], []
    for turn, _ in plan.turns(f"reload of {heartbeats.count:,}", [None]):
        _replace(exporter.config, heartbeats.changed if turn % 2 == 0 else heartbeats.config)
        hey = Hey(exporter.url + heartbeats.some_path, RELOAD_SECONDS + 60)
        with hey.running():
            time.sleep(AROUND_SECONDS)
            begin = time.perf_counter()
            exporter.reload(RELOAD_SECONDS)
            end = time.perf_counter()
            time.sleep(AROUND_SECONDS)
        during = list(_within(hey.pings, begin - hey.started, end - hey.started))
        slow.append(p99(with_the_unsent(during)) * 1e3)
        as_sent.append(p99(ping.took for ping in during) * 1e3)
        durations.append(end - begin)
    memory = _of(exporter.memory())
    details = {"p99_as_sent_ms": as_sent, "reload_seconds": durations, "memory_afterwards": memory}
    note = (
        f"a reload takes {middle(durations)} s; p99 of the pings that were sent alone {middle(as_sent)} ms; "
        f"at most {number(memory['peak_mb'])} MB"
    )
    results.figures.append(Figure(RELOAD, heartbeats.count, slow, note, details))


def _replace(path: Path, by: Path) -> None:
    path.write_bytes(by.read_bytes())


def _within(pings: Iterable[Ping], begin: float, end: float) -> Iterable[Ping]:
    """Those that were under way in this span, in seconds since hey was started."""
    return (ping for ping in pings if ping.sent < end and ping.sent + ping.took > begin)
