"""Ten thousand heartbeats in one exporter."""

from servers import StartExporter, curl

from exporter.metrics.negotiation import Format

MANY = 10_000
CONFIG = "heartbeats:\n" + "\n".join(
    f"  - {{name: job-{number}, cron: '{number % 60} {number % 24} * * *', labels: {{team: t{number % 7}}}}}"
    for number in range(MANY)
)


def test_ten_thousand_heartbeats_are_ready_in_seconds_and_take_pings(start_exporter: StartExporter) -> None:
    exporter = start_exporter(CONFIG)  # fails after 30 s
    urls = exporter.urls()
    assert len(urls) == MANY
    for name in ("job-0", "job-9999"):
        curl(urls[name])

    for form in Format:
        pings = exporter.scrape(form).each("heartbeat_pings_total", signal="success")
        assert len(pings) == MANY
        assert {name for name, count in pings.items() if count} == {"job-0", "job-9999"}
