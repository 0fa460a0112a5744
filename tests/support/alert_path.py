"""Everything between a job and the people whom its alert reaches."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from servers import Alertmanager, Exporter, Prometheus
from webhook import Notice, Webhook


@dataclass(frozen=True)
class AlertPath:
    """An exporter, the Prometheus that scrapes it, its Alertmanager, and whom that notifies."""

    exporter: Exporter
    prometheus: Prometheus
    alertmanager: Alertmanager
    webhook: Webhook

    def notified(
        self, alert: tuple[str, str], status: str, meanwhile: Callable[[], None] = lambda: None
    ) -> list[Notice]:
        """What came of an alert in a status, once something has; until then, something is done again and again."""
        servers = (self.exporter, self.prometheus, self.alertmanager)
        return self.webhook.awaited(alert, status, *servers, meanwhile=meanwhile)


StartAlertPath: TypeAlias = Callable[..., AlertPath]
"""Starts all of it: the exporter with this configuration, Alertmanager with these keywords."""
