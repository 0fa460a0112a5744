"""What faults there were in a run of the tests, and what they cost."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from load import Journal

Rounds: TypeAlias = Callable[[int], Iterator[int]]
"""Numbers at least so many rounds from 0 on."""


@dataclass
class Toll:
    """What faults there were, and what they cost."""

    kills: int = 0
    stops: int = 0
    disk_faults: int = 0
    sent: int = 0
    acknowledged: int = 0
    refused: int = 0
    recoveries: list[float] = field(default_factory=list)
    """Seconds until pings were accepted again."""

    def add(self, journal: Journal) -> None:
        """Count the pings of a journal in, every one of whose acknowledged pings was found."""
        self.sent += len(journal.sent)
        self.acknowledged += journal.acknowledged
        self.refused += journal.statuses[503]

    def __str__(self) -> str:
        return (
            f"{self.kills} kills, {self.stops} stops, {self.disk_faults} faults of the disk;"
            f" pings: {self.sent} sent, {self.acknowledged} acknowledged, {self.refused} refused, 0 lost;"
            f" longest recovery: {max(self.recoveries, default=0):.2f} s"
        )
