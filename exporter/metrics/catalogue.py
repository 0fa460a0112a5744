"""Every metric that the page can carry: its name, type, help and labels, and what it says of a heartbeat.

This is the one list: the page, the telemetry, the documentation's tables and the tests are made from it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from operator import attrgetter
from typing import TypeAlias

from exporter.heartbeat import Heartbeat, Observation, Signal

Labels: TypeAlias = tuple[tuple[str, str], ...]
"""Pairs of label name and value."""


class Type(StrEnum):
    """What a metric's values mean over time, in Prometheus's words."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """A family of series under one name."""

    name: str
    """As queries use it, so with a counter's ``_total``."""
    type: Type
    help: str
    """One plain line, without the characters that a format of ours would want escaped."""
    labels: tuple[str, ...] = ()
    """The label names that its series have, beside those that every series of a heartbeat has."""


@dataclass(frozen=True, slots=True)
class Series:
    """One series that each heartbeat has, or may have, in a family."""

    value: Callable[[Observation], int | None]
    """Its sample: milliseconds in a family whose name says ``_seconds``, else the number itself; None: no sample."""
    labels: Callable[[Heartbeat], Labels]
    """What it carries beside the heartbeat's name and the heartbeat's own labels."""


@dataclass(frozen=True, slots=True)
class HeartbeatMetric(Metric):
    """A family in which every heartbeat has its series."""

    series: tuple[Series, ...] = ()

    @property
    def in_seconds(self) -> bool:
        """Whether its values are moments or durations; the name says so, as Prometheus wants it to."""
        return self.name.endswith("_seconds")


def _no_labels(_: Heartbeat) -> Labels:
    return ()


def _gauge(name: str, text: str, value: Callable[[Observation], int | None]) -> HeartbeatMetric:
    return HeartbeatMetric(name, Type.GAUGE, text, series=(Series(value, _no_labels),))


def _pings(signal: Signal, value: Callable[[Observation], int | None]) -> Series:
    labels: Labels = (("signal", signal.value),)
    return Series(value, lambda _: labels)


def _info(heartbeat: Heartbeat) -> Labels:
    return (
        ("schedule", heartbeat.schedule.text),
        ("timezone", heartbeat.timezone),
        ("description", heartbeat.description),
        ("runbook_url", heartbeat.runbook_url),
    )


OF_HEARTBEATS: tuple[HeartbeatMetric, ...] = (
    _gauge(
        "heartbeat_last_seen_timestamp_seconds",
        "When the last ping of any signal came, as Unix time; 0: never.",
        attrgetter("record.last_seen"),
    ),
    _gauge(
        "heartbeat_last_success_timestamp_seconds",
        "When the last success came, as Unix time; 0: never.",
        attrgetter("record.last_success"),
    ),
    _gauge(
        "heartbeat_last_failure_timestamp_seconds",
        "When the last fail came, as Unix time; 0: never.",
        attrgetter("record.last_failure"),
    ),
    _gauge(
        "heartbeat_last_start_timestamp_seconds",
        "When the last start came, as Unix time; 0: never.",
        attrgetter("record.last_start"),
    ),
    _gauge(
        "heartbeat_due_timestamp_seconds",
        "When the next check-in is due, as Unix time; absent while it is paused, and when it is never due again.",
        attrgetter("assessment.due"),
    ),
    _gauge(
        "heartbeat_deadline_timestamp_seconds",
        "From when on it is overdue, as Unix time; absent while it is paused, and when there is no deadline.",
        attrgetter("assessment.deadline"),
    ),
    _gauge(
        "heartbeat_overdue",
        "Whether a check-in was missed: 1 from the deadline on, else 0.",
        attrgetter("assessment.overdue"),
    ),
    _gauge(
        "heartbeat_failed",
        "Whether as many check-ins in a row as its failure_threshold says were fails: 1 yes, 0 no.",
        attrgetter("assessment.failed"),
    ),
    _gauge(
        "heartbeat_running",
        "Whether a run is open, started and not ended yet: 1 yes, 0 no.",
        attrgetter("assessment.running"),
    ),
    _gauge(
        "heartbeat_paused",
        "Whether it is paused, watched by nobody for now and so neither overdue nor failed: 1 yes, 0 no.",
        attrgetter("heartbeat.paused"),
    ),
    _gauge(
        "heartbeat_consecutive_failures",
        "How many fails came since the last success.",
        attrgetter("record.consecutive_failures"),
    ),
    _gauge(
        "heartbeat_last_duration_seconds",
        "How long the last run took whose start and end are known; absent until there is one.",
        attrgetter("record.last_duration"),
    ),
    _gauge(
        "heartbeat_last_lateness_seconds",
        "How long after its due moment the last check-in came, negative if before; absent until known.",
        attrgetter("record.last_lateness"),
    ),
    _gauge(
        "heartbeat_last_exit_status",
        "The last exit status that a job sent; absent until one was sent.",
        attrgetter("record.last_exit_status"),
    ),
    _gauge(
        "heartbeat_max_runtime_seconds",
        "How long a run may take, from its start to its check-in; absent unless max_runtime is set.",
        attrgetter("heartbeat.max_runtime"),
    ),
    HeartbeatMetric(
        "heartbeat_pings_total",
        Type.COUNTER,
        "Pings, by signal: success and fail always, start and log once one has come.",
        ("signal",),
        series=(
            _pings(Signal.SUCCESS, attrgetter("record.successes")),
            _pings(Signal.FAIL, attrgetter("record.failures")),
            _pings(Signal.START, lambda o: o.record.starts or None),
            _pings(Signal.LOG, lambda o: o.record.logs or None),
        ),
    ),
    HeartbeatMetric(
        "heartbeat_info",
        Type.GAUGE,
        "What was declared of the heartbeat, in labels; always 1.",
        ("schedule", "timezone", "description", "runbook_url"),
        series=(Series(lambda _: 1, _info),),
    ),
)
"""In the order of the page."""

