"""What `kill -9` takes: nothing that was acknowledged."""

import signal
from collections import Counter
from functools import partial

from load import Tally, ping_until_signalled
from servers import StartExporter, eventually

from exporter.schedule import SECOND, Moment
from exporter.server import wall_clock

NAMES = [f"job-{number}" for number in range(4)]
CONFIG = "heartbeats:\n" + "\n".join(f"  - {{name: {name}, interval: 1s, grace: 0s}}" for name in NAMES)
INTERVAL = 1 * SECOND


def is_past(moment: Moment) -> bool:
    return wall_clock() > moment


async def test_kill_9_loses_no_acknowledged_ping_and_makes_nothing_overdue(start_exporter: StartExporter) -> None:
    exporter = start_exporter(CONFIG)
    urls = exporter.urls()
    tally = Tally()
    for kill in range(10):
        await ping_until_signalled(exporter, urls, tally, 100 + 17 * kill, signal.SIGKILL)
        assert exporter.wait() == -signal.SIGKILL
        exporter.start()

        page = exporter.scrape()
        counted = page.each("heartbeat_pings_total", signal="success")
        last = page.each("heartbeat_last_success_timestamp_seconds")
        for name in NAMES:
            assert tally.acknowledged[name] <= counted[name] <= tally.sent[name]
            assert round(last[name] * SECOND) >= tally.last_sent[name]

        missed = max(tally.last_sent.values()) + INTERVAL
        eventually("the next check-ins are missed", partial(is_past, missed))
        assert exporter.scrape().each("heartbeat_overdue") == dict.fromkeys(NAMES, 0)
        tally.sent = Counter({name: int(count) for name, count in counted.items()})
        tally.acknowledged = tally.sent.copy()
