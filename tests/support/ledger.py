"""What a database holds, held against what clients know of the pings that they sent."""

import shutil
import sqlite3
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from folding import lived
from load import BODY_LIMIT, Load, Sent
from victim import Victim

from exporter.config import load as load_config
from exporter.heartbeat import Heartbeat, Name, Ping, Record
from exporter.schedule import SECOND
from exporter.store.sqlite import SqliteStore

NUMBERING = """
SELECT name, min(number), max(number), count(*) FROM pings JOIN heartbeats ON heartbeats.id = heartbeat GROUP BY name
"""


@dataclass(frozen=True)
class Kept:
    """What is kept of one heartbeat."""

    heartbeat: Heartbeat
    record: Record
    pings: Sequence[Ping]
    """The first one first."""


async def read(database: Path, config_file: Path) -> Mapping[Name, Kept]:
    """Everything in the database of an exporter that is down, once SQLite finds it whole.

    A copy is read, so that whatever a crash has left is still there for the exporter.
    """
    heartbeats = load_config(config_file).heartbeats
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / database.name
        for suffix in ("", "-wal", "-journal"):
            if Path(f"{database}{suffix}").exists():
                shutil.copy(f"{database}{suffix}", f"{copy}{suffix}")
        if not copy.exists():
            return {}
        store = await SqliteStore.open(copy)
        try:
            histories = {heartbeat.name: await store.history(heartbeat.name) for heartbeat in heartbeats}
            records = dict(store._records)
        finally:
            await store.close()
        _check_file(copy, records)
    assert records.keys() <= histories.keys()
    return {
        heartbeat.name: Kept(heartbeat, records[heartbeat.name], histories[heartbeat.name][::-1])
        for heartbeat in heartbeats
        if heartbeat.name in records
    }


def _check_file(file: Path, records: Mapping[Name, Record]) -> None:
    with closing(sqlite3.connect(file)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        numbering = {name: numbers for name, *numbers in db.execute(NUMBERING)}
    assert numbering == {name: [1, record.pings, record.pings] for name, record in records.items() if record.pings}


def check(ledger: Mapping[Name, Kept], sent: Iterable[Sent]) -> None:
    """Nothing acknowledged is missing, nothing is there twice or that nobody sent, and all is in order.

    From then on each ping that had no answer has its fate: it is kept, or it is not.
    """
    by_name = {one.name: one for one in sent}
    found: dict[str, Ping] = {}
    for name, kept in ledger.items():
        assert lived(kept.heartbeat, kept.record.armed_at, *kept.pings) == kept.record, name
        for ping in kept.pings:
            assert ping.user_agent not in found, f"{ping.user_agent} is there twice"
            found[ping.user_agent] = ping
            _check_ping(kept.heartbeat, ping, by_name[ping.user_agent])
        _check_order(kept.pings)
    for one in by_name.values():
        kept_now = one.name in found
        expected = {200: True, 503: False, None: one.kept}[one.status]
        assert expected is None or kept_now == expected, f"kept: {kept_now}, and should not be so: {one}"
        one.kept = kept_now
    _check_moments(found)


def _check_ping(heartbeat: Heartbeat, ping: Ping, sent: Sent) -> None:
    assert ping == Ping(
        at=ping.at,
        signal=sent.signal,
        rid=sent.rid,
        exit_status=sent.exit_status,
        ignored=sent.method not in heartbeat.methods,
        method=sent.method,
        remote="127.0.0.1",
        user_agent=sent.name,
        body=sent.body[:BODY_LIMIT],
    ), sent
    assert heartbeat.name == sent.heartbeat
    assert ping.at >= sent.at, sent


def _check_order(pings: Iterable[Ping]) -> None:
    """Each client's own pings come in the order in which it sent them."""
    last: Counter[str] = Counter()
    for ping in pings:
        client, _, number = ping.user_agent.partition("/")
        assert int(number) > last[client], f"{ping.user_agent} comes after {client}/{last[client]}"
        last[client] = int(number)


def _check_moments(found: Mapping[str, Ping]) -> None:
    """A client's later pings, whichever heartbeats they are for, were not received earlier."""
    moments: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    for name, ping in found.items():
        client, _, number = name.partition("/")
        moments[client].append((int(number), ping.at))
    for numbered in moments.values():
        received = [at for _, at in sorted(numbered)]
        assert received == sorted(received)


SHOWN: Mapping[str, Callable[[Record], float]] = {
    "heartbeat_last_seen_timestamp_seconds": lambda record: record.last_seen / SECOND,
    "heartbeat_last_success_timestamp_seconds": lambda record: record.last_success / SECOND,
    "heartbeat_last_failure_timestamp_seconds": lambda record: record.last_failure / SECOND,
    "heartbeat_last_start_timestamp_seconds": lambda record: record.last_start / SECOND,
    "heartbeat_consecutive_failures": lambda record: record.consecutive_failures,
    "heartbeat_running": lambda record: record.run is not None,
}
COUNTED: Mapping[str, Callable[[Record], float]] = {
    "success": lambda record: record.successes,
    "fail": lambda record: record.failures,
    "start": lambda record: record.starts,
    "log": lambda record: record.logs,
}


async def check_at_rest(victim: Victim, load: Load) -> None:
    """Once it is started again and nobody pings it, its metrics say what its database does, and that is all there."""
    victim.start()
    page = victim.scrape()
    assert victim.stop() == 0
    ledger = await read(victim.database, victim.config_file)
    check(ledger, load)
    for metric, value in SHOWN.items():
        assert page.each(metric) == {name: value(kept.record) for name, kept in ledger.items()}, metric
    for signal, count in COUNTED.items():
        shown = page.each("heartbeat_pings_total", signal=signal)
        counted = {name: count(kept.record) for name, kept in ledger.items()}
        assert {name: shown.get(name, 0) for name in counted} == counted, signal
