import json
import re
from pathlib import Path

import pytest
from programs import printed

from exporter.heartbeat import NEVER, Assessment, Heartbeat, Name, Observation, Record, Run, Status
from exporter.metrics.catalogue import OF_EXPORTER, OF_HEARTBEATS, HeartbeatMetric, Metric, Type, markdown_tables
from exporter.schedule import HOUR, MINUTE, Cron, Interval

CONTRACT = {
    "heartbeat_last_seen_timestamp_seconds": "gauge",
    "heartbeat_last_success_timestamp_seconds": "gauge",
    "heartbeat_last_failure_timestamp_seconds": "gauge",
    "heartbeat_last_start_timestamp_seconds": "gauge",
    "heartbeat_due_timestamp_seconds": "gauge",
    "heartbeat_deadline_timestamp_seconds": "gauge",
    "heartbeat_overdue": "gauge",
    "heartbeat_failed": "gauge",
    "heartbeat_running": "gauge",
    "heartbeat_paused": "gauge",
    "heartbeat_consecutive_failures": "gauge",
    "heartbeat_last_duration_seconds": "gauge",
    "heartbeat_last_lateness_seconds": "gauge",
    "heartbeat_last_exit_status": "gauge",
    "heartbeat_max_runtime_seconds": "gauge",
    "heartbeat_pings_total{signal}": "counter",
    "heartbeat_info{schedule,timezone,description,runbook_url}": "gauge",
    "heartbeat_exporter_heartbeats{status}": "gauge",
    "heartbeat_exporter_build_info{version,revision,python_version}": "gauge",
    "heartbeat_exporter_config_last_reload_successful": "gauge",
    "heartbeat_exporter_config_last_reload_success_timestamp_seconds": "gauge",
    "heartbeat_exporter_pings_received_total": "counter",
    "heartbeat_exporter_pings_rejected_total{reason}": "counter",
    "heartbeat_exporter_http_request_duration_seconds{handler,method,code}": "histogram",
    "heartbeat_exporter_store_up": "gauge",
    "heartbeat_exporter_store_commit_duration_seconds": "histogram",
    "heartbeat_exporter_store_commit_pings": "histogram",
    "heartbeat_exporter_last_outage_start_timestamp_seconds": "gauge",
    "heartbeat_exporter_last_outage_end_timestamp_seconds": "gauge",
}
"""What dashboards and alert rules of others rely on: names, labels and types that no change may touch."""

ALL: tuple[Metric, ...] = (*OF_HEARTBEATS, *OF_EXPORTER)

DOCUMENTATION = Path(__file__).parents[2].joinpath("docs", "metrics.md").read_text(encoding="utf-8")

BACKUP = Heartbeat(
    Name("db-backup"),
    Cron("0 3 * * *", "Europe/Berlin"),
    timezone="Europe/Berlin",
    description="Nightly dump",
    runbook_url="https://wiki.example/db-backup",
    labels=(("team", "storage"),),
    max_runtime=2 * HOUR,
)
BUSY = Observation(
    BACKUP,
    Record(
        armed_at=1,
        schedule="",
        last_seen=4001,
        last_success=2001,
        last_failure=3001,
        last_start=4001,
        successes=7,
        failures=5,
        starts=13,
        logs=2,
        pings=29,
        consecutive_failures=3,
        run=Run(None, 4001),
        last_duration=61500,
        last_lateness=-250,
        last_exit_status=137,
    ),
    Assessment(Status.OVERDUE, 5001, 6001, overdue=True, failed=True, running=True),
)
UNHEARD = Observation(
    Heartbeat(Name("new"), Interval(HOUR), paused=True),
    Record(armed_at=1, schedule=""),
    Assessment(Status.PAUSED, None, None, overdue=False, failed=False, running=False),
)


def metric_named(name: str) -> HeartbeatMetric:
    return next(metric for metric in OF_HEARTBEATS if metric.name == name)


def test_the_catalogue_is_the_contract() -> None:
    spelled = {
        metric.name + ("{" + ",".join(metric.labels) + "}" if metric.labels else ""): metric.type.value
        for metric in ALL
    }

    assert spelled == CONTRACT
    assert len(ALL) == len(CONTRACT)


