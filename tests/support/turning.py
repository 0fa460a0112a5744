"""How often others get their turn of the event loop."""

import asyncio
from collections.abc import Coroutine
from typing import Any


async def turns_during(work: Coroutine[Any, Any, object]) -> int:
    """How many turns of the loop others have until the work is done."""
    count = 0
    doing = asyncio.ensure_future(work)
    while not doing.done():
        count += 1
        await asyncio.sleep(0)
    doing.result()
    return count
