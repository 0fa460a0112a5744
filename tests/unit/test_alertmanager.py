"""The example of Alertmanager's configuration, as amtool sees it, and against the alerts of the rules."""

import re
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml
from programs import printed

from exporter.schedule import MINUTE, parse_duration

DEPLOY = Path(__file__).parents[2] / "deploy"
FILE = DEPLOY / "alertmanager" / "alertmanager.yaml"
CONFIG: dict[str, Any] = yaml.safe_load(FILE.read_text())
SEVERITIES: dict[str, str] = {
    rule["alert"]: rule["labels"]["severity"]
    for group in yaml.safe_load((DEPLOY / "prometheus" / "rules" / "heartbeat.yaml").read_text())["groups"]
    for rule in group["rules"]
    if "alert" in rule
}
"""Of every alert, as its rule says."""

CASES = [
    # What the rules say where a heartbeat has no severity of its own.
    ("HeartbeatOverdue severity=warning team=storage", "storage-chat"),
    ("HeartbeatOverdue severity=warning team=shop", "operations-chat"),
    ("HeartbeatOverdue severity=warning", "operations-chat"),
    ("HeartbeatFailed severity=warning team=storage", "storage-chat"),
    ("HeartbeatFailed severity=warning team=shop", "operations-chat"),
    ("HeartbeatFailed severity=warning", "operations-chat"),
    ("HeartbeatFailedRepeatedly severity=critical team=storage", "storage-pager"),
    ("HeartbeatFailedRepeatedly severity=critical team=shop", "operations-pager"),
    ("HeartbeatFailedRepeatedly severity=critical", "operations-pager"),
    # What it has goes for every alert on it.
    ("HeartbeatOverdue severity=critical team=storage", "storage-pager"),
    ("HeartbeatOverdue severity=critical team=shop", "operations-pager"),
    ("HeartbeatOverdue severity=critical", "operations-pager"),
    ("HeartbeatFailed severity=critical team=storage", "storage-pager"),
    ("HeartbeatFailed severity=critical", "operations-pager"),
    ("HeartbeatFailedRepeatedly severity=warning team=storage", "storage-chat"),
    ("HeartbeatFailedRepeatedly severity=warning", "operations-chat"),
    ("HeartbeatOverdue severity=info team=storage", "hints"),
    ("HeartbeatFailed severity=info", "hints"),
    ("HeartbeatFailedRepeatedly severity=info team=shop", "hints"),
    # Any text is a severity, and only the one that is called critical rings.
    ("HeartbeatOverdue severity=page team=storage", "storage-chat"),
    ("HeartbeatOverdue severity=Critical", "operations-chat"),
    ("HeartbeatFailed severity=none", "operations-chat"),
    # Hints are hints for every team.
    ("HeartbeatGraceTooTight severity=info team=storage", "hints"),
    ("HeartbeatGraceTooTight severity=info team=shop", "hints"),
    ("HeartbeatGraceTooLoose severity=info", "hints"),
    # The exporter belongs to no team.
    ("HeartbeatExporterDown severity=critical", "operations-pager"),
    ("HeartbeatExporterReplicaDown severity=warning instance=10.0.0.1:10090", "operations-chat"),
    ("HeartbeatExporterStoreDown severity=critical", "operations-pager"),
    ("HeartbeatExporterConfigReloadFailed severity=warning instance=10.0.0.1:10090", "operations-chat"),
    ("HeartbeatExporterRejectsPings severity=warning reason=unknown", "operations-chat"),
    ("HeartbeatExporterOutage severity=info", "hints"),
    ("HeartbeatPipelineWatchdog severity=none", "watchdog"),
    # As an external label of Prometheus may have it.
    ("HeartbeatExporterDown severity=critical team=storage", "storage-pager"),
    ("HeartbeatPipelineWatchdog severity=none team=storage", "watchdog"),
]


def routes(route: dict[str, Any]) -> list[dict[str, Any]]:
    """A route and all below it."""
    return [route, *chain.from_iterable(routes(child) for child in route.get("routes", []))]


def named(matchers: list[str]) -> set[str]:
    """The alerts that matchers name: as ``Name``, or several as ``Begin(EndOne|EndTwo)``."""
    name = re.compile(r'alertname(?:=|!=|=~)"(?P<begin>\w+)(?:\((?P<ends>[\w|]+)\))?"')
    found = [name.fullmatch(matcher) for matcher in matchers if matcher.startswith("alertname")]
    assert all(found), f"{matchers} name alerts in another form"
    return {match["begin"] + end for match in found if match for end in (match["ends"] or "").split("|")}


def test_alertmanager_takes_the_configuration() -> None:
    printed("amtool", "check-config", FILE)


@pytest.mark.parametrize(("labels", "receiver"), CASES, ids=[labels for labels, _ in CASES])
def test_an_alert_goes_to_one_receiver_by_its_team_and_severity(labels: str, receiver: str) -> None:
    alert = f"alertname={labels} job=heartbeat-exporter".split()
    printed("amtool", "config", "routes", "test", f"--config.file={FILE}", f"--verify.receivers={receiver}", *alert)


def test_the_cases_have_every_alert_with_a_severity_that_it_can_have() -> None:
    cases = [labels.split()[:2] for labels, _ in CASES]
    assert {name for name, _ in cases} == SEVERITIES.keys()
    for name, severity in cases:
        assert severity == f"severity={SEVERITIES[name]}" or "$labels.severity" in SEVERITIES[name]


def test_the_cases_reach_every_receiver_by_every_route() -> None:
    reached = {receiver for _, receiver in CASES}
    assert reached == {receiver["name"] for receiver in CONFIG["receivers"]}
    assert reached == {route["receiver"] for route in routes(CONFIG["route"])}


@pytest.mark.parametrize("rule", CONFIG["inhibit_rules"], ids=lambda rule: " ".join(rule["source_matchers"]))
def test_every_alert_that_an_inhibition_names_exists(rule: dict[str, Any]) -> None:
    matchers = [*rule["source_matchers"], *rule["target_matchers"]]
    assert named(matchers)
    assert named(matchers) <= SEVERITIES.keys()


def test_the_watchdog_calls_each_minute_and_never_to_say_that_it_has_ended() -> None:
    (route,) = (route for route in routes(CONFIG["route"]) if route["receiver"] == "watchdog")
    looked, passed = (parse_duration(route[key]) for key in ("group_interval", "repeat_interval"))
    # Alertmanager looks once in each group_interval, and calls if more than the repeat_interval has passed.
    assert looked < passed < 2 * looked == MINUTE
    (receiver,) = (receiver for receiver in CONFIG["receivers"] if receiver["name"] == "watchdog")
    assert [hook["send_resolved"] for hook in receiver["webhook_configs"]] == [False]
