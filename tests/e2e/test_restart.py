"""What a restart changes: nothing."""

import signal

from servers import Exporter, StartExporter, curl, eventually

from exporter.metrics.negotiation import Format

CONFIG = """
outage_grace: 30m
heartbeats:
  - {name: fine, interval: 1h, labels: {team: storage}}
  - {name: missed, interval: 1s, grace: 0s}
  - {name: late, interval: 1s, grace: 12h}
  - {name: failing, interval: 1h}
  - {name: busy, interval: 1h, max_runtime: 2h}
  - {name: talking, cron: "0 3 * * *", timezone: Europe/Berlin}
  - {name: new, interval: 1h}
  - {name: paused, interval: 1h, paused: true}
"""
PINGS = {
    "fine": ["/start?rid=5c1dcf4e-93cb-4d6d-b7b3-2e0fd8d3a1f0", "?rid=5c1dcf4e-93cb-4d6d-b7b3-2e0fd8d3a1f0", ""],
    "missed": [""],
    "late": [""],
    "failing": ["", "/fail", "/3"],
    "busy": ["/start"],
    "talking": ["/log"],
    "paused": [""],
}


def statuses(exporter: Exporter) -> dict[str, float]:
    return exporter.scrape().each("heartbeat_exporter_heartbeats", "status")


def test_a_restart_keeps_every_counter_timestamp_and_status(start_exporter: StartExporter) -> None:
    exporter = start_exporter(CONFIG)
    urls = exporter.urls()
    for name, suffixes in PINGS.items():
        for suffix in suffixes:
            curl(urls[name] + suffix)
    expected = {"paused": 1, "overdue": 1, "failed": 1, "late": 1, "new": 3, "up": 1}
    eventually("what is awaited is missed", lambda: statuses(exporter) == expected, exporter)
    before = exporter.scrape(Format.TEXT)
    assert before.each("heartbeat_overdue")["missed"] == 1

    assert exporter.stop(signal.SIGTERM) == 0
    exporter.start()

    assert exporter.scrape(Format.TEXT).of_heartbeats() == before.of_heartbeats()
    assert statuses(exporter) == expected
