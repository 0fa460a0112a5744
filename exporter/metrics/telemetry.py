"""The exporter's own metrics: what it was asked, how long that took, and how it fares."""

import platform
from enum import StrEnum

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector

from exporter.heartbeat import NEVER, Outage
from exporter.metrics import catalogue
from exporter.metrics.tallies import Distribution, Distributions, Tally
from exporter.schedule import SECOND, Moment

REQUEST_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds. A ping is answered in some milliseconds; whoever waits for ten seconds is waiting for the store, or sends
its own request slowly, and most clients have given up by then."""

COMMIT_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Seconds. A commit lasts about as long as the disk's flush: well under a millisecond with a cache that survives power
loss, some to tens of milliseconds on other disks; from a second on something is wrong with it."""

BATCH_BUCKETS = tuple(float(2**power) for power in range(13))
"""Pings, from 1 to 4096, each bound twice the one before: a quiet exporter commits one by one, and only one that is
hit by everybody at the full hour gathers thousands."""

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"})
"""The methods that are told apart. All others count as ``other``, or clients could make series at will."""


class Rejection(StrEnum):
    """Why a request to a ping URL was not taken."""

    UNKNOWN = "unknown"
    BAD_REQUEST = "bad_request"
    METHOD = "method"
    TIMEOUT = "timeout"
    STORE = "store"
    OVERLOAD = "overload"


def _counter(metric: catalogue.Metric, registry: CollectorRegistry) -> Counter:
    return Counter(metric.name, metric.help, metric.labels, registry=registry)


def _gauge(metric: catalogue.Metric, registry: CollectorRegistry) -> Gauge:
    return Gauge(metric.name, metric.help, metric.labels, registry=registry)


def _histogram(metric: catalogue.Metric, buckets: tuple[float, ...], registry: CollectorRegistry) -> Histogram:
    return Histogram(metric.name, metric.help, metric.labels, registry=registry, buckets=buckets)


class Telemetry:
    """Counts what the process does, in a `registry` of its own.

    What comes with every request is told on the event loop's thread only, and counted without locks; all else may be
    told, and all of it read, on any thread.

    It starts out with nothing counted, the store down and no configuration read.
    """

    def __init__(self, version: str, revision: str) -> None:
        registry = self.registry = CollectorRegistry(auto_describe=True)
        build = _gauge(catalogue.BUILD_INFO, registry)
        build.labels(version=version, revision=revision, python_version=platform.python_version()).set(1)
        self._config_successful = _gauge(catalogue.CONFIG_SUCCESSFUL, registry)
        self._config_success_at = _gauge(catalogue.CONFIG_SUCCESS_AT, registry)
        self._pings_received = Tally(catalogue.PINGS_RECEIVED)
        registry.register(self._pings_received)
        rejected = _counter(catalogue.PINGS_REJECTED, registry)
        self._pings_rejected = {reason: rejected.labels(reason=reason.value) for reason in Rejection}
        self._requests = Distributions(catalogue.REQUESTS, REQUEST_BUCKETS)
        registry.register(self._requests)
        self._alike: dict[tuple[str, str, int], Distribution] = {}
        """Where the requests are counted that share their handler, their method as it was sent, and their status."""
        self._store_up = _gauge(catalogue.STORE_UP, registry)
        self._commit_duration = _histogram(catalogue.COMMIT_DURATION, COMMIT_BUCKETS, registry)
        self._commit_pings = _histogram(catalogue.COMMIT_PINGS, BATCH_BUCKETS, registry)
        self._outage_start = _gauge(catalogue.OUTAGE_START, registry)
        self._outage_end = _gauge(catalogue.OUTAGE_END, registry)
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)

    def ping_received(self) -> None:
        """A request to a ping URL came."""
        self._pings_received.count += 1

    def ping_rejected(self, reason: Rejection) -> None:
        """A request to a ping URL was not taken."""
        self._pings_rejected[reason].inc()

    def request_served(self, handler: str, method: str, code: int, seconds: float) -> None:
        """A request was answered with this status after so long; ``handler`` is our name for what was asked."""
        alike = self._alike.get((handler, method, code))
        if alike is None:
            alike = self._requests.labelled((handler, method if method in METHODS else "other", str(code)))
            if method in METHODS:
                self._alike[handler, method, code] = alike
        alike.observe(seconds)

    def commit_done(self, pings: int, seconds: float) -> None:
        """The store took so long to make that many pings durable."""
        self._commit_pings.observe(pings)
        self._commit_duration.observe(seconds)

    def store_up(self, up: bool) -> None:
        """The store works, or it does not."""
        self._store_up.set(up)

    def config_loaded(self, successful: bool, at: Moment) -> None:
        """The configuration was read, and was good or bad; a bad one does not move the time of the last good one."""
        self._config_successful.set(successful)
        if successful:
            self._config_success_at.set(at / SECOND)

    def outage_noted(self, outage: Outage | None) -> None:
        """The last outage is this one; None: there was none."""
        self._outage_start.set((NEVER if outage is None else outage.start) / SECOND)
        self._outage_end.set((NEVER if outage is None else outage.end) / SECOND)
