"""What Alertmanager makes of the alerts: what it tells at once, what it mutes, and whom its watchdog calls."""

from collections.abc import Callable
from operator import attrgetter
from urllib.parse import urlsplit

import pytest
import yaml
from alert_path import AlertPath, StartAlertPath
from servers import DEPLOY, Exporter, Server, StartAlertmanager, StartExporter, curl, eventually
from webhook import Webhook

OVERDUE = ("HeartbeatOverdue", "report")
FAILED = ("HeartbeatFailed", "import")
FAILED_REPEATEDLY = ("HeartbeatFailedRepeatedly", "import")
EXPORTER_DOWN = ("HeartbeatExporterDown", "")
REJECTS_PINGS = ("HeartbeatExporterRejectsPings", "")
SEVERAL = 4
"""Evaluations of the rules."""

JOBS_OF_ONE_HOST = {f"job-{number}" for number in range(50)}
FIFTY_AND_ONE = "heartbeats:\n" + "\n".join(
    [
        "  - {name: website, interval: 5s, grace: 0s}",
        *(f"  - {{name: {name}, interval: 5s, grace: 0s, labels: {{team: storage}}}}" for name in JOBS_OF_ONE_HOST),
    ]
)

FAST = {"group_interval": "200ms", "repeat_interval": "300ms"}
ENOUGH = 4
"""Notifications of one alert that is repeated this fast: enough for the group of any other to be looked at as well."""


def labels(alertname: str, severity: str, **further: str) -> dict[str, str]:
    """The labels of an alert, as the rules give them."""
    return {"alertname": alertname, "severity": severity, "job": "heartbeat-exporter", **further}


def key(alert: dict[str, str]) -> tuple[str, str]:
    return alert["alertname"], alert.get("heartbeat", "")


DOWN = labels("HeartbeatExporterDown", "critical")
STORE_DOWN = labels("HeartbeatExporterStoreDown", "critical")
REPLICA_DOWN = labels("HeartbeatExporterReplicaDown", "warning", instance="10.0.0.1:10090")
RELOAD_FAILED = labels("HeartbeatExporterConfigReloadFailed", "warning", instance="10.0.0.1:10090")
REJECTS = labels("HeartbeatExporterRejectsPings", "warning", reason="unknown")
OUTAGE = labels("HeartbeatExporterOutage", "info")
WATCHDOG = {"alertname": "HeartbeatPipelineWatchdog", "severity": "none"}


def cases(*pairs: tuple[dict[str, str], dict[str, str]]) -> pytest.MarkDecorator:
    """Tests of two alerts each, named after them."""
    names = [" and ".join(f"{alert['severity']} {' '.join(key(alert)).strip()}" for alert in pair) for pair in pairs]
    return pytest.mark.parametrize(("source", "target"), pairs, ids=names)


def test_fifty_jobs_that_one_host_takes_with_it_are_told_at_once(start_alert_path: StartAlertPath) -> None:
    path = start_alert_path(FIFTY_AND_ONE, group_wait="3s", group_interval="2s")
    addresses = [urlsplit(url).path for url in path.exporter.urls().values()]

    def told(status: str) -> dict[str, list[set[str]]]:
        """The heartbeats in each notification that tells of any in a status, by the receiver."""
        found: dict[str, list[set[str]]] = {}
        for notification in path.webhook.notifications("HeartbeatOverdue"):
            if heartbeats := notification.heartbeats(status):
                found.setdefault(notification.receiver, []).append(heartbeats)
        return found

    once_each = {"storage-chat": [JOBS_OF_ONE_HOST], "operations-chat": [{"website"}]}
    eventually("both teams are told", lambda: told("firing").keys() == once_each.keys(), path.alertmanager)
    path.prometheus.evaluate(SEVERAL)
    assert (told("firing"), told("resolved")) == (once_each, {})

    def all_are_told_to_be_well() -> bool:
        for address in addresses:
            assert path.exporter.request(address).text == "OK"
        resolved = {receiver: set().union(*parts) for receiver, parts in told("resolved").items()}
        return resolved == {"storage-chat": JOBS_OF_ONE_HOST, "operations-chat": {"website"}}

    eventually("both teams are told that all is well again", all_are_told_to_be_well, path.alertmanager)


