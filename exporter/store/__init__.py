"""What every store of records promises, whatever keeps the bytes."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

from exporter.heartbeat import Heartbeat, Liveness, Name, Ping, Record
from exporter.schedule import DAY, Duration, Moment

KEEP_REMOVED: Duration = 30 * DAY
"""How long the record of a heartbeat that left the configuration is kept, in case it comes back."""


class StoreError(Exception):
    """The store cannot do what was asked of it now; nothing of it was done. The message says why, without secrets."""


class StoreRefused(StoreError):
    """The store cannot be opened as it is: damaged, foreign, held by another process, or written by a newer version.

    Nothing in it was changed. The message says which, where, and what would help.
    """


class Overloaded(StoreError):
    """More pings are waiting for the store than may wait; this one was not taken."""


class Arrival(NamedTuple):
    """A ping and the heartbeat that it belongs to, as it was declared when the ping came."""

    heartbeat: Heartbeat
    ping: Ping


class Store(Protocol):
    """Where records, the history of pings and our own liveness are kept.

    Each method is one transaction: it happens wholly or, when it raises StoreError, not at all. What a method has
    returned is durable; neither a crash of the process nor a loss of power takes it back. Calls may overlap; they take
    effect one after another, in the order in which they were made. After StoreError the store may be called again, and
    works again by itself once the cause is gone.
    """

    async def adopt(self, heartbeats: Collection[Heartbeat], now: Moment) -> Mapping[Name, Record]:
        """Make these the heartbeats that are watched from ``now`` on, and return their records.

        A heartbeat without a record is armed; one with a record goes through `Record.adopted`. The records of all
        others are marked as removed, and deleted with their history once they have been for KEEP_REMOVED.
        """

    async def commit(self, arrivals: Sequence[Arrival], history: int) -> Mapping[Name, Record]:
        """Fold the pings over their heartbeats' records, in this order, and return each record touched.

        The last ``history`` pings of each heartbeat are kept. A heartbeat without a record is armed by its first ping.
        """

    async def beat(self, now: Moment, outage_grace: Duration, *, restarted: bool = False) -> Liveness:
        """Note that we listen at ``now``, and return the liveness that follows (see `Liveness.at`)."""

    async def liveness(self, outage_grace: Duration) -> Liveness:
        """The liveness as last noted."""

    async def history(self, name: Name) -> Sequence[Ping]:
        """The pings kept of a heartbeat, newest first; empty for a name that is not known."""

    async def close(self) -> None:
        """Finish what was asked for, then let go of the store. No other method may be called afterwards."""
