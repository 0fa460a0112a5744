"""The dashboards that ship, held against the rules for them; what their queries answer is in e2e."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import dashboard_checks as checks
import pytest
import query_checks
import yaml
from dashboard_checks import CHECKS, leads_to
from dashboards import FOLDER, Check, Complaint, Dashboard, committed, read
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard as SdkDashboard
from programs import printed

from deploy.generate import dashboards as generated

UIDS = {
    "heartbeats.json": "heartbeat-overview",
    "heartbeat.json": "heartbeat-detail",
    "heartbeat-exporter.json": "heartbeat-exporter",
}
"""Alerts, bookmarks and other dashboards hold these."""

COMMITTED = committed()
EACH_DASHBOARD = pytest.mark.parametrize("dashboard", COMMITTED.values(), ids=lambda dashboard: dashboard.uid)


class Deviation(NamedTuple):
    """Where a dashboard is meant not to keep a rule."""

    of: str
    """The dashboard's uid."""
    rule: Check
    complaint: str
    """What the rule says of it each time, without names and values."""
    why: str


DEVIATIONS = (
    *(
        Deviation(uid, rule, complaint, "replicas are one and the same heartbeat, so nobody chooses among them")
        for uid in ("heartbeat-overview", "heartbeat-detail")
        for rule, complaint in (
            (checks.instance_variable, "has no variable instance"),
            (query_checks.instance_matchers, "asks for series without instance=~"),
        )
    ),
    *(
        Deviation(
            "heartbeat-exporter",
            rule,
            "has all_value None, not '.+'",
            "up and process_… are there of other jobs too, and .+ would bring them all in",
        )
        for rule in (checks.job_variable, checks.instance_variable)
    ),
)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@EACH_DASHBOARD
def test_a_dashboard_keeps_every_rule_but_where_it_says_why_not(dashboard: Dashboard, check: Check) -> None:
    meant = [found.complaint for found in DEVIATIONS if (found.of, found.rule) == (dashboard.uid, check)]
    complaints = list(check(dashboard))
    assert [c for c in complaints if not any(c.what.startswith(complaint) for complaint in meant)] == []
    assert bool(complaints) is bool(meant), "a deviation that is declared is not there any more"


@EACH_DASHBOARD
def test_links_lead_to_dashboards_that_understand_them(dashboard: Dashboard) -> None:
    assert list(leads_to(COMMITTED.values())(dashboard)) == []


def test_each_dashboard_links_to_the_others() -> None:
    links = {
        uid: {link["url"].split("?")[0] for link in COMMITTED[name].document["links"]} for name, uid in UIDS.items()
    }
    assert links == {uid: {f"/d/{other}" for other in UIDS.values() if other != uid} for uid in UIDS.values()}


def test_uids_stay_as_they_are() -> None:
    assert {name: dashboard.uid for name, dashboard in COMMITTED.items()} == UIDS


def test_the_files_are_what_the_python_beside_them_makes() -> None:
    assert {file.name: text for file, text in generated().items()} == {
        file.name: file.read_text(encoding="utf-8") for file in FOLDER.iterdir()
    }


@EACH_DASHBOARD
def test_the_sdk_reads_and_writes_a_dashboard_without_loss(dashboard: Dashboard) -> None:
    register_default_plugins()
    document: Any = copy.deepcopy(dashboard.document)
    for annotation in document["annotations"].get("list", []):
        # The SDK knows only the targets of annotations that Grafana itself keeps, and no titles.
        del annotation["target"], annotation["titleFormat"]
    expected = copy.deepcopy(document)
    assert json.loads(json.dumps(SdkDashboard.from_json(document), cls=JSONEncoder)) == expected


@EACH_DASHBOARD
def test_annotations_ask_the_same_in_each_way_that_grafana_reads(dashboard: Dashboard) -> None:
    for annotation in dashboard.document["annotations"].get("list", []):
        assert annotation["expr"] == annotation["target"]["expr"]


def test_prometheus_itself_takes_every_query(tmp_path: Path) -> None:
    queries = [target.expr for dashboard in COMMITTED.values() for target in dashboard.targets]
    queries += [v.selector for dashboard in COMMITTED.values() for v in dashboard.variables if v.kind == "query"]
    rules = [
        {"record": f"query:{number}", "expr": query.replace("$__rate_interval", "1m")}
        for number, query in enumerate(queries)
    ]
    file = tmp_path / "queries.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    assert f"{len(queries)} rules found" in printed("promtool", "check", "rules", file)


