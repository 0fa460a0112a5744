"""`python -m bench`: measure, and report."""

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from bench import latency, life, pings, prometheus, scrapes
from bench.figures import Results
from bench.machine import facts, file_system
from bench.plan import Plan, say
from bench.plot import plot
from bench.programs import PACKAGES, ROOT, BenchError, program
from bench.report import table, write

PARTS: dict[str, Callable[[Plan, Results], None]] = {
    "pings": pings.measure,
    "scrapes": scrapes.measure,
    "latency": latency.measure,
    "life": life.measure,
    "prometheus": prometheus.measure,
}
GROUPS = (100, 1_000, 3_000)
"""Of the Pushgateways. Each push costs one of them a look at all groups, so more take minutes to fill."""
VOLATILE = ("tmpfs", "ramfs")


def build_parser() -> argparse.ArgumentParser:
    """The flags."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="What is fast, measured against peers.")
    parser.add_argument(
        "--heartbeats",
        type=_positive,
        nargs="+",
        default=[1_000, 10_000, 100_000],
        metavar="N",
        help="numbers of heartbeats (default: 1000 10000 100000)",
    )
    parser.add_argument("--rounds", type=_positive, default=5, metavar="N", help="rounds of each figure (default: 5)")
    parser.add_argument(
        "--seconds", type=_positive, default=4, metavar="N", help="how long each side is loaded in a round (default: 4)"
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, metavar="NAME", help=f"measure only: {', '.join(PARTS)}")
    parser.add_argument(
        "--short",
        action="store_true",
        help="see only that everything runs, with few heartbeats and one round; no figure is judged",
    )
    parser.add_argument(
        "--output", type=Path, default=ROOT / "build" / "bench", metavar="FOLDER", help="(default: build/bench)"
    )
    return parser


def main() -> int:
    """Run the command; returns its exit code: 0 measured, 1 something does not do what it should, 2 usage."""
    options = build_parser().parse_args()
    signal.signal(signal.SIGTERM, _stop)
    started = time.monotonic()
    try:
        for name in PACKAGES:
            program(name)
        results, troubles = _measure(options)
    except BenchError as error:
        say(f"bench: {error}")
        return 1
    except KeyboardInterrupt:
        return 130
    print(table(results.figures, judged=not options.short))
    say(f"written to {options.output}, after {time.monotonic() - started:.0f} s")
    for trouble in troubles:
        say(f"bench: {trouble}")
    return 1 if troubles else 0


def _measure(options: argparse.Namespace) -> tuple[Results, list[str]]:
    """What was measured, and why some of it could not be."""
    options.output.mkdir(parents=True, exist_ok=True)
    (ROOT / "build").mkdir(exist_ok=True)
    results, troubles = Results(), []
    with tempfile.TemporaryDirectory(prefix="bench-", dir=ROOT / "build") as folder:
        plan = _plan(options, Path(folder))
        if file_system(plan.folder) in VOLATILE:
            say(f"{plan.folder} is in memory: pings are not on a disk, and what is shown of them says nothing")
        told = {
            **facts(plan.folder),
            "settings": {"heartbeats": plan.sizes, "rounds": plan.rounds, "seconds": plan.seconds},
        }
        for name in options.only or PARTS:
            try:
                PARTS[name](plan, results)
            except BenchError as error:  # What else was measured, for many minutes, is not lost.
                troubles.append(f"{name}: {error}")
    write(results, told, options.output, judged=not options.short)
    if results.ping_curves or results.scrape_curves:
        plot(results, options.output / "results.svg")
    return results, troubles


def _plan(options: argparse.Namespace, folder: Path) -> Plan:
    if options.short:
        return Plan(folder, sizes=(100, 200), rounds=1, seconds=1, groups=(100,), scrape_interval=1)
    return Plan(folder, tuple(sorted(set(options.heartbeats))), options.rounds, options.seconds, GROUPS, 15)


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f'"{text}" is not a whole number above 0')
    return int(text)


def _stop(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)  # as an exception, so that every process is ended


if __name__ == "__main__":
    sys.exit(main())
