"""The page of metrics as prometheus_client's own encoders write it."""

from collections.abc import Callable, Iterator

from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from exporter.heartbeat import Status, Survey
from exporter.metrics.catalogue import OF_HEARTBEATS, HeartbeatMetric
from exporter.metrics.negotiation import Format

ENCODERS: dict[Format, Callable[[Collector], bytes]] = {
    Format.TEXT: generate_latest,
    Format.OPENMETRICS: openmetrics.generate_latest,
}


class OfOurOwn:
    """Stands for the exporter's own metrics where their values have to stay the same."""

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("own_level", 'A "level".', value=0.25)
        yield CounterMetricFamily("own_events", "Events.", value=3)
        yield HistogramMetricFamily("own_wait_seconds", "Wait.", buckets=[("1.0", 2), ("+Inf", 3)], sum_value=4.5)


class StockPage(OfOurOwn):
    """The families of a page for prometheus_client's encoders."""

    def __init__(self, survey: Survey | None) -> None:
        self._survey = survey

    def collect(self) -> Iterator[Metric]:
        if self._survey is not None:
            families = (self._of_heartbeats(metric, self._survey) for metric in OF_HEARTBEATS)
            yield from (family for family in families if family.samples)
            yield self._by_status(self._survey)
        yield from super().collect()

    def _of_heartbeats(self, metric: HeartbeatMetric, survey: Survey) -> Metric:
        family = Metric(metric.name.removesuffix("_total"), metric.help, metric.type.value)
        for observation in survey.observations:
            heartbeat = observation.heartbeat
            for series in metric.series:
                value = series.value(observation)
                if value is not None:
                    labels = {"heartbeat": heartbeat.name, **dict(heartbeat.labels), **dict(series.labels(heartbeat))}
                    family.add_sample(metric.name, labels, value / 1000 if metric.in_seconds else value)
        return family

    def _by_status(self, survey: Survey) -> Metric:
        family = GaugeMetricFamily(
            "heartbeat_exporter_heartbeats",
            "Heartbeats by status, each counted once; absent while the store is down.",
            labels=["status"],
        )
        for status in Status:
            family.add_metric([status.value], sum(o.assessment.status is status for o in survey.observations))
        return family
