"""Every sentence of `exporter.store.Store`, over every store."""

import asyncio
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from places import NewPlace, Place

from exporter.heartbeat import Heartbeat, Liveness, Name, Outage, Ping, Record, RunId, Signal
from exporter.schedule import DAY, HOUR, MINUTE, SECOND, Cron, Interval, Moment
from exporter.store import KEEP_REMOVED, Arrival, Store, StoreError

NOW: Moment = 1_700_000_000_000
KEPT = 100
BACKUP = Heartbeat(Name("backup"), Interval(HOUR))
REPORT = Heartbeat(Name("report"), Cron("0 3 * * *", "Europe/Berlin"), max_runtime=HOUR)
IMPORT = Heartbeat(Name("import"), Interval(MINUTE), paused=True)
HEARTBEATS = (BACKUP, REPORT, IMPORT)

# One example opens a file or two and waits for the disk at every commit.
few = settings(max_examples=30, deadline=None)

names_of_runs = st.uuids().map(lambda run: RunId(str(run)))
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)  # surrogates have a test of their own
moments = st.integers(NOW - DAY, NOW + DAY)
pings = st.builds(
    Ping,
    at=moments,
    signal=st.sampled_from(Signal),
    rid=st.none() | st.sampled_from([RunId(str(uuid.UUID(int=number))) for number in range(3)]) | names_of_runs,
    exit_status=st.none() | st.integers(0, 255),
    ignored=st.booleans(),
    method=st.sampled_from(["GET", "HEAD", "POST"]),
    remote=texts,
    user_agent=texts,
    body=st.binary(max_size=50),
)
arrivals = st.builds(Arrival, st.sampled_from(HEARTBEATS), pings)
batches = st.lists(st.lists(arrivals, max_size=8), max_size=8)


def success(at: Moment = NOW, body: bytes = b"") -> Ping:
    return Ping(at, Signal.SUCCESS, body=body)


def folded(records: Mapping[Name, Record], batch: Sequence[Arrival]) -> dict[Name, Record]:
    """What a batch makes of the records that it touches."""
    touched: dict[Name, Record] = {}
    for heartbeat, ping in batch:
        record = touched.get(heartbeat.name) or records.get(heartbeat.name) or Record.armed(heartbeat, ping.at)
        touched[heartbeat.name] = record.after(ping, heartbeat)
    return touched


# Adopting


async def test_a_heartbeat_without_a_record_is_armed(store: Store) -> None:
    assert await store.adopt(HEARTBEATS, NOW) == {h.name: Record.armed(h, NOW) for h in HEARTBEATS}


async def test_adopting_the_same_heartbeats_again_changes_no_record(store: Store) -> None:
    await store.adopt(HEARTBEATS, NOW)
    before = dict(await store.commit([Arrival(h, success(NOW + SECOND)) for h in HEARTBEATS], KEPT))
    assert await store.adopt(HEARTBEATS, NOW + MINUTE) == before


async def test_a_heartbeat_with_another_schedule_is_armed_anew_and_keeps_its_counts(store: Store) -> None:
    await store.adopt([BACKUP], NOW)
    record = (await store.commit([Arrival(BACKUP, success(NOW + 1))], KEPT))[BACKUP.name]
    daily = replace(BACKUP, schedule=Interval(DAY))
    adopted = (await store.adopt([daily], NOW + 2))[BACKUP.name]
    assert adopted == record.adopted(daily, NOW + 2)
    assert (adopted.armed_at, adopted.successes) == (NOW + 2, 1)


async def test_pausing_and_resuming_are_remembered(place: Place) -> None:
    await place.store.adopt([BACKUP], NOW)
    paused = (await place.store.adopt([replace(BACKUP, paused=True)], NOW + 1))[BACKUP.name]
    assert (paused.paused, paused.armed_at) == (True, NOW)
    resumed = (await (await place.reopen()).adopt([BACKUP], NOW + 2))[BACKUP.name]
    assert (resumed.paused, resumed.armed_at) == (False, NOW + 2)


async def test_only_the_records_of_heartbeats_that_are_watched_are_returned(store: Store) -> None:
    await store.adopt(HEARTBEATS, NOW)
    assert list(await store.adopt([REPORT], NOW + 1)) == [REPORT.name]
    assert await store.adopt([], NOW + 2) == {}


