"""Group commit: many pings, one write to disk."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from exporter.store import Arrival, Overloaded, StoreError


class _Waiter(NamedTuple):
    """An arrival, and what its caller waits for."""

    arrival: Arrival
    settled: asyncio.Future[None]


class Batches:
    """Pings that arrive while one commit is under way share the next.

    So a ping that comes alone is committed at once, and the more come, the more of them share the price of a write.
    Commits never overlap, and pings are committed in the order in which they were added.
    """

    def __init__(self, commit: Callable[[Sequence[Arrival]], Awaitable[None]], *, limit: int) -> None:
        """``commit`` makes arrivals durable, all or, when it raises, none; at most ``limit`` wait for it at a time."""
        self._commit = commit
        self._limit = limit
        self._waiting: list[_Waiter] = []
        self._unsettled = 0
        self._committing: asyncio.Task[None] | None = None

    async def add(self, arrival: Arrival) -> None:
        """Returns once the ping is durable.

        Raises Overloaded when too many wait already, else whatever its commit raised, which is StoreError unless
        something is broken. A caller that is cancelled stops waiting; its ping may be committed all the same.
        """
        if self._unsettled >= self._limit:
            raise Overloaded(f"{self._unsettled} pings are waiting for the store already")
        waiter = _Waiter(arrival, asyncio.get_running_loop().create_future())
        self._unsettled += 1
        self._waiting.append(waiter)
        if self._committing is None:
            self._start()
        await waiter.settled

    async def drain(self) -> None:
        """Returns when everything that was added is settled."""
        while self._committing is not None:
            await asyncio.wait((self._committing,))

    def _start(self) -> None:
        batch: list[_Waiter] = []
        self._committing = asyncio.create_task(self._commit_waiting(batch))
        # A callback and not a handler of exceptions: it settles the batch however the commit ends.
        self._committing.add_done_callback(lambda ended: self._settle(batch, ended))

    async def _commit_waiting(self, batch: list[_Waiter]) -> None:
        # Taken only now that the task runs, so that what arrives in one turn of the event loop is not split.
        batch += self._waiting
        self._waiting.clear()
        await self._commit([waiter.arrival for waiter in batch])

    def _settle(self, batch: Sequence[_Waiter], ended: asyncio.Task[None]) -> None:
        error = StoreError("the commit was broken off") if ended.cancelled() else ended.exception()
        self._committing = None
        self._unsettled -= len(batch)
        for waiter in batch:
            if waiter.settled.done():
                continue  # Its caller was cancelled.
            if error is None:
                waiter.settled.set_result(None)
            else:
                waiter.settled.set_exception(error)
        if self._waiting:
            self._start()
