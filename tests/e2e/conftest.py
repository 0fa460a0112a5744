"""Real servers for the tests, ended when a test is over."""

import itertools
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from alert_path import AlertPath, StartAlertPath
from servers import Alertmanager, Exporter, Prometheus, StartAlertmanager, StartExporter
from webhook import Webhook, listening


@pytest.fixture
def start_exporter(tmp_path: Path) -> Iterator[StartExporter]:
    """Starts an exporter with a configuration and further flags, each in a folder of its own."""
    numbers = itertools.count(1)
    with ExitStack() as stack:

        def start(config: str, *flags: str) -> Exporter:
            folder = tmp_path / f"exporter-{next(numbers)}"
            folder.mkdir()
            exporter = stack.enter_context(Exporter(folder, config, *flags))
            exporter.start()
            return exporter

        yield start


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    """Where Alertmanager's notifications arrive."""
    with listening() as webhook:
        yield webhook


@pytest.fixture
def start_alertmanager(tmp_path: Path, webhook: Webhook) -> Iterator[StartAlertmanager]:
    """Starts an Alertmanager that notifies the webhook."""
    with ExitStack() as stack:

        def start(**options: str) -> Alertmanager:
            alertmanager = stack.enter_context(Alertmanager(tmp_path, webhook.url, **options))
            alertmanager.start()
            return alertmanager

        yield start


@pytest.fixture
def start_alert_path(
    tmp_path: Path, start_exporter: StartExporter, start_alertmanager: StartAlertmanager, webhook: Webhook
) -> Iterator[StartAlertPath]:
    """Starts an exporter with a configuration, and all that its alerts go through."""
    with ExitStack() as stack:

        def start(config: str, **options: str) -> AlertPath:
            alertmanager = start_alertmanager(**options)
            exporter = start_exporter(config)
            prometheus = stack.enter_context(Prometheus(tmp_path, [exporter], alertmanager))
            prometheus.start()
            return AlertPath(exporter, prometheus, alertmanager, webhook)

        yield start
