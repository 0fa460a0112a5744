"""Lives of an exporter that is pinged from its launch to its end."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from load import Load
from toll import Toll
from victim import Victim


@asynccontextmanager
async def launched_under_load(victim: Victim, load: Load, toll: Toll) -> AsyncIterator[None]:
    """Launch it and ping it until the block, which ends it, is over; how long it took to answer goes into the toll."""
    over, launched = asyncio.Event(), time.monotonic()
    load.journal.first_answer = None
    victim.launch()
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(load.press(over))
        yield
        over.set()
    if load.journal.first_answer is not None:
        toll.recoveries.append(load.journal.first_answer - launched)
