"""The rules that ship, as Prometheus and its operator see them, and against the rest of the project."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from markdown_it import MarkdownIt
from programs import printed

from deploy.generate import PROMETHEUS_RULE, RULES, generated, main
from exporter.flags import DEFAULT_LISTEN_ADDRESS
from exporter.metrics.catalogue import OF_EXPORTER, OF_HEARTBEATS, Type

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
PROMETHEUS = DEPLOY / "prometheus"
RUNBOOKS = ROOT / "docs" / "alerts"
RUNBOOKS_URL = "https://heartbeat-exporter.example/docs/alerts"
GROUPS: list[dict[str, Any]] = yaml.safe_load((ROOT / RULES).read_text())["groups"]
ALERTS: list[dict[str, Any]] = [rule for group in GROUPS for rule in group["rules"] if "alert" in rule]
TEST_FILES = sorted((PROMETHEUS / "tests").glob("*.yaml"))
RULE_TESTS: list[dict[str, Any]] = [test for file in TEST_FILES for test in yaml.safe_load(file.read_text())["tests"]]

EACH_ALERT = pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])


def texts(node: Any) -> Iterator[str]:
    """Every key and value of a document, its comments left out."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from texts(key)
            yield from texts(value)
    elif isinstance(node, list):
        for value in node:
            yield from texts(value)
    else:
        yield str(node)


def expectations(alert: str) -> list[dict[str, Any]]:
    """What the rules' tests expect of an alert."""
    return [
        expected
        for test in RULE_TESTS
        for expected in test.get("alert_rule_test", [])
        if expected["alertname"] == alert
    ]


def headings(page: str) -> list[str]:
    """The headings of a page, each with its level as in Markdown."""
    tokens = MarkdownIt("commonmark").parse(page)
    opened = (position for position, token in enumerate(tokens) if token.type == "heading_open")
    return [f"{tokens[position].markup} {tokens[position + 1].content}" for position in opened]


def test_prometheus_takes_the_configuration_and_every_rule_file_with_it() -> None:
    checked = printed("promtool", "check", "config", "--lint=all", "--lint-fatal", PROMETHEUS / "prometheus.yaml")
    assert "SUCCESS: 1 rule files found" in checked


def test_prometheus_takes_the_rules() -> None:
    printed("promtool", "check", "rules", "--lint=all", "--lint-fatal", ROOT / RULES)


@pytest.mark.parametrize("file", TEST_FILES, ids=lambda file: file.stem)
def test_the_rules_do_what_their_tests_say(file: Path) -> None:
    printed("promtool", "test", "rules", file)


@EACH_ALERT
def test_every_alert_is_seen_to_fire_in_the_rules_tests(rule: dict[str, Any]) -> None:
    assert any(expected.get("exp_alerts") for expected in expectations(rule["alert"]))


@pytest.mark.parametrize(
    "rule", [rule for rule in ALERTS if rule["alert"] != "HeartbeatPipelineWatchdog"], ids=lambda rule: rule["alert"]
)
def test_every_alert_but_the_watchdog_is_seen_not_to_fire_in_the_rules_tests(rule: dict[str, Any]) -> None:
    assert any(not expected.get("exp_alerts") for expected in expectations(rule["alert"]))


@EACH_ALERT
def test_every_alert_has_a_severity_and_says_what_happened_and_where_to_look(rule: dict[str, Any]) -> None:
    assert "severity" in rule["labels"]
    assert rule["annotations"].keys() == {"summary", "description", "runbook_url", "dashboard_url"}


@pytest.mark.parametrize(
    "rule",
    [rule for group in GROUPS if group["name"] != "heartbeat-exporter" for rule in group["rules"] if "alert" in rule],
    ids=lambda rule: rule["alert"],
)
def test_alerts_on_heartbeats_name_the_heartbeat_and_open_its_dashboard(rule: dict[str, Any]) -> None:
    annotations = rule["annotations"]
    assert "{{ $labels.heartbeat }}" in annotations["summary"]
    assert "{{ $labels.heartbeat }}" in annotations["description"]
    assert "var-heartbeat={{ $labels.heartbeat | urlquery }}" in annotations["dashboard_url"]


