"""Long work on the event loop, in pieces short enough for nobody to notice.

A thread would not do: whoever computes in Python holds the interpreter, and the loop would wait for it each time that
it wakes. Between pieces of a millisecond it is held up for one at the most.
"""

import asyncio
import sys
import time
from collections.abc import Generator
from typing import TypeVar

SLICE_SECONDS = 0.001

_SWITCH_SECONDS = SLICE_SECONDS / 4

Made = TypeVar("Made")


class Slice:
    """A slice of the loop's time: ask whether it is `over` after each step, and await the `next` one when it is."""

    __slots__ = ("_until",)

    def __init__(self) -> None:
        self._until = time.perf_counter() + SLICE_SECONDS

    @property
    def over(self) -> bool:
        """Whether it is time to let others have their turn."""
        return time.perf_counter() >= self._until

    async def next(self) -> None:
        """Let them, and begin a new slice."""
        await asyncio.sleep(0)
        self._until = time.perf_counter() + SLICE_SECONDS


async def in_turns(steps: Generator[None, None, Made]) -> Made:
    """What the steps come to, taken in slices of the loop's time."""
    slice_ = Slice()
    while True:
        try:
            next(steps)
        except StopIteration as done:
            made: Made = done.value
            return made
        if slice_.over:
            await slice_.next()


def share_with_threads() -> None:
    """Let a thread that wants the interpreter have it well within a slice of the loop.

    Python would have it wait for five milliseconds, and begin to wait again whenever the loop has let go of the
    interpreter for a moment, as it does between slices: the store's thread could wait for as long as there is work.
    """
    sys.setswitchinterval(_SWITCH_SECONDS)
