"""What `deploy/` ships, as the programs that will read it see it, and against the rest of the project."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.flags import DEFAULT_LISTEN_ADDRESS
from exporter.metrics.catalogue import OF_EXPORTER, OF_HEARTBEATS, Type

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
ALERTMANAGER = ROOT / "deploy" / "alertmanager" / "alertmanager.yaml"
RULES = sorted((PROMETHEUS / "rules").glob("*.yaml"))
RULE_TESTS = sorted((PROMETHEUS / "tests").glob("*.yaml"))
ALERTS: list[dict[str, Any]] = [
    rule
    for file in RULES
    for group in yaml.safe_load(file.read_text())["groups"]
    for rule in group["rules"]
    if "alert" in rule
]
PACKAGES = {"promtool": "prometheus", "amtool": "prometheus-alertmanager"}

EACH_ALERT = pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])


def run(tool: str, *arguments: str | Path) -> str:
    """What a tool prints, once it has found nothing wrong."""
    program = shutil.which(tool)
    assert program is not None, f"{tool} is missing; install it with: apt-get install {PACKAGES[tool]}"
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


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


def test_prometheus_takes_the_configuration_and_every_rule_file_with_it() -> None:
    assert f"SUCCESS: {len(RULES)} rule files found" in run(
        "promtool", "check", "config", "--lint=all", "--lint-fatal", PROMETHEUS / "prometheus.yaml"
    )


@pytest.mark.parametrize("file", RULES, ids=lambda file: file.stem)
def test_prometheus_takes_the_rules(file: Path) -> None:
    run("promtool", "check", "rules", "--lint=all", "--lint-fatal", file)


@pytest.mark.parametrize("file", RULE_TESTS, ids=lambda file: file.stem)
def test_the_rules_do_what_their_tests_say(file: Path) -> None:
    run("promtool", "test", "rules", file)


@EACH_ALERT
def test_every_alert_is_seen_to_fire_in_the_rules_tests(rule: dict[str, Any]) -> None:
    assert any(
        expected["alertname"] == rule["alert"] and expected.get("exp_alerts")
        for file in RULE_TESTS
        for test in yaml.safe_load(file.read_text())["tests"]
        for expected in test.get("alert_rule_test", [])
    )


@EACH_ALERT
def test_every_alert_has_a_severity_and_says_what_to_do(rule: dict[str, Any]) -> None:
    assert "severity" in rule["labels"]
    assert {"summary", "description", "runbook_url"} <= rule["annotations"].keys()


@EACH_ALERT
def test_every_alert_has_its_section_in_the_docs(rule: dict[str, Any]) -> None:
    assert f"docs/alerts.md#{rule['alert'].lower()}" in rule["annotations"]["runbook_url"]
    assert f"\n## {rule['alert']}\n" in (ROOT / "docs" / "alerts.md").read_text()


def test_the_rules_name_the_job_that_prometheus_scrapes() -> None:
    (scraped,) = yaml.safe_load((PROMETHEUS / "prometheus.yaml").read_text())["scrape_configs"]
    named = {job for rule in ALERTS for job in re.findall(r'job="([^"]*)"', rule["expr"])}
    assert named == {scraped["job_name"]}
    assert scraped["static_configs"] == [{"targets": [f"localhost{DEFAULT_LISTEN_ADDRESS}"]}]


@pytest.mark.parametrize(
    "file", sorted((ROOT / "deploy").rglob("*.yaml")), ids=lambda file: str(file.relative_to(ROOT / "deploy"))
)
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


def test_alertmanager_takes_the_configuration() -> None:
    run("amtool", "check-config", ALERTMANAGER)


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        ("alertname=HeartbeatOverdue heartbeat=dump team=storage severity=critical", "storage-pager"),
        ("alertname=HeartbeatOverdue heartbeat=dump team=storage severity=warning", "storage-chat"),
        ("alertname=HeartbeatFailed heartbeat=dump team=storage severity=info", "storage-chat"),
        ("alertname=HeartbeatFailed heartbeat=warmer team=platform severity=critical", "operations-pager"),
        ("alertname=HeartbeatOverdue heartbeat=warmer team=platform severity=warning", "operations-chat"),
        ("alertname=HeartbeatOverdue heartbeat=warmer severity=warning", "operations-chat"),
        ("alertname=HeartbeatExporterDown job=heartbeat-exporter severity=critical", "operations-pager"),
    ],
)
def test_alerts_are_routed_by_team_and_severity(labels: str, receiver: str) -> None:
    run(
        "amtool",
        *("config", "routes", "test", f"--config.file={ALERTMANAGER}", f"--verify.receivers={receiver}"),
        *labels.split(),
    )
