"""The samples of heartbeats, as lines.

What prometheus_client's encoders would write, byte for byte. Written here because there can be millions of them: the
encoders spend most of their time on labels, and those of a heartbeat change only with the configuration.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple, TypeAlias

from prometheus_client.utils import floatToGoString

from exporter.heartbeat import Heartbeat, Observation
from exporter.metrics.catalogue import OF_HEARTBEATS, HeartbeatMetric, Labels, Type
from exporter.metrics.negotiation import Format
from exporter.schedule import SECOND

_go: Callable[[float], str] = floatToGoString
"""A sample's value as the encoders write it."""

_THIS_AGE = (10**12, 10**13)
"""From 2001 to 2286, in milliseconds."""

Values: TypeAlias = tuple[int | None, ...]
"""What a heartbeat's series show, in the order of SERIES; None: no sample."""


@lru_cache(maxsize=4096)
def _write(value: int) -> bytes:
    return f"{_go(value)}\n".encode()


@lru_cache(maxsize=4096)
def _write_seconds(milliseconds: int) -> bytes:
    if _THIS_AGE[0] <= milliseconds < _THIS_AGE[1]:
        # What the general way leads to, but several times as fast for what most of a page is: the times of our age.
        digits = str(milliseconds)
        return f"{f'{digits[0]}.{digits[1:]}'.rstrip('0.')}e+09\n".encode()
    # The quotient is the double next to the exact decimal, and is written as the shortest decimal that is next to it.
    return f"{_go(milliseconds / SECOND)}\n".encode()


class Series(NamedTuple):
    """One of the series that each heartbeat has, or may have."""

    family: int
    """Its family's place in OF_HEARTBEATS."""
    slot: int
    """Its place among those that a heartbeat has in the family."""
    slots: int
    """How many these are."""
    name: bytes
    labels: Callable[[Heartbeat], Labels]
    write: Callable[[int], bytes]
    """A value as it is written, with the end of its line."""


def _series() -> Iterator[Series]:
    for family, metric in enumerate(OF_HEARTBEATS):
        write = _write_seconds if metric.in_seconds else _write
        for slot, series in enumerate(metric.series):
            yield Series(family, slot, len(metric.series), metric.name.encode(), series.labels, write)


SERIES = tuple(_series())
"""In the order of the page."""

_READ = tuple(series.value for metric in OF_HEARTBEATS for series in metric.series)


def values_of(observation: Observation) -> Values:
    """What the heartbeat's series show."""
    return tuple([read(observation) for read in _READ])


def lines_of(heartbeat: Heartbeat, values: Iterable[int | None]) -> list[bytes]:
    """The lines of a heartbeat, in the order of SERIES; empty where there is no sample."""
    written: dict[Callable[[Heartbeat], Labels], bytes] = {}  # For most series the same, namely no labels of their own.
    lines: list[bytes] = []
    for series, value in zip(SERIES, values, strict=True):
        if value is None:
            lines.append(b"")
            continue
        labels = written.get(series.labels)
        if labels is None:
            labels = written[series.labels] = _write_labels(heartbeat, series.labels(heartbeat))
        lines.append(b"%b%b %b" % (series.name, labels, series.write(value)))
    return lines


def line_of(series: Series, heartbeat: Heartbeat, value: int) -> bytes:
    """One line of a heartbeat."""
    return b"%b%b %b" % (series.name, _write_labels(heartbeat, series.labels(heartbeat)), series.write(value))


def header_of(metric: HeartbeatMetric, form: Format) -> bytes:
    """What stands above a family's samples."""
    name = metric.name
    if metric.type is Type.COUNTER and form is Format.OPENMETRICS:
        name = name.removesuffix("_total")
    return f"# HELP {name} {metric.help}\n# TYPE {name} {metric.type}\n".encode()


def _write_labels(heartbeat: Heartbeat, labels: Labels) -> bytes:
    pairs = sorted([("heartbeat", heartbeat.name), *heartbeat.labels, *labels])
    written = ",".join(f'{name}="{_escape(value)}"' for name, value in pairs)
    return f"{{{written}}}".encode()


def _escape(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
