"""Every heartbeat as it stands, kept up to date rather than worked out anew.

What is known of a heartbeat changes when it is pinged, when it is declared anew, when time passes its due moment or its
deadline, and when an outage of ours moves deadlines. So only these are looked at: those that were `noted`, and those
whose moment has come, which a heap gives up in order; all of them when an outage begins or the clock goes back.
"""

import heapq
from array import array
from collections.abc import Mapping, Sequence

from exporter.heartbeat import NEVER, Block, Heartbeat, Name, Observation, Outage, Record, Survey, assess
from exporter.schedule import Moment
from exporter.turns import Slice

BLOCK = 256
"""Heartbeats that are replaced together in a survey when one of them changes."""


class Outlook:
    """What is known of some heartbeats. Not for several tasks at once."""

    def __init__(
        self, heartbeats: Sequence[Heartbeat], records: Mapping[Name, Record], former: "Outlook | None" = None
    ) -> None:
        """``records``: those of all heartbeats; ``former``: what was known until now, and is kept where it holds."""
        self._heartbeats = heartbeats
        self._records = [records[heartbeat.name] for heartbeat in heartbeats]
        self._positions = {heartbeat.name: position for position, heartbeat in enumerate(heartbeats)}
        self._observed = [None if former is None else former.observation(heartbeat.name) for heartbeat in heartbeats]
        self._blocks: list[Block] = [()] * -(-len(heartbeats) // BLOCK)
        self._stale = set(range(len(heartbeats)))
        self._touched = set(range(len(self._blocks)))
        self._moments: list[tuple[Moment, int]] = []
        """A heap of moments at which heartbeats, given by their positions, are to be looked at again."""
        self._awaited = array("q", bytes(8 * len(heartbeats)))
        """The earliest of its moments for each heartbeat; others that are in the heap mean nothing. NEVER: none is."""
        self._now: Moment = NEVER
        self._outage: Outage | None = None
        self.passed: Moment = NEVER
        """The latest deadline that was seen as passed."""

    def observation(self, name: Name) -> Observation | None:
        """The heartbeat of a name as it stood at the last survey."""
        position = self._positions.get(name)
        return None if position is None else self._observed[position]

    def note(self, records: Mapping[Name, Record]) -> None:
        """These records have changed. Those of other heartbeats are passed over."""
        for name, record in records.items():
            position = self._positions.get(name)
            if position is not None:
                self._records[position] = record
                self._stale.add(position)

    async def survey(self, now: Moment, outage: Outage | None) -> Survey:
        """Every heartbeat as it stands at ``now``, after the given last outage of ours."""
        if now < self._now or outage != self._outage:
            self._stale.update(range(len(self._heartbeats)))
            self.passed = NEVER
        self._now, self._outage = now, outage
        await self._hear_of_time()
        await self._look_at_the_stale()
        for number in self._touched:
            self._blocks[number] = tuple(filter(None, self._observed[number * BLOCK : (number + 1) * BLOCK]))
        self._touched.clear()
        return Survey(now, tuple(self._blocks), outage)

    async def _look_at_the_stale(self) -> None:
        stale, self._stale = self._stale, set()  # What is noted meanwhile may wait.
        time = Slice()
        try:
            while stale:
                self._look_at(stale.pop())
                if time.over:
                    await time.next()
        finally:
            self._stale |= stale

    async def _hear_of_time(self) -> None:
        """Find those whose moment has come."""
        time = Slice()
        while self._moments and self._moments[0][0] <= self._now:
            moment, position = heapq.heappop(self._moments)
            if self._awaited[position] == moment:
                self._awaited[position] = NEVER
                self._stale.add(position)
            if time.over:
                await time.next()

    def _look_at(self, position: int) -> None:
        heartbeat, record, known = self._heartbeats[position], self._records[position], self._observed[position]
        found = Observation(heartbeat, record, assess(heartbeat, record, self._now, self._outage))
        if known is None or known.heartbeat is not heartbeat or known != found:
            self._observed[position] = found
            self._touched.add(position // BLOCK)
        due, deadline = found.assessment.due, found.assessment.deadline
        if found.assessment.overdue and deadline is not None:
            self.passed = max(self.passed, deadline)
        for moment in (due, deadline):
            if moment is not None and moment > self._now:
                self._await(moment, position)

    def _await(self, moment: Moment, position: int) -> None:
        awaited = self._awaited[position]
        if awaited == NEVER or moment < awaited:
            self._awaited[position] = moment
            heapq.heappush(self._moments, (moment, position))
            if len(self._moments) > 2 * len(self._heartbeats) + BLOCK:  # Most of them mean nothing any more.
                self._moments = [(moment, position) for position, moment in enumerate(self._awaited) if moment != NEVER]
                heapq.heapify(self._moments)
