"""What is reported: figures, each with what it should be."""

import operator
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias

Details: TypeAlias = dict[str, Any]
"""What is kept beside a figure in the JSON, ready for it."""


class Verdict(StrEnum):
    """How a figure compares with what it should be."""

    AIM = "aim reached"
    TARGET = "target reached"
    MISSED = "missed"
    UNJUDGED = "not judged"


@dataclass(frozen=True)
class Target:
    """What a figure should be."""

    text: str
    """What the figure is."""
    at_least: bool
    """Whether more is better, else less is."""
    bound: float
    aim: float
    unit: str = ""
    """Of the values: a factor of two sides has none."""
    heartbeats: int | None = None
    """The number for which it is stated; None: any."""

    @property
    def sign(self) -> str:
        """Stands before the bound."""
        return "≥" if self.at_least else "≤"


LARGE = 100_000

BARE = Target("pings/s ÷ bare aiohttp handler's, 64 connections", True, 0.6, 0.85, heartbeats=10_000)
PUSHGATEWAY = Target("pings/s ÷ Pushgateway's pushes/s, as many groups", True, 25, 50, heartbeats=1_000)
GROWTH = Target("pings/s at the largest ÷ at the smallest number", True, 0.9, 1, heartbeats=LARGE)
ONE_PERCENT_PLAIN = Target("generate_latest ÷ scrape, 1 % pinged, plain", True, 30, 100, heartbeats=LARGE)
ONE_PERCENT_GZIP = Target("generate_latest + gzip ÷ scrape, 1 % pinged, gzip", True, 30, 100, heartbeats=LARGE)
ALL_PLAIN = Target("generate_latest ÷ scrape, all pinged, plain", True, 4, 8, heartbeats=LARGE)
ALL_GZIP = Target("generate_latest + gzip ÷ scrape, all pinged, gzip", True, 4, 8, heartbeats=LARGE)
SCRAPED = Target("p99 of a ping during back-to-back scrapes ÷ without, 500 pings/s", False, 3, 1.5, heartbeats=LARGE)
SCRAPED_FULL = Target("p99 of a ping during back-to-back scrapes ÷ without, full load", False, 3, 1.5, heartbeats=LARGE)
HOLD = Target("longest hold of the event loop during scrapes, 500 pings/s", False, 20, 5, "ms", LARGE)
HOLD_FULL = Target("longest hold of the event loop during scrapes, full load", False, 20, 5, "ms", LARGE)
MEMORY = Target("resident memory after scrapes in both encodings", False, 800, 400, "MB", LARGE)
START = Target("start to ready, warm store", False, 20, 8, "s", LARGE)
RELOAD = Target("p99 of a ping during a reload, 500 pings/s", False, 250, 50, "ms", LARGE)
PROMETHEUS = Target("scrape_duration_seconds of a real Prometheus", False, 5, 2, "s", LARGE)


@dataclass(frozen=True)
class Figure:
    """A figure as it was measured."""

    target: Target
    heartbeats: int
    values: Sequence[float]
    """One of each round."""
    note: str
    """What a reader wants to know beside it."""
    details: Details

    @property
    def value(self) -> float:
        """The median."""
        return statistics.median(self.values)

    def verdict(self, *, judged: bool) -> Verdict:
        """How it compares; figures of another number of heartbeats than the stated one are not judged."""
        target = self.target
        if not judged or target.heartbeats not in (None, self.heartbeats):
            return Verdict.UNJUDGED
        reaches = operator.ge if target.at_least else operator.le
        if reaches(self.value, target.aim):
            return Verdict.AIM
        return Verdict.TARGET if reaches(self.value, target.bound) else Verdict.MISSED

    def as_json(self, *, judged: bool) -> Details:
        """All of it."""
        return {
            **asdict(self.target),
            "measured_at": self.heartbeats,
            "median": self.value,
            "least": min(self.values),
            "greatest": max(self.values),
            "rounds": list(self.values),
            "verdict": self.verdict(judged=judged).value,
            "note": self.note,
            "details": self.details,
        }


@dataclass(frozen=True)
class Curve:
    """What something costs at some sizes, for the plot; seconds."""

    label: str
    points: Mapping[int, Sequence[float]]
    """The values of the rounds, by the number of heartbeats or groups."""

    def as_json(self) -> Details:
        """All of it, medians first."""
        return {
            "label": self.label,
            "points": [
                {"size": size, "median": statistics.median(values), "rounds": list(values)}
                for size, values in sorted(self.points.items())
            ],
        }


@dataclass
class Results:
    """Everything that was measured."""

    figures: list[Figure] = field(default_factory=list)
    ping_curves: list[Curve] = field(default_factory=list)
    """Seconds per ping, or per push."""
    scrape_curves: list[Curve] = field(default_factory=list)
    """Seconds per scrape."""


def middle(values: Sequence[float], factor: float = 1) -> str:
    """Their median, times a factor, for people: three digits that count, and all before the point."""
    return number(statistics.median(values) * factor)


def number(value: float) -> str:
    """A number for people: three digits that count, and all before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def ratios(over: Sequence[float], under: Sequence[float]) -> list[float]:
    """One of each round."""
    return [upper / lower for upper, lower in zip(over, under, strict=True)]