@cases(
    (DOWN, REPLICA_DOWN),
    (DOWN, STORE_DOWN),
    (DOWN, RELOAD_FAILED),
    (DOWN, REJECTS),
    (DOWN, OUTAGE),
    (DOWN | {"cluster": "a"}, REJECTS | {"cluster": "a"}),
    (STORE_DOWN, REPLICA_DOWN),
    (STORE_DOWN, REJECTS),
    (
        labels("HeartbeatFailedRepeatedly", "critical", heartbeat="import"),
        labels("HeartbeatFailed", "warning", heartbeat="import"),
    ),
    (
        labels("HeartbeatFailedRepeatedly", "page", heartbeat="import", team="storage"),
        labels("HeartbeatFailed", "page", heartbeat="import", team="storage"),
    ),
    (
        labels("HeartbeatOverdue", "critical", heartbeat="report"),
        labels("HeartbeatFailed", "warning", heartbeat="report"),
    ),
    (
        labels("HeartbeatOverdue", "critical", heartbeat="report"),
        labels("HeartbeatGraceTooLoose", "info", heartbeat="report"),
    ),
)
def test_what_follows_from_another_alert_is_told_only_once_that_has_ended(
    start_alertmanager: StartAlertmanager, webhook: Webhook, source: dict[str, str], target: dict[str, str]
) -> None:
    alertmanager = start_alertmanager(**FAST)
    alertmanager.tell(source)
    webhook.awaited(key(source), "firing", alertmanager)

    alertmanager.tell(target)
    eventually("it is muted", lambda: alertmanager.muted() == {key(target): {key(source)}}, alertmanager)
    webhook.forget()
    webhook.awaited(key(source), "firing", alertmanager, times=ENOUGH)
    assert webhook.seen() == {(*key(source), "firing")}

    alertmanager.tell(source, ended=True)
    webhook.awaited(key(target), "firing", alertmanager)
    assert alertmanager.muted() == {}


@cases(
    (DOWN, labels("HeartbeatOverdue", "warning", heartbeat="report")),
    (DOWN, labels("HeartbeatFailed", "warning", heartbeat="import")),
    (DOWN, WATCHDOG),
    (DOWN, REPLICA_DOWN | {"job": "another-exporter"}),
    (DOWN | {"cluster": "a"}, REPLICA_DOWN | {"cluster": "b"}),
    (STORE_DOWN, labels("HeartbeatOverdue", "warning", heartbeat="report")),
    (STORE_DOWN, RELOAD_FAILED),
    (
        labels("HeartbeatFailedRepeatedly", "critical", heartbeat="import"),
        labels("HeartbeatFailed", "warning", heartbeat="export"),
    ),
    (
        labels("HeartbeatFailedRepeatedly", "critical", heartbeat="import"),
        labels("HeartbeatFailed", "warning", heartbeat="import", job="another-exporter"),
    ),
    (
        labels("HeartbeatFailedRepeatedly", "critical", heartbeat="import"),
        labels("HeartbeatOverdue", "warning", heartbeat="import"),
    ),
    (
        labels("HeartbeatOverdue", "critical", heartbeat="report"),
        labels("HeartbeatFailed", "warning", heartbeat="import"),
    ),
    (
        labels("HeartbeatOverdue", "warning", heartbeat="report"),
        labels("HeartbeatGraceTooTight", "info", heartbeat="report"),
    ),
)
def test_what_is_news_beside_another_alert_is_told(
    start_alertmanager: StartAlertmanager, webhook: Webhook, source: dict[str, str], target: dict[str, str]
) -> None:
    alertmanager = start_alertmanager()
    alertmanager.tell(source)
    webhook.awaited(key(source), "firing", alertmanager)
    alertmanager.tell(target)
    webhook.awaited(key(target), "firing", alertmanager)
    assert alertmanager.muted() == {}


