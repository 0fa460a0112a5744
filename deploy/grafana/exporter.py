"""The dashboard on the exporter itself: is the watcher well?"""

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.builders.stat import Panel as StatPanel
from grafana_foundation_sdk.builders.statetimeline import Panel as StateTimelinePanel
from grafana_foundation_sdk.builders.table import Panel as TablePanel
from grafana_foundation_sdk.builders.timeseries import Panel as TimeseriesPanel
from grafana_foundation_sdk.models.common import BigValueColorMode

from deploy.grafana.parts import (
    EXPORTER,
    FROM_NOW,
    NEVER_TEXT,
    Shelf,
    bars,
    begin,
    graph,
    label_variable,
    lay_out,
    lines,
    now,
    row_of,
    shown_as,
    stat,
    steps,
    table,
    timeline,
)

REPLICA = 'job=~"$job", instance=~"$instance"'

GOOD_OR_BAD = shown_as({0: ("no", "red"), 1: ("yes", "green")})
QUANTILES = (0.5, 0.9, 0.99)


def dashboard() -> Dashboard:
    """The dashboard Heartbeat exporter."""
    begun = begin(
        EXPORTER,
        "Whether the exporter itself is well: what it was asked, how fast it answered, its store, its outages.",
        "now-6h",
        [
            label_variable("job", "Job", "heartbeat_exporter_build_info"),
            label_variable("instance", "Instance", 'heartbeat_exporter_build_info{job=~"$job"}'),
        ],
    )
    wellness = (replicas(), store(), reloaded(), last_reload(), last_outage(), outage_length())
    return lay_out(
        begun,
        [
            Shelf("", 4, [(4, panel) for panel in wellness]),
            Shelf("", 6, [(16, availability()), (8, statuses())]),
            Shelf("Pings", 8, [(12, received()), (12, rejected())]),
            Shelf("", 8, [(12, latency()), (12, answers())]),
            Shelf("Store", 8, [(12, commit_latency()), (12, batch_size())]),
            Shelf("Process", 8, [(8, memory()), (8, processor()), (8, descriptors())]),
            Shelf("", 5, [(24, versions())]),
        ],
    )


def _series(name: str, *more: str) -> str:
    return f"{name}{{{', '.join([REPLICA, *more])}}}"


def _rate(name: str, *more: str) -> str:
    return f"rate({_series(name, *more)}[$__rate_interval])"


def _quantiles(name: str, by: str, legend: str, *more: str) -> list[tuple[str, str]]:
    """A query and a legend for each of some quantiles of a histogram."""
    labels = ", ".join(filter(None, ("le", by)))
    buckets = _rate(f"{name}_bucket", *more)
    return [
        (f"histogram_quantile({quantile}, sum by ({labels}) ({buckets}))", f"{legend}{quantile:.0%}")
        for quantile in QUANTILES
    ]


def replicas() -> StatPanel:
    """How many replicas are up."""
    return stat("Replicas up", "How many exporters can be scraped.", "short", now(f"sum({_series('up')})")).thresholds(
        steps({None: "red", 1: "green"})
    )


def store() -> StatPanel:
    """Whether every store works."""
    return (
        stat(
            "Every store works",
            "Whether the stores of all replicas work. While one does not, its replica refuses pings and shows "
            "nothing of any heartbeat.",
            "none",
            now(f"min({_series('heartbeat_exporter_store_up')})"),
        )
        .mappings(GOOD_OR_BAD)
        .color_mode(BigValueColorMode.BACKGROUND_SOLID)
    )


def reloaded() -> StatPanel:
    """Whether the configuration was good."""
    return (
        stat(
            "Configuration is good",
            "Whether all replicas took the configuration when they last read it. One that did not works on with the "
            "one before.",
            "none",
            now(f"min({_series('heartbeat_exporter_config_last_reload_successful')})"),
        )
        .mappings(GOOD_OR_BAD)
        .color_mode(BigValueColorMode.BACKGROUND_SOLID)
    )


def last_reload() -> StatPanel:
    """When a good configuration was read."""
    return stat(
        "Configuration read",
        "When a good configuration was last read, by the replica that has done so longest ago.",
        "dateTimeFromNow",
        now(f"1000 * min({_series('heartbeat_exporter_config_last_reload_success_timestamp_seconds')})"),
    ).mappings(NEVER_TEXT)


def last_outage() -> StatPanel:
    """When pings could not be heard last."""
    return stat(
        "Last outage ended",
        "When the last span ended in which pings could not be heard. Every restart is one, however short.",
        "dateTimeFromNow",
        now(f"1000 * max({_series('heartbeat_exporter_last_outage_end_timestamp_seconds')})"),
    ).mappings(NEVER_TEXT)