BUILD_INFO = Metric(
    "heartbeat_exporter_build_info",
    Type.GAUGE,
    "What is running, in labels; always 1.",
    ("version", "revision", "python_version"),
)
HEARTBEATS = Metric(
    "heartbeat_exporter_heartbeats",
    Type.GAUGE,
    "Heartbeats by status, each counted once; absent while the store is down.",
    ("status",),
)
CONFIG_SUCCESSFUL = Metric(
    "heartbeat_exporter_config_last_reload_successful",
    Type.GAUGE,
    "Whether the configuration was good when it was last read: 1 yes, 0 no, and the last good one is still in use.",
)
CONFIG_SUCCESS_AT = Metric(
    "heartbeat_exporter_config_last_reload_success_timestamp_seconds",
    Type.GAUGE,
    "When a good configuration was last read, as Unix time; 0: never.",
)
PINGS_RECEIVED = Metric(
    "heartbeat_exporter_pings_received_total",
    Type.COUNTER,
    "Requests to a ping URL, whatever their answer.",
)
PINGS_REJECTED = Metric(
    "heartbeat_exporter_pings_rejected_total",
    Type.COUNTER,
    "Requests to a ping URL that were not taken, by reason.",
    ("reason",),
)
REQUESTS = Metric(
    "heartbeat_exporter_http_request_duration_seconds",
    Type.HISTOGRAM,
    "How long requests took to answer.",
    ("handler", "method", "code"),
)
STORE_UP = Metric(
    "heartbeat_exporter_store_up",
    Type.GAUGE,
    "Whether the store works: 1 yes, 0 no, and then nothing is shown of any heartbeat.",
)
COMMIT_DURATION = Metric(
    "heartbeat_exporter_store_commit_duration_seconds",
    Type.HISTOGRAM,
    "How long the store took to make a batch of pings durable.",
)
COMMIT_PINGS = Metric(
    "heartbeat_exporter_store_commit_pings",
    Type.HISTOGRAM,
    "How many pings were made durable at once.",
)
OUTAGE_START = Metric(
    "heartbeat_exporter_last_outage_start_timestamp_seconds",
    Type.GAUGE,
    "When the last span began in which the exporter could not hear pings, as Unix time; 0: none yet.",
)
OUTAGE_END = Metric(
    "heartbeat_exporter_last_outage_end_timestamp_seconds",
    Type.GAUGE,
    "When the last span ended in which the exporter could not hear pings, as Unix time; 0: none yet.",
)

OF_EXPORTER: tuple[Metric, ...] = (
    HEARTBEATS,
    BUILD_INFO,
    CONFIG_SUCCESSFUL,
    CONFIG_SUCCESS_AT,
    PINGS_RECEIVED,
    PINGS_REJECTED,
    REQUESTS,
    STORE_UP,
    COMMIT_DURATION,
    COMMIT_PINGS,
    OUTAGE_START,
    OUTAGE_END,
)
"""In the order of the page, `process_*` and `python_info` aside, which are prometheus_client's."""


def markdown_tables() -> str:
    """The whole catalogue as Markdown, for the documentation."""
    return f"""\
Of every heartbeat, with the labels `heartbeat` (its name), its own labels, and those named here:

{_table(OF_HEARTBEATS)}

Of the exporter itself:

{_table(OF_EXPORTER)}

Beside these stand `process_*` (processor time, memory, file descriptors, start time) and `python_info`, as in every
exporter written in Python."""


def _table(metrics: Iterable[Metric]) -> str:
    rows = ["| metric | type | labels | value |", "|---|---|---|---|"]
    for metric in metrics:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        rows.append(f"| `{metric.name}` | {metric.type} | {labels} | {metric.help} |")
    return "\n".join(rows)
