"""From a job's call to the people whom its silence reaches, with the rules and routes that we ship."""

import signal

import pytest
import yaml
from alert_path import AlertPath, StartAlertPath
from servers import curl, eventually

OVERDUE = ("HeartbeatOverdue", "report")
FAILED = ("HeartbeatFailed", "import")
EXPORTER_DOWN = ("HeartbeatExporterDown", "")
SEVERAL = 9
"""Evaluations of the rules: enough for every rule that would resolve, and for Alertmanager to forget an alert of which
it is not told again."""


def test_a_job_that_stops_calling_alerts_its_team_until_it_calls_again(start_alert_path: StartAlertPath) -> None:
    path = start_alert_path("""
        heartbeats:
          - name: report
            interval: 2s
            grace: 1s
            labels: {team: storage, severity: critical}
            runbook_url: https://wiki.example/report
    """)
    url = path.exporter.urls()["report"]

    def seen_to_be_fine() -> bool:
        curl(url)
        return path.prometheus.query('heartbeat:heartbeat_overdue:min{heartbeat="report"}') == [0]

    eventually("Prometheus sees that it is not overdue", seen_to_be_fine, path.exporter, path.prometheus)
    assert (*OVERDUE, "firing") not in path.webhook.seen()

    firing = path.notified(OVERDUE, "firing")
    assert {notice.receiver for notice in firing} == {"storage-pager"}
    alert = firing[0].alert
    assert alert.labels == {
        "alertname": "HeartbeatOverdue",
        "heartbeat": "report",
        "job": "heartbeat-exporter",
        "team": "storage",
        "severity": "critical",
    }
    assert alert.annotations["description"].startswith("report has been overdue since 20")
    assert " It was last seen " in alert.annotations["description"]
    assert alert.annotations["runbook_url"] == "https://wiki.example/report"
    assert path.alertmanager.active()[OVERDUE].labels == alert.labels

    resolved = path.notified(OVERDUE, "resolved", meanwhile=lambda: curl(url))
    assert {notice.receiver for notice in resolved} == {"storage-pager"}


def test_a_job_that_reports_a_failure_alerts_until_it_succeeds(start_alert_path: StartAlertPath) -> None:
    path = start_alert_path("heartbeats: [{name: import, interval: 1h, labels: {team: storage}}]")
    url = path.exporter.urls()["import"]
    curl(f"{url}/fail")

    firing = path.notified(FAILED, "firing")
    assert {notice.receiver for notice in firing} == {"storage-chat"}
    assert firing[0].alert.labels["severity"] == "warning"
    description = firing[0].alert.annotations["description"]
    assert description.startswith("import has been failing since 20")
    assert " (in a row: 1), most recently at 20" in description
    assert " It has never succeeded. It was last seen " in description

    curl(url)
    path.notified(FAILED, "resolved")
    assert ("HeartbeatOverdue", "import", "firing") not in path.webhook.seen()


def assert_still_firing(path: AlertPath) -> None:
    """Both alerts on heartbeats fire and are told again, and none has resolved since what came was last forgotten."""
    told = {alert: len(path.webhook.notices((*alert, "firing"))) for alert in (OVERDUE, FAILED)}
    path.prometheus.evaluate(SEVERAL)
    for alert, times in told.items():
        path.webhook.awaited(alert, "firing", path.prometheus, path.alertmanager, times=times + 1)
    assert {OVERDUE, FAILED} <= path.prometheus.firing()
    assert {OVERDUE, FAILED} <= path.alertmanager.active().keys()
    assert not {(*OVERDUE, "resolved"), (*FAILED, "resolved")} & path.webhook.seen()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_an_exporter_that_goes_down_alerts_and_resolves_nothing_until_it_is_back_and_pinged(
    start_alert_path: StartAlertPath, number: signal.Signals
) -> None:
    path = start_alert_path(
        """
        heartbeats:
          - {name: report, interval: 1s, grace: 0s}
          - {name: import, interval: 1h}
        """,
        repeat_interval="1s",
    )
    urls = path.exporter.urls()
    curl(f"{urls['import']}/fail")
    path.notified(OVERDUE, "firing")
    path.notified(FAILED, "firing")
    eventually(
        "the exporter is not called down", lambda: EXPORTER_DOWN not in path.prometheus.firing(), path.prometheus
    )
    path.webhook.forget()

    path.exporter.stop(number)
    assert {notice.receiver for notice in path.notified(EXPORTER_DOWN, "firing")} == {"operations-pager"}
    assert_still_firing(path)

    path.exporter.start()
    path.notified(EXPORTER_DOWN, "resolved")
    assert_still_firing(path)

    curl(urls["import"])
    path.notified(FAILED, "resolved", meanwhile=lambda: curl(urls["report"]))
    path.notified(OVERDUE, "resolved", meanwhile=lambda: curl(urls["report"]))


def test_what_is_kept_for_ever_can_be_let_go_by_taking_its_rule_away_for_a_moment(
    start_alert_path: StartAlertPath,
) -> None:
    path = start_alert_path("heartbeats: [{name: report, interval: 1s, grace: 0s}]")
    path.notified(OVERDUE, "firing")
    path.exporter.stop()
    path.prometheus.evaluate(SEVERAL)
    assert OVERDUE in path.prometheus.firing()

    file = path.prometheus.folder / "rules" / "heartbeat.yaml"
    text = file.read_text()
    rules = yaml.safe_load(text)
    for group in rules["groups"]:
        group["rules"] = [rule for rule in group["rules"] if rule.get("record") != "heartbeat:ALERTS:held"]
    file.write_text(yaml.safe_dump(rules))
    path.prometheus.send(signal.SIGHUP)
    path.notified(OVERDUE, "resolved")

    file.write_text(text)
    path.prometheus.send(signal.SIGHUP)
    path.prometheus.evaluate(SEVERAL)
    assert OVERDUE not in path.prometheus.firing()
