"""A store that takes nothing for a while: what jobs, Prometheus and people are told, and that it passes."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from running import Clock, Running, exporter_in, until

from exporter.heartbeat import Ping, Signal
from exporter.monitor import Monitor
from exporter.store import StoreError
from exporter.store.sqlite import SqliteStore

NOON = 1_790_000_000_000
CONFIG = "heartbeats: [{name: backup, interval: 1h, grace: 5m, token: own-token-0123456789}]"
PING = "/ping/own-token-0123456789"
BODY = b"x" * 10_000


async def limit_pages(server: Running, pages: int) -> None:
    """Let SQLite's file grow to that many pages and no further, as a disk would that is full; 0: as it likes."""
    store = server.exporter._monitor._store
    assert isinstance(store, SqliteStore)
    await store._run(store._db.execute, f"PRAGMA max_page_count = {pages or 2**30}")


async def ping(server: Running) -> int:
    async with server.client.post(PING, data=BODY) as answer:
        return answer.status


async def fill(server: Running) -> int:
    """Ping until the store takes no more; returns how many pings it took."""
    await limit_pages(server, 1)
    for taken in range(100):
        if await ping(server) != 200:
            return taken
    raise AssertionError("the store never filled up")


@pytest.fixture
def clock() -> Clock:
    return Clock(NOON)


@pytest.fixture
async def server(tmp_path: Path, clock: Clock) -> AsyncIterator[Running]:
    async with exporter_in(tmp_path, CONFIG, clock) as running:
        yield running


async def test_a_ping_that_cannot_be_stored_is_refused_and_not_counted(server: Running) -> None:
    taken = await fill(server)
    async with server.client.post(PING, data=BODY) as answer:
        assert (answer.status, await answer.text()) == (503, "the ping could not be stored")
        assert answer.headers["Retry-After"] == "10"
    assert await server.sample('heartbeat_exporter_pings_rejected_total{reason="store"}') == 2
    await limit_pages(server, 0)
    assert await ping(server) == 200
    assert await server.sample('heartbeat_pings_total{heartbeat="backup",signal="success"}') == taken + 1


async def test_while_the_store_is_down_nothing_is_claimed_of_the_heartbeats(server: Running) -> None:
    assert await server.sample("heartbeat_exporter_store_up") == 1
    await fill(server)
    assert await server.sample("heartbeat_exporter_store_up") == 0
    page = await server.metrics()
    assert 'heartbeat="backup"' not in page
    assert "heartbeat_exporter_heartbeats" not in page
    for path in ("/-/ready", "/"):
        async with server.client.get(path) as answer:
            assert answer.status == 503
            assert "the disk is full" in await answer.text()
    async with server.client.get("/-/healthy") as answer:
        assert answer.status == 200


async def test_a_beat_finds_out_that_the_store_works_again(server: Running) -> None:
    await fill(server)
    await limit_pages(server, 0)
    await server.exporter._monitor.beat(NOON)
    assert await server.sample("heartbeat_exporter_store_up") == 1
    assert await server.sample('heartbeat_overdue{heartbeat="backup"}') == 0
    async with server.client.get("/-/ready") as answer:
        assert answer.status == 200


