"""What the dashboards show of two replicas that have heard different things, asked as Grafana asks."""

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import pytest
import yaml
from dashboards import ALL, Chosen, Dashboard, Panel, Target, Variable, committed, substituted
from servers import Exporter, Prometheus, curl, eventually

from deploy.grafana.queries import CODES
from exporter.heartbeat import Status

JOB = "heartbeat-exporter"
OVERVIEW, DETAIL, EXPORTER = (committed()[f"{name}.json"] for name in ("heartbeats", "heartbeat", "heartbeat-exporter"))

SHOWN_SECONDS = 3
RID = "?rid=5c1dcf4e-93cb-4d6d-b7b3-2e0fd8d3a1f0"

CONFIG = """
heartbeats:
  - name: fine.v2
    description: Nightly dump of the orders
    runbook_url: https://wiki.example/fine
    interval: 1h
    max_runtime: 30m
    labels: {team: storage, severity: critical}
  - {name: busy, interval: 3h, max_runtime: 2h, labels: {team: storage}}
  - {name: late, interval: 1s, grace: 12h}
  - {name: missed, interval: 1s, grace: 0s}
  - {name: stuck, interval: 1h, max_runtime: 1s}
  - {name: broken, interval: 1s, grace: 0s, labels: {severity: info}}
  - name: failing
    description: Invoices
    runbook_url: https://wiki.example/failing
    interval: 1h
    labels: {team: payments, severity: warning}
  - {name: new, interval: 1h}
  - {name: talking, interval: 1h}
  - {name: paused, interval: 1h, paused: true}
  - {name: recovered, interval: 1h}
  - {name: ended, interval: 1h, max_runtime: 1s}
"""
STATUSES = {
    "fine.v2": Status.UP,
    "busy": Status.UP,
    "late": Status.LATE,
    "missed": Status.OVERDUE,
    "stuck": Status.OVERDUE,
    "broken": Status.OVERDUE,  # and failed, which is not counted then
    "failing": Status.FAILED,
    "new": Status.NEW,
    "talking": Status.NEW,
    "paused": Status.PAUSED,
    "recovered": Status.UP,  # one replica has not heard of the success
    "ended": Status.UP,  # and not of this one
}
FIRST_PINGS = {"fine.v2": [f"/start{RID}", RID], "late": [""]}
PINGS = {
    "fine.v2": [f"/start{RID}", f"/0{RID}", "/log"],
    "busy": ["", "/start"],
    "late": [""],
    "missed": [""],
    "stuck": ["/start"],
    "broken": ["/1"],
    "failing": ["", "/fail", "/3", "/3"],
    "talking": ["/log"],
    "paused": [""],
    "recovered": ["/fail"],
    "ended": ["/start"],
}
HEARD_BY_ONE = ("recovered", "ended")

BAD = {name for name, status in STATUSES.items() if status in {Status.OVERDUE, Status.FAILED}}
ALERTS = {
    *(("HeartbeatOverdue", name) for name, status in STATUSES.items() if status is Status.OVERDUE),
    ("HeartbeatFailed", "broken"),
    ("HeartbeatFailed", "failing"),
    ("HeartbeatFailedRepeatedly", "failing"),
    ("HeartbeatExporterRejectsPings", ""),
}

CHOICES: Mapping[str, list[Mapping[str, str]]] = {
    OVERVIEW.uid: [{}, {"job": JOB, "team": "payments", "severity": "warning", "heartbeat": "failing"}],
    DETAIL.uid: [{"heartbeat": "fine.v2"}, {"job": JOB, "heartbeat": "fine.v2"}],
    EXPORTER.uid: [{}, {"job": JOB, "instance": "replica"}],
}
"""What is chosen of a dashboard's variables: one value of some, all of the others."""

CHOSEN_FOR = {"annotation Overdue": {"heartbeat": "missed"}, "annotation Failed": {"heartbeat": "failing"}}
"""What else is chosen for queries that have nothing to show of what is well."""

EMPTY = {"annotation Grace": "an alert on a grace takes a week of check-ins"}
"""Queries that have no data here, and why."""


class Series(NamedTuple):
    """A series of an answer."""

    labels: Mapping[str, str]
    values: list[float]