@pytest.mark.parametrize("severity", ["critical", "warning", "info", "page"])
def test_nothing_mutes_an_overdue_heartbeat(
    start_alertmanager: StartAlertmanager, webhook: Webhook, severity: str
) -> None:
    groups = yaml.safe_load((DEPLOY / "prometheus" / "rules" / "heartbeat.yaml").read_text())["groups"]
    names = {rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule} - {OVERDUE[0]}
    everything = [labels(name, "critical", heartbeat="report") for name in names]
    everything += [labels(name, "critical") for name in names]
    alertmanager = start_alertmanager()
    alertmanager.tell(*everything)
    webhook.awaited(EXPORTER_DOWN, "firing", alertmanager)

    alertmanager.tell(labels("HeartbeatOverdue", severity, heartbeat="report"))
    webhook.awaited(OVERDUE, "firing", alertmanager)
    assert OVERDUE not in alertmanager.muted()
    assert OVERDUE in alertmanager.active()


def test_an_exporter_that_is_down_mutes_what_was_said_of_it_and_no_heartbeat(start_alert_path: StartAlertPath) -> None:
    path = start_alert_path("""
        heartbeats:
          - {name: report, interval: 1s, grace: 0s}
          - {name: import, interval: 1h, labels: {team: storage}}
    """)
    url = path.exporter.urls()["import"]
    curl(f"{url}/fail")
    assert {notice.receiver for notice in path.notified(FAILED, "firing")} == {"storage-chat"}
    for _ in range(2):
        curl(f"{url}/fail")
    assert {notice.receiver for notice in path.notified(FAILED_REPEATEDLY, "firing")} == {"storage-pager"}
    path.notified(OVERDUE, "firing")

    only_the_failure = {FAILED: {FAILED_REPEATEDLY}}

    def ping_nothing() -> None:
        assert path.exporter.request("/heartbeat/none-of-ours-has-this").status == 404

    path.notified(REJECTS_PINGS, "firing", meanwhile=ping_nothing)
    eventually("only the failure is muted", lambda: path.alertmanager.muted() == only_the_failure, path.alertmanager)
    path.webhook.forget()

    path.exporter.stop()
    path.notified(EXPORTER_DOWN, "firing")
    path.prometheus.evaluate(SEVERAL)
    assert path.alertmanager.muted() == {**only_the_failure, REJECTS_PINGS: {EXPORTER_DOWN}}
    assert {OVERDUE, FAILED_REPEATEDLY, EXPORTER_DOWN} <= path.alertmanager.active().keys()

    path.exporter.start()
    path.notified(EXPORTER_DOWN, "resolved")
    assert path.alertmanager.muted() == only_the_failure
    assert REJECTS_PINGS in path.alertmanager.active()


def pings_of_the_watchdog(exporter: Exporter) -> float:
    return exporter.scrape().each("heartbeat_pings_total", signal="success")["pipeline-a"]


def is_overdue(exporter: Exporter) -> bool:
    return exporter.scrape().each("heartbeat_overdue") == {"pipeline-a": 1}


@pytest.mark.parametrize(
    "dead", [attrgetter("prometheus"), attrgetter("alertmanager")], ids=["prometheus", "alertmanager"]
)
def test_alertmanager_pings_another_exporter_until_it_or_its_prometheus_is_dead(
    start_exporter: StartExporter, start_alert_path: StartAlertPath, dead: Callable[[AlertPath], Server]
) -> None:
    other = start_exporter("heartbeats: [{name: pipeline-a, interval: 2s, grace: 2s, methods: [POST]}]")
    path = start_alert_path("heartbeats: [{name: backup, interval: 1h}]", watchdog_url=other.urls()["pipeline-a"])
    eventually("it pings again and again", lambda: pings_of_the_watchdog(other) >= 4, other, path.alertmanager)
    eventually("its pings are in time", lambda: not is_overdue(other), other, path.alertmanager)

    dead(path).stop()
    eventually("its silence is noticed", lambda: is_overdue(other), other, path.alertmanager)