async def test_what_adopt_returned_survives_reopening(place: Place) -> None:
    adopted = await place.store.adopt(HEARTBEATS, NOW)
    assert await (await place.reopen()).adopt(HEARTBEATS, NOW + 1) == adopted


@pytest.mark.parametrize("away", [0, 1, KEEP_REMOVED - 1])
async def test_a_heartbeat_that_comes_back_in_time_has_its_counts_and_its_history(place: Place, away: int) -> None:
    await place.store.adopt([BACKUP, REPORT], NOW)
    ping = success(NOW + 1, b"done")
    await place.store.commit([Arrival(BACKUP, ping)], KEPT)
    await place.store.adopt([REPORT], NOW + 2)
    await place.store.adopt([REPORT], NOW + 2 + away)
    store = await place.reopen()
    record = (await store.adopt([BACKUP, REPORT], NOW + 2 + away))[BACKUP.name]
    assert (record.successes, record.last_success, record.removed_at) == (1, NOW + 1, None)
    assert record.armed_at == NOW + 2 + away
    assert await store.history(BACKUP.name) == [ping]


async def test_the_record_of_a_heartbeat_that_stays_away_is_deleted_with_its_history(place: Place) -> None:
    await place.store.adopt([BACKUP, REPORT], NOW)
    await place.store.commit([Arrival(BACKUP, success()), Arrival(REPORT, success())], KEPT)
    await place.store.adopt([REPORT], NOW + 1)
    store = await place.reopen()
    await store.adopt([REPORT], NOW + 1 + KEEP_REMOVED // 2)  # The time counts from when it left.
    await store.adopt([REPORT], NOW + 1 + KEEP_REMOVED)
    assert await store.history(BACKUP.name) == []
    assert await store.history(REPORT.name) == [success()]
    again = NOW + 2 + KEEP_REMOVED
    assert (await store.adopt([BACKUP, REPORT], again))[BACKUP.name] == Record.armed(BACKUP, again)


async def test_a_deleted_heartbeat_begins_a_new_history(store: Store) -> None:
    await store.adopt([BACKUP, REPORT], NOW)
    await store.commit([Arrival(h, success(body=b"old")) for h in (BACKUP, REPORT) for _ in range(5)], KEPT)
    await store.adopt([], NOW)
    await store.adopt([], NOW + KEEP_REMOVED)
    record = (await store.commit([Arrival(IMPORT, success()), Arrival(BACKUP, success())], KEPT))[BACKUP.name]
    assert record.pings == 1
    assert await store.history(BACKUP.name) == [success()]


async def test_a_ping_that_comes_after_its_heartbeat_has_left_is_counted_but_does_not_bring_it_back(
    store: Store,
) -> None:
    await store.adopt([BACKUP], NOW)
    await store.adopt([], NOW + 1)
    record = (await store.commit([Arrival(BACKUP, success(NOW + 2))], KEPT))[BACKUP.name]
    assert (record.successes, record.removed_at) == (1, NOW + 1)
    assert (await store.adopt([BACKUP], NOW + 3))[BACKUP.name].successes == 1


# Committing


async def test_a_heartbeat_without_a_record_is_armed_by_its_first_ping(store: Store) -> None:
    first, second = success(NOW), success(NOW + 1)
    touched = await store.commit([Arrival(BACKUP, first), Arrival(BACKUP, second)], KEPT)
    assert touched == {BACKUP.name: Record.armed(BACKUP, NOW).after(first, BACKUP).after(second, BACKUP)}


async def test_exactly_the_records_that_were_touched_are_returned(store: Store) -> None:
    await store.adopt(HEARTBEATS, NOW)
    assert list(await store.commit([Arrival(REPORT, success()), Arrival(REPORT, success())], KEPT)) == [REPORT.name]
    assert await store.commit([], KEPT) == {}


@few
@given(plan=batches)
async def test_any_batches_leave_what_folding_leaves(new_place: NewPlace, plan: Sequence[Sequence[Arrival]]) -> None:
    async with new_place() as place:
        records = dict(await place.store.adopt(HEARTBEATS, NOW))
        for batch in plan:
            expected = folded(records, batch)
            assert await place.store.commit(batch, KEPT) == expected
            records |= expected
        assert await place.store.adopt(HEARTBEATS, NOW) == records
        assert await (await place.reopen()).adopt(HEARTBEATS, NOW) == records


async def test_every_field_of_a_record_survives_reopening(place: Place) -> None:
    await place.store.adopt([BACKUP], NOW)
    run = RunId(str(uuid.UUID(int=1)))
    steps = (
        Ping(NOW + 1 * MINUTE, Signal.START),
        Ping(NOW + 3 * MINUTE, Signal.SUCCESS),
        *(Ping(NOW + 4 * MINUTE, Signal.LOG) for _ in range(3)),
        *(Ping(NOW + 5 * MINUTE + second, Signal.FAIL, exit_status=7) for second in range(4)),
        *(Ping(NOW + 6 * MINUTE + second, Signal.START, rid=run) for second in range(5)),
        *(Ping(NOW + 7 * MINUTE, Signal.FAIL, rid=RunId(str(uuid.UUID(int=2)))) for _ in range(2)),
        Ping(NOW + 8 * MINUTE, Signal.LOG),
    )
    record = (await place.store.commit([Arrival(BACKUP, step) for step in steps], KEPT))[BACKUP.name]
    untouched = Record.armed(BACKUP, NOW)
    same = {field for field in Record._fields if getattr(record, field) == getattr(untouched, field)}
    assert same == {"armed_at", "schedule", "paused", "removed_at"}  # which other tests reopen
    assert await (await place.reopen()).adopt([BACKUP], NOW + HOUR) == {BACKUP.name: record}


@few
@given(ping=pings)
async def test_every_field_of_a_ping_survives_reopening(new_place: NewPlace, ping: Ping) -> None:
    async with new_place() as place:
        await place.store.commit([Arrival(BACKUP, ping)], KEPT)
        assert await (await place.reopen()).history(BACKUP.name) == [ping]


async def test_a_body_is_kept_byte_for_byte(store: Store) -> None:
    ping = success(body=bytes(range(256)) * 40)
    await store.commit([Arrival(BACKUP, ping)], KEPT)
    assert await store.history(BACKUP.name) == [ping]


async def test_text_that_no_encoding_expresses_is_kept_as_escapes_and_harms_no_other_ping(store: Store) -> None:
    stray = success()._replace(method="GE\udc80T", remote="\udcff", user_agent="Zürich \ud800\x00/1.0")
    await store.commit([Arrival(BACKUP, stray), Arrival(REPORT, success())], KEPT)
    assert await store.history(BACKUP.name) == [
        stray._replace(method="GE\\udc80T", remote="\\udcff", user_agent="Zürich \\ud800\x00/1.0")
    ]
    assert await store.history(REPORT.name) == [success()]


# History


async def test_the_history_is_newest_first_in_the_order_of_arrival_whatever_the_clock_did(store: Store) -> None:
    first, second, third = success(NOW), success(NOW - HOUR), success(NOW - MINUTE)
    await store.commit([Arrival(BACKUP, first), Arrival(REPORT, success()), Arrival(BACKUP, second)], KEPT)
    await store.commit([Arrival(BACKUP, third)], KEPT)
    assert await store.history(BACKUP.name) == [third, second, first]


async def test_the_history_of_an_unknown_name_and_of_a_heartbeat_without_pings_is_empty(store: Store) -> None:
    await store.adopt([BACKUP], NOW)
    assert await store.history(BACKUP.name) == []
    assert await store.history(Name("nobody")) == []


async def test_an_ignored_ping_is_kept_in_the_history_and_changes_nothing_else(store: Store) -> None:
    record = (await store.adopt([BACKUP], NOW))[BACKUP.name]
    ping = success(NOW + 1)._replace(ignored=True)
    assert await store.commit([Arrival(BACKUP, ping)], KEPT) == {BACKUP.name: record._replace(pings=1)}
    assert await store.history(BACKUP.name) == [ping]


@pytest.mark.parametrize("sizes", [[3], [4], [10], [3, 1], [2, 2], [1] * 10, [2, 7, 3]])
async def test_exactly_the_last_pings_are_kept(store: Store, sizes: Sequence[int]) -> None:
    sent: list[Ping] = []
    for size in sizes:
        batch = [success(NOW + len(sent) + number) for number in range(size)]
        await store.commit([Arrival(BACKUP, ping) for ping in batch], 3)
        sent += batch
        assert await store.history(BACKUP.name) == sent[::-1][:3]


@few
@given(plan=st.lists(st.tuples(st.lists(arrivals, max_size=12), st.integers(0, 4)), max_size=8))
async def test_the_last_pings_are_kept_however_many_come_at_once_and_however_the_bound_changes(
    new_place: NewPlace, plan: Sequence[tuple[Sequence[Arrival], int]]
) -> None:
    expected: dict[Name, list[Ping]] = {heartbeat.name: [] for heartbeat in HEARTBEATS}
    async with new_place() as place:
        for batch, history in plan:
            await place.store.commit(batch, history)
            for heartbeat, ping in batch:
                expected[heartbeat.name].insert(0, ping)
            for name in {heartbeat.name for heartbeat, _ in batch}:
                del expected[name][history:]
        assert {name: await place.store.history(name) for name in expected} == expected


# Liveness


@few
@given(
    beats=st.lists(
        st.tuples(moments | st.integers(NOW, NOW + 2 * MINUTE), st.sampled_from([0, MINUTE, HOUR]), st.booleans()),
        max_size=6,
    ),
    reopen=st.booleans(),
)
async def test_beats_leave_the_liveness_that_follows_under_the_grace_of_the_day(
    new_place: NewPlace, beats: Sequence[tuple[Moment, int, bool]], reopen: bool
) -> None:
    expected = Liveness()
    async with new_place() as place:
        assert await place.store.liveness(HOUR) == expected
        for now, grace, restarted in beats:
            expected = under(expected, grace).at(now, grace, restarted=restarted)
            assert await place.store.beat(now, grace, restarted=restarted) == expected
        store = await place.reopen() if reopen else place.store
        assert await store.liveness(5 * MINUTE) == under(expected, 5 * MINUTE)


def under(liveness: Liveness, grace: int) -> Liveness:
    outage = liveness.outage
    return liveness if outage is None else replace(liveness, outage=replace(outage, grace=grace))


async def test_a_restart_is_an_outage_from_the_last_beat_on(place: Place) -> None:
    await place.store.beat(NOW, MINUTE)
    store = await place.reopen()
    liveness = await store.beat(NOW + 7, MINUTE, restarted=True)
    assert liveness == Liveness(NOW + 7, Outage(NOW, NOW + 7, MINUTE))
    assert await store.liveness(MINUTE) == liveness


# Transactions


async def test_when_one_ping_cannot_be_stored_none_of_its_batch_is(place: Place) -> None:
    before = dict(await place.store.adopt([BACKUP], NOW))
    impossible = Ping(1 << 80, Signal.SUCCESS)
    with pytest.raises((OverflowError, StoreError)):
        await place.store.commit([Arrival(BACKUP, success()), Arrival(IMPORT, impossible)], KEPT)
    assert await place.store.history(BACKUP.name) == []
    assert await place.store.adopt([BACKUP], NOW) == before
    await place.store.commit([Arrival(BACKUP, success())], KEPT)
    assert await place.store.history(BACKUP.name) == [success()]
    store = await place.reopen()
    assert (await store.adopt([BACKUP, IMPORT], NOW))[BACKUP.name].successes == 1
    assert await store.history(IMPORT.name) == []


async def test_calls_that_overlap_take_effect_in_the_order_in_which_they_were_made(store: Store) -> None:
    bodies = [b"%d" % number for number in range(50)]
    records = await asyncio.gather(
        *(store.commit([Arrival(BACKUP, success(body=body))], KEPT) for body in bodies),
        store.adopt([BACKUP], NOW),
    )
    assert [record[BACKUP.name].successes for record in records] == [*range(1, 51), 50]
    assert [ping.body for ping in await store.history(BACKUP.name)] == bodies[::-1]


async def test_a_call_whose_caller_gave_up_happens_wholly_or_not_at_all(store: Store) -> None:
    calls = [asyncio.create_task(store.commit([Arrival(BACKUP, success())] * 3, KEPT)) for _ in range(20)]
    await asyncio.sleep(0)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    record = (await store.adopt([BACKUP], NOW))[BACKUP.name]
    assert record.successes % 3 == 0
    assert len(await store.history(BACKUP.name)) == record.successes


async def test_closing_finishes_what_was_asked_for(place: Place) -> None:
    commits = [asyncio.create_task(place.store.commit([Arrival(BACKUP, success())], KEPT)) for _ in range(20)]
    await asyncio.sleep(0)
    store = await place.reopen()
    await asyncio.gather(*commits)
    assert (await store.adopt([BACKUP], NOW))[BACKUP.name].successes == 20
    assert len(await store.history(BACKUP.name)) == 20
