"""Durable pings a second, beside a bare handler's answers and a Pushgateway's pushes.

An exporter of each size, Pushgateways with different numbers of groups, and the bare handler run at the same time and
are loaded in turn, each once the one before has come to rest: an exporter settles what it has taken when it is quiet.
All exporters and the bare handler are given the same kind of requests by the same script; each push
is a POST of one gauge to a group of its own, and all groups exist before.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.figures import BARE, GROWTH, PUSHGATEWAY, Curve, Figure, Results, Target, middle, ratios
from bench.heartbeats import name_of, write_lines
from bench.load import Pressed, press, request_once
from bench.plan import Plan, say
from bench.servers import Bare, Exporter, Pushgateway

LABELS = {"exporter": "durable ping", "bare": "bare aiohttp handler", "pushgateway": "push to a Pushgateway"}
"""What the plot calls each kind of side."""
PUSH = "bench_last_run_timestamp_seconds 1\n"


@dataclass(frozen=True)
class Side:
    """Something that is loaded."""

    name: str
    size: int
    press: Callable[[int], Pressed]
    """Load it in the round of this number."""
    rest: Callable[[], None]
    """Wait until it has nothing left to do."""


def measure(plan: Plan, results: Results) -> None:
    """Rounds over all sides."""
    with ExitStack() as stack:
        sides = [
            _bare(plan, stack),
            *(_exporter(plan, stack, size) for size in plan.sizes),
            *(_pushgateway(plan, stack, size) for size in plan.groups),
        ]
        pressed: dict[tuple[str, int], list[Pressed]] = {(side.name, side.size): [] for side in sides}
        for number, order in plan.turns("pings", sides):
            for side in order:
                pressed[side.name, side.size].append(side.press(number))
                side.rest()
    _report(plan, results, pressed)


def _exporter(plan: Plan, stack: ExitStack, size: int) -> Side:
    heartbeats = plan.heartbeats(size)
    say(f"starting an exporter with {size:,} heartbeats")
    exporter = stack.enter_context(Exporter(plan.fresh(f"pings-{size}"), heartbeats))
    return Side(
        "exporter", size, lambda number: _walk(plan, exporter.url, heartbeats.paths, size, number), exporter.rest
    )


def _bare(plan: Plan, stack: ExitStack) -> Side:
    size = _wanted(plan.sizes, BARE.heartbeats)
    paths = plan.heartbeats(size).paths
    bare = stack.enter_context(Bare(plan.folder))
    return Side("bare", size, lambda number: _walk(plan, bare.url, paths, size, number), bare.rest)


def _pushgateway(plan: Plan, stack: ExitStack, size: int) -> Side:
    paths = write_lines(plan.folder / f"groups-{size}.txt", [f"/metrics/job/{name_of(index)}" for index in range(size)])
    gateway = stack.enter_context(Pushgateway(plan.folder))
    say(f"filling a Pushgateway with {size:,} groups")
    request_once(gateway.url, paths, method="POST", body=PUSH)

    def push(_: int) -> Pressed:
        return press(gateway.url, paths, plan.seconds, method="POST", body=PUSH)

    return Side("pushgateway", size, push, gateway.rest)


def _walk(plan: Plan, url: str, paths: Path, size: int, number: int) -> Pressed:
    # Each round begins elsewhere, so that in time all heartbeats are pinged.
    return press(url, paths, plan.seconds, first=1 + number * size // plan.rounds)


def _wanted(sizes: tuple[int, ...], wanted: int | None) -> int:
    """The size that is wanted, or else the largest."""
    return wanted if wanted in sizes else sizes[-1]


def _report(plan: Plan, results: Results, pressed: dict[tuple[str, int], list[Pressed]]) -> None:
    rates = {side: [seen.rate for seen in rounds] for side, rounds in pressed.items()}
    p99s = {side: [seen.p99 for seen in rounds] for side, rounds in pressed.items()}

    def compare(target: Target, at: int, over: tuple[str, int], under: tuple[str, int]) -> None:
        sides = (over, under)
        details = {f"{name}_{size}": {"rates": rates[name, size], "p99": p99s[name, size]} for name, size in sides}
        note = f"{middle(rates[over])}/s against {middle(rates[under])}/s"
        results.figures.append(Figure(target, at, ratios(rates[over], rates[under]), note, details))

    at = _wanted(plan.sizes, BARE.heartbeats)
    compare(BARE, at, ("exporter", at), ("bare", at))
    if common := [size for size in plan.groups if size in plan.sizes]:
        at = _wanted(tuple(common), PUSHGATEWAY.heartbeats)
        compare(PUSHGATEWAY, at, ("exporter", at), ("pushgateway", at))
    if len(plan.sizes) > 1:
        compare(GROWTH, plan.largest, ("exporter", plan.largest), ("exporter", plan.sizes[0]))
    for name, label in LABELS.items():
        points = {size: [1 / rate for rate in seen] for (side, size), seen in rates.items() if side == name}
        results.ping_curves.append(Curve(label, points))
