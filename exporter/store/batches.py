"""Group commit: many pings, one write to disk."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeAlias

from exporter.store import Arrival, Overloaded, StoreError

Settled: TypeAlias = Callable[[BaseException | None], None]
"""Is told once how a ping's commit ended: None when the ping is durable, else why it is not, which is StoreError unless
something is broken. Must not raise: the others of its batch are told by the same loop."""


class Batches:
    """Pings that arrive while one commit is under way share the next.

    So a ping that comes alone is committed at once, and the more come, the more of them share the price of a write.
    Commits never overlap, and pings are committed, and their ends told, in the order in which they were added.
    """

    def __init__(self, commit: Callable[[Sequence[Arrival]], Awaitable[None]], *, limit: int) -> None:
        """``commit`` makes arrivals durable, all or, when it raises, none; at most ``limit`` wait for it at a time."""
        self._commit = commit
        self._limit = limit
        self._arrivals: list[Arrival] = []
        self._settled: list[Settled] = []
        """Of each arrival that waits, in the same order."""
        self._unsettled = 0
        self._committing: asyncio.Task[None] | None = None

    def put(self, arrival: Arrival, settled: Settled) -> None:
        """Have a ping committed, and ``settled`` told how that ended, later and from the event loop.

        Raises Overloaded when too many wait already; then nothing is told.
        """
        if self._unsettled >= self._limit:
            raise Overloaded(f"{self._unsettled} pings are waiting for the store already")
        self._unsettled += 1
        self._arrivals.append(arrival)
        self._settled.append(settled)
        if self._committing is None:
            self._start()

    async def add(self, arrival: Arrival) -> None:
        """Returns once the ping is durable.

        Raises Overloaded when too many wait already, else whatever its commit raised, which is StoreError unless
        something is broken. A caller that is cancelled stops waiting; its ping may be committed all the same.
        """
        durable = asyncio.get_running_loop().create_future()
        self.put(arrival, partial(_resolve, durable))
        await durable

    async def drain(self) -> None:
        """Returns when everything that was added is settled."""
        while self._committing is not None:
            await asyncio.wait((self._committing,))

    def _start(self) -> None:
        batch: list[Settled] = []
        self._committing = asyncio.create_task(self._commit_waiting(batch))
        # A callback and not a handler of exceptions: it settles the batch however the commit ends.
        self._committing.add_done_callback(partial(self._settle, batch))

    async def _commit_waiting(self, batch: list[Settled]) -> None:
        # Taken only now that the task runs, so that what arrives in one turn of the event loop is not split.
        arrivals, self._arrivals = self._arrivals, []
        batch += self._settled
        self._settled.clear()
        await self._commit(arrivals)

    def _settle(self, batch: Sequence[Settled], ended: asyncio.Task[None]) -> None:
        error = StoreError("the commit was broken off") if ended.cancelled() else ended.exception()
        self._committing = None
        self._unsettled -= len(batch)
        if self._arrivals:
            self._start()
        for settled in batch:
            settled(error)


def _resolve(durable: "asyncio.Future[None]", error: BaseException | None) -> None:
    if durable.done():
        return  # Its caller was cancelled.
    if error is None:
        durable.set_result(None)
    else:
        durable.set_exception(error)
