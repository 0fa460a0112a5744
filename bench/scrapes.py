"""Whole scrapes by curl, beside prometheus_client's encoder over the same page.

Before each scrape that is timed there is another one in the same encoding, and then one in a hundred, or all, of the
heartbeats are pinged once. Which ones is left to chance: jobs that ping at the same time are no neighbours on the page.
"""

import gzip
import http.client
from dataclasses import dataclass, field
from pathlib import Path

from bench.figures import (
    ALL_GZIP,
    ALL_PLAIN,
    ONE_PERCENT_GZIP,
    ONE_PERCENT_PLAIN,
    Curve,
    Figure,
    Results,
    middle,
    ratios,
)
from bench.heartbeats import Heartbeats
from bench.load import SCRAPE_SECONDS, request_once, scrape
from bench.plan import Plan, say
from bench.programs import BenchError
from bench.servers import Exporter
from bench.stock import Encoded, Stock

SHARES = {"1 %": 100, "all": 1}
"""One in so many heartbeats is pinged before a scrape."""


@dataclass
class Taken:
    """What was measured at one size."""

    stock: list[Encoded] = field(default_factory=list)
    ours: dict[tuple[str, bool], list[float]] = field(
        default_factory=lambda: {(share, zipped): [] for share in SHARES for zipped in (False, True)}
    )
    """By the share that was pinged, and whether the page was compressed; seconds."""


def measure(plan: Plan, results: Results) -> None:
    """Rounds at each size, the figures at the largest."""
    taken = {size: _at(plan, size) for size in plan.sizes}
    for label, zipped in (("scrape, {}", False), ("scrape, {}, gzip", True)):
        for share, words in (("1 %", "1 % pinged since the last"), ("all", "all pinged since the last")):
            points = {size: seen.ours[share, zipped] for size, seen in taken.items()}
            results.scrape_curves.append(Curve(label.format(words), points))
    stock = {size: [one.plain for one in seen.stock] for size, seen in taken.items()}
    stock_zipped = {size: [one.zipped for one in seen.stock] for size, seen in taken.items()}
    results.scrape_curves += [Curve("generate_latest", stock), Curve("generate_latest, gzip", stock_zipped)]
    _report(plan.largest, taken[plan.largest], results)


def _report(size: int, seen: Taken, results: Results) -> None:
    plain, zipped = [one.plain for one in seen.stock], [one.zipped for one in seen.stock]
    for target, share, theirs, is_zipped in (
        (ONE_PERCENT_PLAIN, "1 %", plain, False),
        (ONE_PERCENT_GZIP, "1 %", zipped, True),
        (ALL_PLAIN, "all", plain, False),
        (ALL_GZIP, "all", zipped, True),
    ):
        ours = seen.ours[share, is_zipped]
        alone = ratios(plain, ours)
        details = {"ours": ours, "stock": theirs, "generate_latest_alone_over_ours": alone}
        note = f"{middle(ours)} s against {middle(theirs)} s"
        if is_zipped:
            note += f"; generate_latest without gzip ÷ scrape: {middle(alone)}"
        results.figures.append(Figure(target, size, ratios(theirs, ours), note, details))


def _at(plan: Plan, size: int) -> Taken:
    heartbeats, taken = plan.heartbeats(size), Taken()
    folder = plan.fresh(f"scrapes-{size}")
    say(f"starting an exporter with {size:,} heartbeats")
    with Exporter(folder, heartbeats) as exporter:
        request_once(exporter.url, heartbeats.paths)
        say(f"checking the page of {size:,} heartbeats, and building the stock encoder's families")
        with Stock(_checked_page(exporter, size, folder)) as stock:
            sides = [*taken.ours, None]
            for number, order in plan.turns(f"scrapes of {size:,}", sides):
                for side in order:
                    if side is None:
                        taken.stock.append(stock.encode())
                    else:
                        taken.ours[side].append(_scrape_after_pings(exporter, heartbeats, *side, number))
    return taken


def _scrape_after_pings(exporter: Exporter, heartbeats: Heartbeats, share: str, zipped: bool, number: int) -> float:
    in_so_many = SHARES[share]
    paths = heartbeats.paths
    if in_so_many > 1:
        paths = heartbeats.sample(max(1, heartbeats.count // in_so_many), seed=2 * number + zipped)
    scrape(exporter.url, zipped=zipped)
    request_once(exporter.url, paths)
    exporter.rest()
    return scrape(exporter.url, zipped=zipped)


def _checked_page(exporter: Exporter, size: int, folder: Path) -> Path:
    """The page in a file; raises BenchError unless it shows each heartbeat with its ping, in both encodings."""
    plain, zipped = _page(exporter, "identity"), gzip.decompress(_page(exporter, "gzip"))
    for page, encoding in ((plain, "plain"), (zipped, "compressed")):
        lines = page.splitlines(keepends=True)
        pinged = sum(
            line.startswith(b"heartbeat_pings_total{") and b'signal="success"' in line and not line.endswith(b" 0.0\n")
            for line in lines
        )
        shown = sum(line.startswith(b"heartbeat_info{") for line in lines)
        if (shown, pinged) != (size, size):
            raise BenchError(
                f"the {encoding} page shows {shown} heartbeats, {pinged} of them pinged, instead of {size}"
            )
    if _series(plain) != _series(zipped):
        raise BenchError("the compressed page shows other series of heartbeats than the plain one")
    path = folder / "page.txt"
    path.write_bytes(plain)
    return path


def _page(exporter: Exporter, encoding: str) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", exporter.port, timeout=SCRAPE_SECONDS)
    try:
        connection.request("GET", "/metrics", headers={"Accept-Encoding": encoding})
        answer = connection.getresponse()
        if answer.status != 200 or answer.headers.get("Content-Encoding", "identity") != encoding:
            raise BenchError(f"{exporter.url}/metrics answers with {answer.status}, not compressed as was asked for")
        return answer.read()
    finally:
        connection.close()


def _series(page: bytes) -> set[bytes]:
    return {line.rpartition(b" ")[0] for line in page.splitlines() if b'heartbeat="' in line}
