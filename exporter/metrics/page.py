"""The page of metrics, as bytes.

What prometheus_client's encoders would write for the same families, byte for byte. The heartbeats' families are
written here because there can be a million lines of them: the encoders spend most of their time on labels, and those
of a heartbeat change only with the configuration.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeAlias

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest as generate_text
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from exporter.heartbeat import Heartbeat, Name, Observation, Status, Survey
from exporter.metrics.catalogue import HEARTBEATS, OF_HEARTBEATS, HeartbeatMetric, Labels, Type
from exporter.metrics.negotiation import Format
from exporter.schedule import SECOND

_ENCODERS: dict[Format, Callable[[Collector], bytes]] = {
    Format.TEXT: generate_text,
    Format.OPENMETRICS: generate_openmetrics,
}

_write: Callable[[float], str] = floatToGoString
"""A sample's value as the encoders write it."""

_LABEL_SETS = tuple(dict.fromkeys(series.labels for metric in OF_HEARTBEATS for series in metric.series))
"""What series carry beside the heartbeat's own labels: for most families the same, namely nothing."""


class _Labelled(NamedTuple):
    """A heartbeat, and what stands between a name and a value in its lines, for each of _LABEL_SETS."""

    heartbeat: Heartbeat
    blocks: tuple[str, ...]


_Observed: TypeAlias = tuple[Observation, tuple[str, ...]]
"""An observation and the blocks of its heartbeat."""


class Page:
    """Renders surveys, and the exporter's own metrics beside them. May be called from any thread."""

    def __init__(self, own: Collector) -> None:
        self._own = own
        # Of the heartbeats in the last survey. Replaced, never changed, so renderings at the same time do not clash.
        self._labelled: dict[Name, _Labelled] = {}

    def render(self, survey: Survey | None, form: Format, names: frozenset[str] = frozenset()) -> bytes:
        """The page for what was surveyed; None: what was known of heartbeats is left out.

        With ``names`` only the samples with one of these names, as in prometheus_client's restricted registry: a
        counter goes by its ``_total``, a histogram's parts by their full names. Families without samples are left out.
        """
        rest = [*self._own.collect()]
        if survey is None:
            return _ENCODERS[form](_Selection(rest, names))
        metrics = [metric for metric in OF_HEARTBEATS if not names or metric.name in names]
        observed = self._label(survey.observations) if metrics else []
        families = [_render_family(metric, observed, form) for metric in metrics]
        rest.insert(0, _by_status(survey.observations))
        return b"".join([*families, _ENCODERS[form](_Selection(rest, names))])

    def _label(self, observations: Iterable[Observation]) -> list[_Observed]:
        """The observations with their blocks, of which those of a declaration that was there last time are kept."""
        known, labelled, observed = self._labelled, {}, []
        for observation in observations:
            heartbeat = observation.heartbeat
            found = known.get(heartbeat.name)
            if found is None or found.heartbeat is not heartbeat:
                blocks = tuple(_block(heartbeat, labels(heartbeat)) for labels in _LABEL_SETS)
                found = _Labelled(heartbeat, blocks)
            labelled[heartbeat.name] = found
            observed.append((observation, found.blocks))
        self._labelled = labelled
        return observed


class _Selection:
    """The samples of some families that go by one of the names (none: by any), as a collector.

    Without the times at which counters began: prometheus_client makes a series of each, which Go's client leaves out
    unless it is told otherwise, and which nothing reads.
    """

    def __init__(self, families: Iterable[Metric], names: frozenset[str]) -> None:
        self._families = families
        self._names = names

    def collect(self) -> Iterator[Metric]:
        for family in self._families:
            began = f"{family.name}_created"
            selected = Metric(family.name, family.documentation, family.type, family.unit)
            selected.samples = [
                sample
                for sample in family.samples
                if sample.name != began and (not self._names or sample.name in self._names)
            ]
            if selected.samples:
                yield selected


def _by_status(observations: Iterable[Observation]) -> Metric:
    """How many heartbeats have each status."""
    counts = Counter(observation.assessment.status for observation in observations)
    family = GaugeMetricFamily(HEARTBEATS.name, HEARTBEATS.help, labels=HEARTBEATS.labels)
    for status in Status:
        family.add_metric([status.value], counts[status])
    return family


def _render_family(metric: HeartbeatMetric, observed: Iterable[_Observed], form: Format) -> bytes:
    lines = "".join(_lines(metric, observed))
    # Encoded family by family, so that only one stands in memory as text and as lines.
    return f"{_header(metric, form)}{lines}".encode() if lines else b""


def _header(metric: HeartbeatMetric, form: Format) -> str:
    name = metric.name
    if metric.type is Type.COUNTER and form is Format.OPENMETRICS:
        name = name.removesuffix("_total")
    return f"# HELP {name} {metric.help}\n# TYPE {name} {metric.type}\n"


def _lines(metric: HeartbeatMetric, observed: Iterable[_Observed]) -> list[str]:
    """The samples of one family, of any number of heartbeats; each line depends on its own heartbeat alone."""
    name = metric.name
    write = _write_seconds if metric.in_seconds else _write
    series = [(series.value, _LABEL_SETS.index(series.labels)) for series in metric.series]
    # One comprehension over all heartbeats rather than a call for each: these lines are nearly all of the page.
    return [
        f"{name}{blocks[block]}{write(value)}\n"
        for observation, blocks in observed
        for read, block in series
        if (value := read(observation)) is not None
    ]


def _write_seconds(milliseconds: int) -> str:
    # The quotient is the double next to the exact decimal, and is written as the shortest decimal that is next to it.
    return _write(milliseconds / SECOND)


def _block(heartbeat: Heartbeat, labels: Labels) -> str:
    pairs = sorted([("heartbeat", heartbeat.name), *heartbeat.labels, *labels])
    written = ",".join(f'{name}="{_escape(value)}"' for name, value in pairs)
    return f"{{{written}}} "


def _escape(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