@EACH_ALERT
def test_every_alert_has_a_runbook_of_the_same_form(rule: dict[str, Any]) -> None:
    name = rule["alert"]
    assert f"{RUNBOOKS_URL}/{name}.md" in rule["annotations"]["runbook_url"]
    page = (RUNBOOKS / f"{name}.md").read_text()
    assert headings(page) == [f"# {name}", "## Meaning", "## Impact", "## Diagnosis", "## Mitigation"]


def test_every_runbook_has_an_alert_and_is_linked_from_the_page_on_all() -> None:
    names = {rule["alert"] for rule in ALERTS}
    assert {file.stem for file in RUNBOOKS.glob("*.md")} == names | {"README"}
    index = (RUNBOOKS / "README.md").read_text()
    assert {name for name in names if f"[{name}]({name}.md)" in index} == names


@EACH_ALERT
def test_every_dashboard_that_an_alert_links_to_exists_with_the_variables_that_it_sets(rule: dict[str, Any]) -> None:
    uid, *variables = re.findall(r"(?:/d/|var-)([\w-]+)", rule["annotations"]["dashboard_url"])
    dashboards = [yaml.safe_load(file.read_text()) for file in (DEPLOY / "grafana" / "dashboards").glob("*.json")]
    (dashboard,) = (found for found in dashboards if found["uid"] == uid)
    assert set(variables) <= {variable["name"] for variable in dashboard["templating"]["list"]}


def test_the_rules_name_the_job_that_prometheus_scrapes() -> None:
    (scraped,) = yaml.safe_load((PROMETHEUS / "prometheus.yaml").read_text())["scrape_configs"]
    named = {job for rule in ALERTS for job in re.findall(r'job="([^"]*)"', rule["expr"])}
    assert named == {scraped["job_name"]}
    assert scraped["static_configs"] == [{"targets": [f"localhost{DEFAULT_LISTEN_ADDRESS}"]}]


@pytest.mark.parametrize("file", sorted(DEPLOY.rglob("*.yaml")), ids=lambda file: str(file.relative_to(DEPLOY)))
def test_every_metric_that_is_named_exists(file: Path) -> None:
    known = {metric.name for metric in (*OF_HEARTBEATS, *OF_EXPORTER)} | {
        f"{metric.name}_{part}"
        for metric in OF_EXPORTER
        if metric.type is Type.HISTOGRAM
        for part in ("bucket", "count", "sum")
    }
    # Not those with a colon at either side: they are the rules' own.
    named = {
        name
        for document in yaml.safe_load_all(file.read_text())
        for text in texts(document)
        for name in re.findall(r"(?<![\w:])heartbeat_\w+(?![\w:])", text)
    }
    assert named <= known


def test_the_operator_gets_the_same_rules() -> None:
    resource = yaml.safe_load((ROOT / PROMETHEUS_RULE).read_text())
    assert (resource["apiVersion"], resource["kind"]) == ("monitoring.coreos.com/v1", "PrometheusRule")
    assert resource["metadata"].keys() == {"name", "labels"}
    assert resource["spec"] == {"groups": GROUPS}


def test_what_is_generated_is_up_to_date() -> None:
    assert main(["--check"]) == 0


def test_what_is_out_of_date_is_named_and_then_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rules = tmp_path / RULES
    rules.parent.mkdir(parents=True)
    rules.write_text("groups: []\n")
    assert main(["--check"], tmp_path) == 1
    assert f"{PROMETHEUS_RULE} is out of date: run `make generated`" in capsys.readouterr().err
    assert main([], tmp_path) == 0
    assert {file: (tmp_path / file).read_text() for file in generated(tmp_path)} == generated(tmp_path)
    assert main(["--check"], tmp_path) == 0