class Broken(NamedTuple):
    """A change for the worse, and what is then said of the dashboard."""

    name: str
    change: Callable[[Any], object]
    check: Check
    complaint: Complaint
    file: str = "heartbeats.json"
    """Whose dashboard is changed."""


def _first(document: Any) -> Any:
    """The first panel: numbers by status."""
    return document["panels"][0]


def _asks(expr: str) -> Callable[[Any], object]:
    """A change of the first query."""
    return lambda document: _first(document)["targets"][0].update(expr=expr)


FIRST, QUERY = "Heartbeats by status", "Heartbeats by status, A"
JOB = '{job=~"$job"}'
BROKEN = (
    Broken(
        "another name for the data source",
        lambda d: d["templating"]["list"][0].update(name="prometheus"),
        checks.datasource_variable,
        Complaint("", "has these variables for data sources: [('prometheus', 'Data source', 'prometheus')]"),
    ),
    Broken(
        "a panel with a data source of one Grafana",
        lambda d: _first(d).update(datasource={"type": "prometheus", "uid": "P1"}),
        checks.datasources,
        Complaint(FIRST, "has the data source {'type': 'prometheus', 'uid': 'P1'}"),
    ),
    Broken(
        "a query with a data source of one Grafana",
        lambda d: _first(d)["targets"][0].update(datasource="Prometheus"),
        checks.datasources,
        Complaint(QUERY, "has the data source Prometheus"),
    ),
    Broken(
        "one job only",
        lambda d: d["templating"]["list"][1].update(multi=False),
        checks.job_variable,
        Complaint("$job", "has multi False, not True"),
    ),
    Broken(
        "a variable with the values of another label",
        lambda d: d["templating"]["list"][1].update(query="label_values(heartbeat_overdue, instance)"),
        checks.variable_queries,
        Complaint("$job", "has the values of instance"),
    ),
    Broken(
        "a variable of a metric that is not there",
        lambda d: d["templating"]["list"][1].update(query="label_values(heartbeat_late, job)"),
        checks.variable_queries,
        Complaint("$job", "takes its values from heartbeat_late"),
    ),
    Broken(
        "teams of other jobs",
        lambda d: d["templating"]["list"][2].update(query="label_values(heartbeat_overdue, team)"),
        checks.variables_of_the_job,
        Complaint("$team", "has values of all jobs"),
    ),
    Broken(
        "a variable that is read once",
        lambda d: d["templating"]["list"][1].update(refresh=1),
        checks.variables_are_fresh,
        Complaint("$job", "is refreshed by 1, not by 2"),
    ),
    Broken("no title", lambda d: _first(d).update(title=""), checks.titles, Complaint("panel 1", "has no title")),
    Broken(
        "no description",
        lambda d: _first(d).update(description=""),
        checks.titles,
        Complaint(FIRST, "has no description"),
    ),
    Broken(
        "no unit",
        lambda d: _first(d)["fieldConfig"]["defaults"].pop("unit"),
        checks.units,
        Complaint(FIRST, "has the unit None"),
    ),
    Broken("no query", lambda d: _first(d).update(targets=[]), checks.targets, Complaint(FIRST, "has no query")),
    Broken(
        "two queries of one name",
        lambda d: _first(d)["targets"][1].update(refId="A"),
        checks.ref_ids,
        Complaint(FIRST, "has several queries A"),
    ),
    Broken(
        "a rate over a length of its own",
        _asks(f"rate(heartbeat_pings_total{JOB}[5m])"),
        query_checks.rate_intervals,
        Complaint(QUERY, "has a rate that is not over [$__rate_interval]"),
    ),
    Broken(
        "a counter as it is",
        _asks(f"heartbeat_pings_total{JOB}"),
        query_checks.counters,
        Complaint(QUERY, "does not ask for the growth of heartbeat_pings_total, or it is no counter"),
    ),
    Broken(
        "the growth of a gauge",
        _asks(f"increase(heartbeat_overdue{JOB}[$__rate_interval])"),
        query_checks.counters,
        Complaint(QUERY, "does not ask for the growth of heartbeat_overdue, or it is no counter"),
    ),
    Broken(
        "a metric that is not there",
        _asks(f"heartbeat_late{JOB}"),
        query_checks.metrics,
        Complaint(QUERY, "asks for heartbeat_late, which does not exist"),
    ),
    Broken(
        "a query of every job",
        _asks("heartbeat_overdue"),
        query_checks.job_matchers,
        Complaint(QUERY, 'asks for series without job=~"$job"'),
    ),
    Broken(
        "a query of every instance",
        _asks(f"up{JOB}"),
        query_checks.instance_matchers,
        Complaint("Replicas up, A", 'asks for series without instance=~"$instance"'),
        "heartbeat-exporter.json",
    ),
    Broken(
        "no way to choose an instance",
        lambda d: d["templating"]["list"].pop(2),
        checks.instance_variable,
        Complaint("", "has no variable instance"),
        "heartbeat-exporter.json",
    ),
    Broken("editable", lambda d: d.update(editable=True), checks.not_editable, Complaint("", "can be edited")),
    Broken("an input", lambda d: d.update(__inputs=[]), checks.portable, Complaint("", "has __inputs")),
    Broken(
        "two panels of one number",
        lambda d: _first(d).update(id=2),
        checks.numbers,
        Complaint("", "has several panels with the number 2"),
    ),
    Broken(
        "a panel over another",
        lambda d: _first(d)["gridPos"].update(h=5),
        checks.grid,
        Complaint(FIRST, "overlaps Overdue and failed now"),
    ),
    Broken(
        "a panel beyond the edge",
        lambda d: _first(d)["gridPos"].update(x=1),
        checks.grid,
        Complaint(FIRST, "does not stand on the grid: Place(x=1, y=0, width=24, height=4)"),
    ),
    Broken(
        "a variable that nobody can choose",
        _asks('heartbeat_overdue{job=~"$job", cluster="$cluster"}'),
        checks.variables_exist,
        Complaint("", "uses $cluster, which is no variable"),
    ),
    Broken(
        "a variable that changes nothing",
        lambda d: d["templating"]["list"].append({"name": "cluster", "type": "custom"}),
        checks.variables_are_used,
        Complaint("$cluster", "is used by nothing that is shown"),
    ),
    Broken(
        "a colour for a series that is not there",
        lambda d: _first(d)["fieldConfig"]["overrides"][0]["matcher"].update(options="gone"),
        checks.overrides,
        Complaint(FIRST, "says something of byName gone"),
    ),
    Broken(
        "a table sorted by what it does not show",
        lambda d: d["panels"][1]["options"]["sortBy"][0].update(displayName="Age"),
        checks.columns,
        Complaint("Overdue and failed now", "is sorted by Age"),
    ),
    Broken(
        "a link to nowhere",
        lambda d: d["links"][0].update(url="/d/gone?var-datasource=x"),
        leads_to(COMMITTED.values()),
        Complaint("", "links to /d/gone, which does not exist"),
    ),
    Broken(
        "a link that sets what is not there",
        lambda d: d["links"][0].update(url="/d/heartbeat-detail?var-datasource=x&var-team=y"),
        leads_to(COMMITTED.values()),
        Complaint("", "sets var-team, which /d/heartbeat-detail does not have"),
    ),
    Broken(
        "a link that sets one heartbeat to all of them",
        lambda d: d["links"][0].update(url="/d/heartbeat-detail?var-datasource=x&${heartbeat:queryparam}"),
        leads_to(COMMITTED.values()),
        Complaint("", "sets var-heartbeat to what may be all, of which /d/heartbeat-detail shows one"),
    ),
)


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.name)
def test_what_is_wrong_with_a_dashboard_is_noticed(broken: Broken) -> None:
    document = copy.deepcopy(COMMITTED[broken.file].document)
    assert broken.complaint not in list(broken.check(read(document)))
    broken.change(document)
    assert broken.complaint in list(broken.check(read(document)))


def test_every_check_is_seen_to_notice_something() -> None:
    assert set(CHECKS) - {broken.check for broken in BROKEN} == {query_checks.promql}


def test_what_is_no_promql_is_noticed() -> None:
    document = copy.deepcopy(COMMITTED["heartbeats.json"].document)
    _asks("sum(")(document)
    (complaint,) = query_checks.promql(read(document))
    assert complaint.where == QUERY
    assert complaint.what.startswith("is no PromQL: ")
