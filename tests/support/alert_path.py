"""Everything between a job and the people whom its alert reaches."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from servers import Alertmanager, Exporter, Prometheus, eventually
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

        def notices() -> list[Notice]:
            meanwhile()
            return self.webhook.notices((*alert, status))

        return eventually(
            f"{alert} is notified as {status}", notices, self.exporter, self.prometheus, self.alertmanager
        )


StartAlertPath: TypeAlias = Callable[[str], AlertPath]
"""Starts all of it, the exporter with this configuration."""