def outage_length() -> StatPanel:
    """How long pings could not be heard last."""
    end, start = (_series(f"heartbeat_exporter_last_outage_{edge}_timestamp_seconds") for edge in ("end", "start"))
    return stat(
        "Last outage lasted",
        "How long the last outage was. Deadlines in it, and in the outage_grace after it, are moved behind it.",
        "dtdurations",
        now(f"max({end} - {start})"),
    ).thresholds(steps({None: "text", 60: "orange"}))


def availability() -> StateTimelinePanel:
    """Which replicas were up, with a working store."""
    return (
        timeline(
            "Up, and with a working store",
            "Which exporters could be scraped, and whose store worked.",
            graph(_series("up"), "{{instance}}"),
            graph(_series("heartbeat_exporter_store_up"), "{{instance}} store"),
        )
        .mappings(GOOD_OR_BAD)
        .per_page(20)
    )


def statuses() -> TimeseriesPanel:
    """How many heartbeats there are."""
    return lines(
        "Heartbeats by status",
        "How many heartbeats are watched, by status. Absent while the store is down.",
        "short",
        graph(f"max by (status) ({_series('heartbeat_exporter_heartbeats')})", "{{status}}"),
    )


def received() -> TimeseriesPanel:
    """Pings by replica."""
    return lines(
        "Pings received",
        "Requests to ping URLs, whatever their answer.",
        "reqps",
        graph(f"sum by (instance) ({_rate('heartbeat_exporter_pings_received_total')})", "{{instance}}"),
    )


def rejected() -> TimeseriesPanel:
    """Pings that were not taken."""
    return lines(
        "Pings rejected",
        "Requests to ping URLs that were not taken. unknown, bad_request and method are mistakes of the caller, who "
        "may believe that it is watched; store and overload are ours.",
        "reqps",
        graph(f"sum by (reason) ({_rate('heartbeat_exporter_pings_rejected_total')})", "{{reason}}"),
    )


def latency() -> TimeseriesPanel:
    """How long requests took."""
    name = "heartbeat_exporter_http_request_duration_seconds"
    queries = _quantiles(name, "handler", "{{handler}} ", 'handler=~"heartbeat|ping|metrics"')
    return lines(
        "Time to answer",
        "How long pings (heartbeat and ping, by their path) and scrapes (metrics) took to answer. A ping waits for "
        "the disk.",
        "s",
        *(graph(*query) for query in queries),
    )


def answers() -> TimeseriesPanel:
    """What requests were answered."""
    count = _rate("heartbeat_exporter_http_request_duration_seconds_count")
    return bars(
        "Answers",
        "All requests by what was asked and the status of the answer.",
        "reqps",
        graph(f"sum by (handler, code) ({count})", "{{handler}} {{code}}"),
    )


def commit_latency() -> TimeseriesPanel:
    """How long commits took."""
    return lines(
        "Time to commit",
        "How long the store took to make a batch of pings durable. It is about the time of the disk's flush.",
        "s",
        *(graph(*query) for query in _quantiles("heartbeat_exporter_store_commit_duration_seconds", "", "")),
    )


def batch_size() -> TimeseriesPanel:
    """How many pings a commit carried."""
    name = "heartbeat_exporter_store_commit_pings"
    return lines(
        "Pings per commit",
        "How many pings were made durable at once. It grows with load: what arrives during a commit is the next batch.",
        "short",
        graph(f"sum({_rate(f'{name}_sum')}) / sum({_rate(f'{name}_count')})", "average"),
        *(graph(*query) for query in _quantiles(name, "", "")),
    )


def memory() -> TimeseriesPanel:
    """Memory by replica."""
    return lines(
        "Memory",
        "Resident memory of the process.",
        "bytes",
        graph(_series("process_resident_memory_bytes"), "{{instance}}"),
    )


def processor() -> TimeseriesPanel:
    """Processor time by replica."""
    return lines(
        "Processor",
        "Share of one core that the process used.",
        "percentunit",
        graph(_rate("process_cpu_seconds_total"), "{{instance}}"),
    )


def descriptors() -> TimeseriesPanel:
    """File descriptors by replica."""
    return lines(
        "File descriptors",
        "Open files and connections, as a share of what the process may open.",
        "percentunit",
        graph(f"{_series('process_open_fds')} / {_series('process_max_fds')}", "{{instance}}"),
    )


def versions() -> TablePanel:
    """What runs, and since when."""
    return table(
        "Versions",
        "What runs where, and since when.",
        {
            "instance": [("displayName", "Instance")],
            "version": [("displayName", "Version")],
            "revision": [("displayName", "Revision")],
            "python_version": [("displayName", "Python")],
            "Value #B": [("displayName", "Started"), FROM_NOW],
            "job": [("displayName", "Job")],
        },
        row_of(
            f"max by (job, instance, version, revision, python_version) ({_series('heartbeat_exporter_build_info')})"
        ),
        row_of(f"1000 * max by (job, instance) ({_series('process_start_time_seconds')})"),
    )
