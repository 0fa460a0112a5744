"""A load of pings from many clients at once, and what these know of it."""

import asyncio
import itertools
import signal
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import aiohttp
from servers import Exporter

from exporter.schedule import Moment
from exporter.server import wall_clock

CLIENTS = 12


@dataclass
class Tally:
    """What clients know of the pings that they sent, by heartbeat."""

    sent: Counter[str] = field(default_factory=Counter)
    acknowledged: Counter[str] = field(default_factory=Counter)
    last_sent: dict[str, Moment] = field(default_factory=dict)
    """When the last of those that were acknowledged was sent."""


async def ping_until_signalled(
    exporter: Exporter, urls: Mapping[str, str], tally: Tally, enough: int, number: signal.Signals
) -> None:
    """Ping with many clients at once; once so many pings were acknowledged, end the exporter under the load."""
    enough += tally.acknowledged.total()

    async def ping(client: aiohttp.ClientSession, first: int) -> None:
        names = list(urls)
        for count in itertools.count(first):
            name = names[count % len(names)]
            tally.sent[name] += 1
            at = wall_clock()
            try:
                async with client.get(urls[name]) as answer:
                    assert (answer.status, await answer.text()) == (200, "OK")
            except aiohttp.ClientError:
                return  # nobody is there any more
            tally.acknowledged[name] += 1
            tally.last_sent[name] = max(at, tally.last_sent.get(name, 0))
            if tally.acknowledged.total() == enough:
                exporter.send(number)

    async with asyncio.timeout(30), aiohttp.ClientSession() as client, asyncio.TaskGroup() as clients:
        for first in range(CLIENTS):
            clients.create_task(ping(client, first))