@pytest.mark.parametrize(
    ("name", "busy", "unheard"),
    [
        ("heartbeat_last_seen_timestamp_seconds", 4001, NEVER),
        ("heartbeat_last_success_timestamp_seconds", 2001, NEVER),
        ("heartbeat_last_failure_timestamp_seconds", 3001, NEVER),
        ("heartbeat_last_start_timestamp_seconds", 4001, NEVER),
        ("heartbeat_due_timestamp_seconds", 5001, None),
        ("heartbeat_deadline_timestamp_seconds", 6001, None),
        ("heartbeat_overdue", 1, 0),
        ("heartbeat_failed", 1, 0),
        ("heartbeat_running", 1, 0),
        ("heartbeat_paused", 0, 1),
        ("heartbeat_consecutive_failures", 3, 0),
        ("heartbeat_last_duration_seconds", 61500, None),
        ("heartbeat_last_lateness_seconds", -250, None),
        ("heartbeat_last_exit_status", 137, None),
        ("heartbeat_max_runtime_seconds", 2 * HOUR, None),
        ("heartbeat_info", 1, 1),
    ],
)
def test_a_gauge_shows_its_fact_and_nothing_where_there_is_none(
    name: str, busy: int | None, unheard: int | None
) -> None:
    (series,) = metric_named(name).series

    assert (series.value(BUSY), series.value(UNHEARD)) == (busy, unheard)


@pytest.mark.parametrize(
    ("observation", "pings"),
    [
        (BUSY, {"success": 7, "fail": 5, "start": 13, "log": 2}),
        (UNHEARD, {"success": 0, "fail": 0, "start": None, "log": None}),
    ],
)
def test_success_and_fail_are_always_counted_and_start_and_log_once_seen(
    observation: Observation, pings: dict[str, int | None]
) -> None:
    series = metric_named("heartbeat_pings_total").series

    assert {dict(s.labels(observation.heartbeat))["signal"]: s.value(observation) for s in series} == pings


def test_info_tells_what_was_declared() -> None:
    (series,) = metric_named("heartbeat_info").series

    assert dict(series.labels(BACKUP)) == {
        "schedule": "0 3 * * *",
        "timezone": "Europe/Berlin",
        "description": "Nightly dump",
        "runbook_url": "https://wiki.example/db-backup",
    }


@pytest.mark.parametrize(("minutes", "schedule"), [(60, "1h"), (90, "1h30m"), (7 * 24 * 60, "1w")])
def test_info_spells_a_schedule_in_one_way(minutes: int, schedule: str) -> None:
    (series,) = metric_named("heartbeat_info").series

    assert dict(series.labels(Heartbeat(Name("job"), Interval(minutes * MINUTE))))["schedule"] == schedule


@pytest.mark.parametrize("metric", OF_HEARTBEATS, ids=lambda metric: metric.name)
def test_a_heartbeats_series_carry_the_labels_that_the_catalogue_names(metric: HeartbeatMetric) -> None:
    assert {tuple(name for name, _ in series.labels(BACKUP)) for series in metric.series} == {metric.labels}


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: metric.name)
def test_only_counters_are_totals(metric: Metric) -> None:
    assert metric.name.endswith("_total") == (metric.type is Type.COUNTER)


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: metric.name)
def test_a_help_text_is_a_plain_sentence(metric: Metric) -> None:
    assert metric.help.endswith(".")
    assert not set(metric.help) & set('\\"\n|<`*')


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: metric.name)
def test_the_documentations_tables_have_a_row_for_every_metric(metric: Metric) -> None:
    (row,) = [line for line in markdown_tables().splitlines() if line.startswith(f"| `{metric.name}` |")]

    assert row.endswith(f"| {metric.help} |")
    assert f"| {metric.type.value} |" in row
    assert all(f"`{label}`" in row for label in metric.labels)


def test_the_documentation_names_no_metric_that_is_not_there() -> None:
    parts = {f"{metric.name}_bucket" for metric in ALL if metric.type is Type.HISTOGRAM}

    named = {name for name in re.findall(r"\bheartbeat_[a-z_]+", DOCUMENTATION) if not name.endswith("_")}

    assert named <= {metric.name for metric in ALL} | parts


def test_prometheus_understands_the_documentations_queries(tmp_path: Path) -> None:
    queries = re.findall(r"^```promql\n(.+?)^```", DOCUMENTATION, re.MULTILINE | re.DOTALL)
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(queries)]
    file = tmp_path / "rules.yaml"
    file.write_text(json.dumps({"groups": [{"name": "queries", "rules": rules}]}))  # JSON is YAML

    assert len(queries) >= 10
    printed("promtool", "check", "rules", file)
