"""Real servers for the tests, ended when a test is over."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from alert_path import AlertPath, StartAlertPath
from servers import Alertmanager, Exporter, Prometheus, StartExporter
from webhook import listening


@pytest.fixture
def start_exporter(tmp_path: Path) -> Iterator[StartExporter]:
    """Starts an exporter with a configuration and further flags."""
    with ExitStack() as stack:

        def start(config: str, *flags: str) -> Exporter:
            exporter = stack.enter_context(Exporter(tmp_path, config, *flags))
            exporter.start()
            return exporter

        yield start


@pytest.fixture
def start_alert_path(tmp_path: Path, start_exporter: StartExporter) -> Iterator[StartAlertPath]:
    """Starts an exporter with a configuration, and all that its alerts go through."""
    with ExitStack() as stack:

        def start(config: str) -> AlertPath:
            webhook = stack.enter_context(listening())
            alertmanager = stack.enter_context(Alertmanager(tmp_path, webhook.url))
            alertmanager.start()
            exporter = start_exporter(config)
            prometheus = stack.enter_context(Prometheus(tmp_path, [exporter], alertmanager))
            prometheus.start()
            return AlertPath(exporter, prometheus, alertmanager, webhook)

        yield start
