"""Pings during back-to-back scrapes: their p99, beside that of pings without, and how long the event loop is held.

Once at a moderate rate that is the same on both sides, and once at full load. The exporter has a probe on its event
loop, see `bench.probe`, on both sides; scrapes ask for gzip, as Prometheus does.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field

from bench.figures import HOLD, HOLD_FULL, SCRAPED, SCRAPED_FULL, Figure, Results, Target, middle, ratios
from bench.load import Scraper, hey_for, p99, press, request_once, scrape, with_the_unsent
from bench.plan import Plan, say
from bench.probe import Holds, ask, begin
from bench.servers import Exporter

HEY_FACTOR = 2
"""How much longer the moderate rate is watched: a hundredth of its pings are few."""


@dataclass
class Seen:
    """What was seen with one kind of load, with scrapes or without; one value of each round, in seconds."""

    p99: list[float] = field(default_factory=list)
    p99_as_sent: list[float] = field(default_factory=list)
    """Of those pings alone that were sent."""
    holds: list[Holds] = field(default_factory=list)
    scrapes: list[int] = field(default_factory=list)
    """How many."""


def measure(plan: Plan, results: Results) -> None:
    """Rounds at the largest size."""
    size = plan.largest
    heartbeats = plan.heartbeats(size)
    folder = plan.fresh("latency")
    report = folder / "holds.json"
    seen = {(load, scraped): Seen() for load in ("moderate", "full") for scraped in (False, True)}
    say(f"starting an exporter with {size:,} heartbeats")
    with Exporter(folder, heartbeats, probe=report) as exporter:
        request_once(exporter.url, heartbeats.paths)
        scrape(exporter.url, zipped=True)

        def moderate(_: int) -> tuple[float, float]:
            pings = hey_for(exporter.url + heartbeats.some_path, plan.seconds * HEY_FACTOR)
            return p99(with_the_unsent(pings)), p99(ping.took for ping in pings)

        def full(number: int) -> tuple[float, float]:
            first = 1 + number * size // plan.rounds
            took = press(exporter.url, heartbeats.paths, plan.seconds, first=first).p99
            return took, took

        loads: dict[str, Callable[[int], tuple[float, float]]] = {"moderate": moderate, "full": full}
        for number, order in plan.turns(f"pings during scrapes of {size:,}", list(seen)):
            for load, scraped in order:
                scraper = Scraper(exporter.url)
                meanwhile: AbstractContextManager[None] = scraper.running() if scraped else nullcontext()
                begin(exporter, report)
                with meanwhile:
                    took, as_sent = loads[load](number)
                one = seen[load, scraped]
                one.p99.append(took)
                one.p99_as_sent.append(as_sent)
                one.holds.append(ask(exporter, report))
                one.scrapes.append(len(scraper.taken))
    _report(size, results, "moderate", seen, SCRAPED, HOLD)
    _report(size, results, "full", seen, SCRAPED_FULL, HOLD_FULL)


def _report(
    size: int, results: Results, load: str, seen: dict[tuple[str, bool], Seen], ratio: Target, hold: Target
) -> None:
    without, during = seen[load, False], seen[load, True]
    details = {"during_scrapes": asdict(during), "without": asdict(without)}
    note = f"{middle(during.p99, 1e3)} ms during {sum(during.scrapes)} scrapes, {middle(without.p99, 1e3)} ms without"
    results.figures.append(Figure(ratio, size, ratios(during.p99, without.p99), note, details))
    longest = [holds.longest * 1e3 for holds in during.holds]
    p999, cpu = [holds.p999 for holds in during.holds], [holds.longest_cpu for holds in during.holds]
    note = (
        f"99.9 % of callbacks were at most {middle(p999, 1e3)} ms late; the loop's own processor time at most "
        f"{middle(cpu, 1e3)} ms; without scrapes the longest hold is "
        f"{middle([holds.longest for holds in without.holds], 1e3)} ms"
    )
    results.figures.append(Figure(hold, size, longest, note, details))
