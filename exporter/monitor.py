"""What we watch now: pings in, surveys out, and our own liveness."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import structlog

from exporter.heartbeat import OUTAGE_AFTER, Heartbeat, Liveness, Outage, Ping, Survey
from exporter.outlook import Outlook
from exporter.roster import Roster
from exporter.schedule import SECOND, Moment, to_datetime
from exporter.store import Arrival, Store, StoreError
from exporter.store.batches import Batches, Settled

WAITING_AT_MOST = 10_000
"""Pings that may wait for the store at once: about a second's worth, and with all their bodies some 100 MB."""

HUNG_AFTER = 10.0
"""Seconds after which a store that has not come back from a call is said to be down."""

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Observer(Protocol):
    """Who is told how the store fares and when we were deaf."""

    def commit_done(self, pings: int, seconds: float) -> None:
        """A commit of that many pings took that long."""

    def store_up(self, up: bool) -> None:
        """The store took, or did not take, what it was just given."""

    def outage_noted(self, outage: Outage | None) -> None:
        """The last outage is now this one."""


class Monitor:
    """Watches the heartbeats of one roster at a time over one store.

    Records are changed only through the store and taken over only once they are durable, so nothing that a survey
    shows is lost by a crash.
    """

    def __init__(
        self, store: Store, observer: Observer, roster: Roster, elapsed: Callable[[], float] = time.monotonic
    ) -> None:
        """``elapsed``: seconds since some moment, whatever becomes of the wall clock."""
        self._store = store
        self._observer = observer
        self._roster = roster
        self._outlook = Outlook((), {})
        self._liveness = Liveness()
        self._trouble: str | None = None
        self._batches = Batches(self._commit, limit=WAITING_AT_MOST)
        self._elapsed = elapsed
        self._called_at: float | None = None
        # What the store returns is taken over in the order in which it was done.
        self._writing = asyncio.Lock()
        self._surveying = asyncio.Lock()

    @property
    def roster(self) -> Roster:
        """The heartbeats that are watched now, and what opens them."""
        return self._roster

    @property
    def trouble(self) -> str | None:
        """Why the store takes nothing at present; None while it works.

        A store that does not come back from a call is in trouble, too, until it does.
        """
        if self._called_at is not None and (waited := self._elapsed() - self._called_at) > HUNG_AFTER:
            return f"the store has not come back from a call for {waited:.0f} s: the disk hangs, or is far too slow"
        return self._trouble

    @contextmanager
    def _calling_store(self) -> Iterator[None]:
        """Holds for each call of the store that writes; there is only one at a time."""
        self._called_at = self._elapsed()
        try:
            yield
        except StoreError as error:
            self._fail(error)
            raise
        finally:
            self._called_at = None

    async def adopt(self, roster: Roster, now: Moment) -> None:
        """Watch the heartbeats of this roster from ``now`` on. Raises StoreError, and then nothing has changed."""
        async with self._writing:
            with self._calling_store():
                liveness = await self._store.liveness(roster.config.outage_grace)
                records = await self._store.adopt(roster.config.heartbeats, now)
            self._outlook = Outlook(roster.config.heartbeats, records, self._outlook)
            self._roster = roster
            self._note_liveness(liveness)
            self._recover()

    async def record(self, heartbeat: Heartbeat, ping: Ping) -> None:
        """Take a ping; returns once it is durable. Raises StoreError when it was not taken."""
        await self._batches.add(Arrival(heartbeat, ping))

    def take(self, heartbeat: Heartbeat, ping: Ping, settled: Settled) -> None:
        """As `record`, for those to whom a future is too dear: ``settled`` is told, later, how it ended.

        Raises Overloaded when too many pings wait already; then nothing is told.
        """
        self._batches.put(Arrival(heartbeat, ping), settled)

    async def _commit(self, arrivals: Sequence[Arrival]) -> None:
        async with self._writing:
            started = time.perf_counter()
            with self._calling_store():
                records = await self._store.commit(arrivals, self._roster.config.history)
            self._observer.commit_done(len(arrivals), time.perf_counter() - started)
            self._outlook.note(records)
        self._recover()

    async def beat(self, now: Moment, *, restarted: bool = False) -> None:
        """Note that we listen at ``now``. Raises StoreError."""
        async with self._writing:
            await self._beat(now, restarted=restarted)

    async def _beat(self, now: Moment, *, restarted: bool = False) -> None:
        with self._calling_store():
            liveness = await self._store.beat(now, self._roster.config.outage_grace, restarted=restarted)
        known = self._liveness.outage
        self._note_liveness(liveness)
        self._recover()
        if liveness.outage is not None and liveness.outage != known:
            log.warning(
                "outage: no ping could be heard",
                start=to_datetime(liveness.outage.start).isoformat(),
                end=to_datetime(liveness.outage.end).isoformat(),
                seconds=(liveness.outage.end - liveness.outage.start) / SECOND,
            )

    async def survey(self, now: Moment) -> Survey:
        """Every heartbeat as it stands at ``now``. Raises StoreError while the store is down or does not come back.

        A deadline that is shown as passed is never inside a later outage: we are noted as alive before it is shown.
        """
        if (trouble := self.trouble) is not None:
            down = StoreError(trouble)
            self._fail(down)  # Nobody has told the observer yet of a call that has not come back.
            raise down
        await self._catch_up(now, now - OUTAGE_AFTER)
        async with self._surveying:
            outlook = self._outlook
            survey, passed = await outlook.survey(now, self._liveness.outage), outlook.passed
        await self._catch_up(now, passed)
        outage = self._liveness.outage
        if outage == survey.outage:
            return survey
        async with self._surveying:
            return await outlook.survey(now, outage)

    async def _catch_up(self, now: Moment, at_least: Moment) -> None:
        """Note that we listen at ``now``, unless we are noted as alive at ``at_least`` or later already."""
        if not self._is_noted(at_least):  # else nobody waits for what is being written
            async with self._writing:
                if not self._is_noted(at_least):
                    await self._beat(now)

    def _is_noted(self, at_least: Moment) -> bool:
        alive_at = self._liveness.alive_at
        return alive_at is None or alive_at >= at_least

    async def close(self) -> None:
        """Settle what was given to us. The store stays open."""
        await self._batches.drain()

    def _note_liveness(self, liveness: Liveness) -> None:
        self._liveness = liveness
        self._observer.outage_noted(liveness.outage)

    def _fail(self, error: StoreError) -> None:
        if self._trouble is None:
            log.error("store down: pings are refused", reason=str(error))
        self._trouble = str(error)
        self._observer.store_up(False)

    def _recover(self) -> None:
        if self._trouble is not None:
            log.info("store up: pings are taken again")
        self._trouble = None
        self._observer.store_up(True)