@dataclass(frozen=True)
class Grafana:
    """Asks a Prometheus for what stands on dashboards that show a span of time."""

    prometheus: Prometheus
    start: float
    end: float
    instances: tuple[str, ...]

    def options(self, variable: Variable, choices: Mapping[str, Chosen]) -> tuple[str, ...]:
        """The values that a variable has, once others are chosen."""
        selector = substituted(variable.selector, choices)
        return tuple(self._data(f"label/{variable.values_of}/values", {"match[]": selector}, self._span))

    def choices(self, dashboard: Dashboard, chosen: Mapping[str, str]) -> dict[str, Chosen]:
        """The variables of a dashboard: one value of those that are named, all of the others."""
        choices: dict[str, Chosen] = {}
        for variable in dashboard.variables:
            if variable.kind == "query":
                value = chosen.get(variable.name, ALL).replace("replica", self.instances[0])
                choices[variable.name] = Chosen(variable, (value,), self.options(variable, choices))
        return choices

    def ask(self, target: Target, choices: Mapping[str, Chosen]) -> list[Series]:
        """The answer to a query."""
        # As long as the servers have run at most, so that every ping is in it.
        query = {"query": substituted(target.expr, choices, rate_interval="5m")}
        if target.instant:
            data = self._data("query", query, {"time": self.end})
            return [Series(found["metric"], [float(found["value"][1])]) for found in data["result"]]
        data = self._data("query_range", query, {**self._span, "step": 1})
        return [Series(found["metric"], [float(value) for _, value in found["values"]]) for found in data["result"]]

    def panel(self, dashboard: Dashboard, title: str, **chosen: str) -> list[list[Series]]:
        """The answers to the queries of a panel."""
        choices = self.choices(dashboard, chosen)
        return [self.ask(target, choices) for target in dashboard.panel(title).targets]

    @property
    def _span(self) -> dict[str, float]:
        return {"start": self.start, "end": self.end}

    def _data(self, path: str, query: Mapping[str, str], time: Mapping[str, float]) -> Any:
        return self.prometheus.json(f"/api/v1/{path}?{urlencode({**query, **time})}")["data"]


class Replica(NamedTuple):
    """An exporter, and its URLs for pings."""

    exporter: Exporter
    urls: Mapping[str, str]

    @property
    def instance(self) -> str:
        return f"127.0.0.1:{self.exporter.port}"

    def ping(self, pings: Mapping[str, list[str]]) -> None:
        """Ping as jobs of both kinds do."""
        for name, suffixes in pings.items():
            for suffix in suffixes:
                curl(self.urls[name] + suffix)
        curl(self.urls["late"].replace("/heartbeat/", "/ping/"))


@pytest.fixture(scope="module")
def grafana(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grafana]:
    """Two replicas and a Prometheus that has seen every status and alert."""
    with ExitStack() as stack:
        exporters = [
            stack.enter_context(Exporter(tmp_path_factory.mktemp(name), CONFIG)) for name in ("first", "second")
        ]
        folder = tmp_path_factory.mktemp("prometheus")
        prometheus = stack.enter_context(Prometheus(folder, exporters))
        scrape_itself_too(prometheus, folder / "prometheus.yaml")
        for server in (*exporters, prometheus):
            server.start()
        replicas = [Replica(exporter, exporter.urls()) for exporter in exporters]
        let_them_hear(replicas, prometheus)
        (start,) = prometheus.query("vector(time())")
        eventually("time is shown", lambda: prometheus.query("vector(time())")[0] > start + SHOWN_SECONDS, prometheus)
        yield Grafana(prometheus, start, start + SHOWN_SECONDS, tuple(replica.instance for replica in replicas))


def scrape_itself_too(prometheus: Prometheus, file: Path) -> None:
    """Let it have metrics that every process has from something else than an exporter."""
    config = yaml.safe_load(file.read_text())
    target = {"job_name": "prometheus", "static_configs": [{"targets": [f"127.0.0.1:{prometheus.port}"]}]}
    config["scrape_configs"].append(target)
    file.write_text(yaml.safe_dump(config))


def let_them_hear(replicas: list[Replica], prometheus: Prometheus) -> None:
    """Let both hear the same, except for two successes that only the first one hears."""

    def await_that(what: str, expression: str) -> None:
        eventually(what, lambda: prometheus.query(expression) == [1], prometheus)

    requests = "heartbeat_exporter_http_request_duration_seconds_count"
    await_that("all are scraped", "count(up == 1) == bool 3")
    for replica in replicas:
        replica.ping(FIRST_PINGS)
    # Growth is seen of what was there before.
    await_that("pings were seen", f'count({requests}{{handler=~"heartbeat|ping", code="200"}}) == bool 4')
    for replica in replicas:
        replica.ping(PINGS)
        assert replica.exporter.request("/ping/nobody-has-this-token").status == 404
    await_that("both miss an end", 'sum(heartbeat_overdue{heartbeat="ended"}) == bool 2')
    for name in HEARD_BY_ONE:
        curl(replicas[0].urls[name])
    for name, gauge in zip(HEARD_BY_ONE, ("failed", "overdue"), strict=True):
        await_that("one has heard more", f'sum(heartbeat_{gauge}{{heartbeat="{name}"}}) == bool 1')
    expected = {*ALERTS, ("HeartbeatPipelineWatchdog", "")}
    eventually("alerts fire", lambda: prometheus.firing() == expected, prometheus)
    prometheus.evaluate(3)  # so that the firing alerts are in the samples


