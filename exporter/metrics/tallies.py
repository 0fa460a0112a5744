"""Counters and histograms that cost next to nothing to keep: plain numbers on one thread, without locks or labels to be
found, which become families of prometheus_client only when somebody asks for them, from whichever thread.
"""

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate
from typing import TypeAlias

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from exporter.metrics.catalogue import Metric as Described

Labels: TypeAlias = tuple[str, ...]
"""The values of a family's labels, in the order in which the catalogue has their names."""


class Tally(Collector):
    """A counter without labels."""

    def __init__(self, described: Described) -> None:
        self._described = described
        self.count = 0

    def collect(self) -> Iterator[Metric]:
        """The family as it stands."""
        yield CounterMetricFamily(self._described.name, self._described.help, value=self.count)


class Distribution:
    """The observations that share one set of labels: how many fell into each bucket, and their sum."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        """``bounds``: the upper bounds of the buckets, but for the last, which has none."""
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def read(self) -> tuple[list[tuple[str, float]], float]:
        """Of each bucket its bound and how many values are no larger, and the sum of all."""
        bounds = [*map(floatToGoString, self._bounds), "+Inf"]
        return list(zip(bounds, accumulate(self._counts.copy()), strict=True)), self._sum


class Distributions(Collector):
    """A histogram with labels."""

    def __init__(self, described: Described, bounds: tuple[float, ...]) -> None:
        self._described = described
        self._bounds = bounds
        self._distributions: dict[Labels, Distribution] = {}

    def labelled(self, labels: Labels) -> Distribution:
        """Where values with these labels are counted."""
        return self._distributions.setdefault(labels, Distribution(self._bounds))

    def collect(self) -> Iterator[Metric]:
        """The family as it stands."""
        family = HistogramMetricFamily(self._described.name, self._described.help, labels=self._described.labels)
        for labels, distribution in list(self._distributions.items()):
            family.add_metric(labels, *distribution.read())
        yield family