async def test_the_beat_tries_a_store_that_failed_until_it_works(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporter.server.RETRY_SECONDS", 0.01)  # and ten seconds between beats otherwise
    await server.exporter._monitor.beat(NOON)
    await fill(server)
    store = server.exporter._monitor._store
    assert isinstance(store, SqliteStore)
    await store._run(store._db.execute, "PRAGMA query_only = 1")
    beating = asyncio.ensure_future(server.exporter.keep_beating())
    with pytest.raises(StoreError):
        await server.exporter._monitor.beat(NOON)
    await store._run(store._db.execute, "PRAGMA query_only = 0")

    async def works() -> bool:
        return server.exporter._monitor.trouble is None

    await until(works)
    beating.cancel()


async def test_a_span_in_which_the_store_took_no_pings_is_an_outage(server: Running, clock: Clock) -> None:
    await fill(server)
    clock.advance(2 * 3600)
    await limit_pages(server, 0)
    await server.exporter._monitor.beat(clock())
    assert await server.sample('heartbeat_overdue{heartbeat="backup"}') == 0
    assert await server.sample("heartbeat_exporter_last_outage_start_timestamp_seconds") == NOON / 1000
    await server.pass_time(clock, 299.999)
    assert await server.sample('heartbeat_overdue{heartbeat="backup"}') == 0
    await server.pass_time(clock, 0.001)
    assert await server.sample('heartbeat_overdue{heartbeat="backup"}') == 1


async def test_a_reload_that_cannot_be_stored_changes_nothing(server: Running) -> None:
    store = server.exporter._monitor._store
    assert isinstance(store, SqliteStore)
    await store._run(store._db.execute, "PRAGMA query_only = 1")
    server.settings.config_file.write_text("heartbeats: [{name: other, interval: 1h}]")
    async with server.client.post("/-/reload") as answer:
        assert answer.status == 500
    await store._run(store._db.execute, "PRAGMA query_only = 0")
    assert await ping(server) == 200
    assert await server.sample('heartbeat_pings_total{heartbeat="backup",signal="success"}') == 1


async def test_more_pings_than_may_wait_are_refused_as_overload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporter.monitor.WAITING_AT_MOST", 5)
    async with exporter_in(tmp_path, CONFIG) as server:
        statuses = await asyncio.gather(*(ping(server) for _ in range(100)))
        accepted, refused = statuses.count(200), statuses.count(503)
        assert accepted >= 5
        assert refused == 100 - accepted
        assert await server.sample('heartbeat_exporter_pings_rejected_total{reason="overload"}') == refused
        assert await server.sample('heartbeat_pings_total{heartbeat="backup",signal="success"}') == accepted
        assert await server.sample("heartbeat_exporter_store_up") == 1


# A disk that hangs


@pytest.fixture
async def hang(server: Running) -> AsyncIterator[Callable[[], None]]:
    """The thread of the store stands still, as it does behind a disk that does not answer, until this is called."""
    store = server.exporter._monitor._store
    assert isinstance(store, SqliteStore)
    goes_on = threading.Event()
    standing = asyncio.ensure_future(store._run(goes_on.wait))
    yield goes_on.set
    goes_on.set()
    await standing


async def pending_ping(server: Running) -> "asyncio.Task[int]":
    """A ping that has reached the store and is not answered."""
    task = asyncio.create_task(ping(server))

    async def given() -> bool:
        return server.exporter._monitor._called_at is not None

    await until(given)
    return task


async def test_a_store_that_does_not_come_back_is_down_until_it_does_and_the_ping_that_waited_is_taken(
    server: Running, hang: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporter.monitor.HUNG_AFTER", 0)
    waiting = await pending_ping(server)
    assert await server.sample("heartbeat_exporter_store_up") == 0
    page = await server.metrics()
    assert 'heartbeat="backup"' not in page
    for path in ("/-/ready", "/"):
        async with server.client.get(path) as answer:
            assert answer.status == 503
            assert "the store has not come back from a call for 0 s: the disk hangs" in await answer.text()
    hang()
    assert await waiting == 200
    assert server.exporter._monitor.trouble is None
    assert await server.sample("heartbeat_exporter_store_up") == 1
    assert await server.sample('heartbeat_pings_total{heartbeat="backup",signal="success"}') == 1


async def test_a_call_that_is_merely_under_way_is_no_trouble_and_keeps_no_scrape_waiting(
    server: Running, hang: Callable[[], None]
) -> None:
    waiting = await pending_ping(server)
    assert await server.sample("heartbeat_exporter_store_up") == 1
    assert await server.sample('heartbeat_overdue{heartbeat="backup"}') == 0
    async with server.client.get("/-/ready") as answer:
        assert answer.status == 200
    hang()
    assert await waiting == 200


async def test_how_long_it_has_not_come_back_is_told_from_ten_seconds_on(
    server: Running, hang: Callable[[], None]
) -> None:
    running = Clock(0)
    monitor = server.exporter._monitor
    monitor._elapsed = lambda: running() / 1000
    waiting = await pending_ping(server)
    running.advance(10)
    assert monitor.trouble is None
    running.advance(1.9)
    assert monitor.trouble is not None
    assert "has not come back from a call for 12 s" in monitor.trouble
    hang()
    assert await waiting == 200
    assert monitor.trouble is None


async def test_what_was_given_to_the_monitor_is_settled_before_it_closes(server: Running) -> None:
    monitor: Monitor = server.exporter._monitor
    (heartbeat,) = monitor.roster.config.heartbeats
    given = [asyncio.ensure_future(monitor.record(heartbeat, Ping(NOON, Signal.SUCCESS))) for _ in range(50)]
    await asyncio.sleep(0)  # each is given before the drain begins
    await monitor.close()
    assert all(one.done() for one in given)
    assert await server.sample('heartbeat_pings_total{heartbeat="backup",signal="success"}') == 50