def name_of(series: Series, legend: str) -> str:
    """How Grafana calls a series. Raises KeyError where the legend has a label that the series lacks."""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: series.labels[found[1]], legend)


def by_heartbeat(answer: list[Series]) -> dict[str, float]:
    """The last value of each heartbeat, of which there is only one series."""
    values = {series.labels["heartbeat"]: series.values[-1] for series in answer}
    assert len(values) == len(answer), "a heartbeat is there twice"
    return values


CASES = [
    pytest.param(dashboard, target, chosen, id=f"{dashboard.uid}: {target.where} ({', '.join(chosen) or 'all'})")
    for dashboard in (OVERVIEW, DETAIL, EXPORTER)
    for chosen in CHOICES[dashboard.uid]
    for target in dashboard.targets
]


@pytest.mark.parametrize(("dashboard", "target", "chosen"), CASES)
def test_every_query_has_data(
    grafana: Grafana, dashboard: Dashboard, target: Target, chosen: Mapping[str, str]
) -> None:
    answer = grafana.ask(target, grafana.choices(dashboard, {**chosen, **CHOSEN_FOR.get(target.where, {})}))
    assert bool(answer) is (target.where not in EMPTY)
    assert all(math.isfinite(value) for series in answer for value in series.values)


@pytest.mark.parametrize(("dashboard", "target", "chosen"), CASES)
def test_every_series_has_a_name_of_its_own(
    grafana: Grafana, dashboard: Dashboard, target: Target, chosen: Mapping[str, str]
) -> None:
    answer = grafana.ask(target, grafana.choices(dashboard, chosen))
    names = Counter(name_of(series, target.legend) for series in answer)
    assert target.legend == "__auto" or set(names.values()) <= {1}


@pytest.mark.parametrize(
    ("dashboard", "name"),
    [
        (dashboard, v.name)
        for dashboard in (OVERVIEW, DETAIL, EXPORTER)
        for v in dashboard.variables
        if v.kind == "query"
    ],
    ids=lambda value: value.uid if isinstance(value, Dashboard) else value,
)
def test_the_values_of_a_variable_are_those_that_there_are(grafana: Grafana, dashboard: Dashboard, name: str) -> None:
    expected = {
        "job": {JOB},
        "team": {"payments", "storage"},
        "severity": {"critical", "info", "warning"},
        "heartbeat": STATUSES.keys(),
        "instance": grafana.instances,
    }
    assert sorted(grafana.choices(dashboard, {})[name].options) == sorted(expected[name])


@pytest.mark.parametrize("status", Status)
def test_each_heartbeat_is_counted_once(grafana: Grafana, status: Status) -> None:
    panel = OVERVIEW.panel("Heartbeats by status")
    answers = grafana.panel(OVERVIEW, panel.title)
    counts = {target.legend: answer[0].values for target, answer in zip(panel.targets, answers, strict=True)}
    assert counts[status] == [list(STATUSES.values()).count(status)]


def test_each_heartbeat_has_one_strip_that_shows_its_status_and_leads_to_its_dashboard(grafana: Grafana) -> None:
    (strips,) = grafana.panel(OVERVIEW, "Status over time")
    assert by_heartbeat(strips) == {name: CODES[status] for name, status in STATUSES.items()}
    assert {strip.labels["job"] for strip in strips} == {JOB}


def test_several_heartbeats_can_be_chosen(grafana: Grafana) -> None:
    choices = grafana.choices(OVERVIEW, {})
    heartbeats = Chosen(choices["heartbeat"].variable, ("fine.v2", "late"), choices["heartbeat"].options)
    (target,) = OVERVIEW.panel("Status over time").targets
    assert by_heartbeat(grafana.ask(target, {**choices, "heartbeat": heartbeats})).keys() == {"fine.v2", "late"}


def test_the_graph_of_what_needs_attention_ends_with_what_is_counted(grafana: Grafana) -> None:
    panel = OVERVIEW.panel("Heartbeats that need attention")
    answers = grafana.panel(OVERVIEW, panel.title)
    counts = {target.legend: answer[0].values[-1] for target, answer in zip(panel.targets, answers, strict=True)}
    assert counts == {status: list(STATUSES.values()).count(Status(status)) for status in counts}
    assert all(len(answer) == 1 for answer in answers)


def test_every_column_of_the_table_of_bad_ones_has_one_row_for_each_of_them(grafana: Grafana) -> None:
    statuses, since, last_seen, failures, infos = map(by_heartbeat, grafana.panel(OVERVIEW, "Overdue and failed now"))
    assert statuses == {name: CODES[STATUSES[name]] for name in BAD}
    assert since.keys() == last_seen.keys() == infos.keys() == BAD
    assert failures == {"missed": 0, "stuck": 0, "broken": 1, "failing": 3}


def test_those_that_became_bad_first_have_been_so_for_longest(grafana: Grafana) -> None:
    _, since, last_seen, *_ = map(by_heartbeat, grafana.panel(OVERVIEW, "Overdue and failed now"))
    shown = 1000 * grafana.end
    assert all(shown - 120_000 < moment < shown for moment in since.values())
    assert since["missed"] == pytest.approx(last_seen["missed"] + 1000, abs=1)


def test_the_alerts_that_fire_are_shown_once_each(grafana: Grafana) -> None:
    (rows,) = grafana.panel(OVERVIEW, "Alerts firing")
    assert sorted((row.labels["alertname"], row.labels.get("heartbeat", "")) for row in rows) == sorted(ALERTS)


@pytest.mark.parametrize("name", STATUSES)
def test_the_dashboard_of_a_heartbeat_shows_it_once(grafana: Grafana, name: str) -> None:
    choices = grafana.choices(DETAIL, {"heartbeat": name})
    for target in DETAIL.targets:
        answer = grafana.ask(target, choices)
        kinds = [(series.labels.get("signal"), series.labels.get("alertname")) for series in answer]
        assert len(set(kinds)) == len(kinds), target.where


@pytest.mark.parametrize(("name", "status"), STATUSES.items())
def test_the_dashboard_of_a_heartbeat_shows_its_status(grafana: Grafana, name: str, status: Status) -> None:
    (now,) = grafana.panel(DETAIL, "Status", heartbeat=name)
    over_time, _ = grafana.panel(DETAIL, "Status over time", heartbeat=name)
    assert by_heartbeat(now) == by_heartbeat(over_time) == {name: CODES[status]}


@pytest.mark.parametrize(("name", "running"), {"busy": 1, "stuck": 1, "fine.v2": 0, "ended": 0}.items())
def test_a_run_is_open_until_any_replica_has_heard_of_its_end(grafana: Grafana, name: str, running: int) -> None:
    _, runs = grafana.panel(DETAIL, "Status over time", heartbeat=name)
    assert by_heartbeat(runs) == {name: running}


@pytest.mark.parametrize(
    ("dashboard", "title"),
    [
        (dashboard, panel.title)
        for dashboard in (OVERVIEW, DETAIL, EXPORTER)
        for panel in dashboard.panels
        if panel.columns
    ],
)
def test_every_column_of_a_table_is_in_its_answers(grafana: Grafana, dashboard: Dashboard, title: str) -> None:
    panel = dashboard.panel(title)
    answers = grafana.panel(dashboard, title, **({"heartbeat": "fine.v2"} if dashboard is DETAIL else {}))
    labels = {label for answer in answers for series in answer for label in series.labels}
    assert {column for column in panel.columns if not column.startswith("Value")} <= labels


@pytest.mark.parametrize("panel", [panel for panel in EXPORTER.panels if panel.targets], ids=lambda panel: panel.title)
def test_the_dashboard_on_the_exporter_shows_nothing_of_other_processes(grafana: Grafana, panel: Panel) -> None:
    for answer in grafana.panel(EXPORTER, panel.title):
        assert {series.labels["instance"] for series in answer if "instance" in series.labels} <= set(grafana.instances)


def test_each_replica_is_counted_and_has_one_row(grafana: Grafana) -> None:
    assert [series.values for (series,) in grafana.panel(EXPORTER, "Replicas up")] == [[2]]
    for answer in grafana.panel(EXPORTER, "Versions"):
        assert sorted(series.labels["instance"] for series in answer) == sorted(grafana.instances)
