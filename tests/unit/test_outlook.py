import asyncio

import pytest
from folding import start, success

from exporter.heartbeat import Heartbeat, Name, Outage, Record, Status
from exporter.outlook import Outlook
from exporter.schedule import DAY, HOUR, MINUTE, Interval

T0 = 1_790_000_000_000
HEARTBEATS = tuple(Heartbeat(Name(f"job-{number}"), Interval(HOUR), grace=MINUTE) for number in range(6))
RECORDS = {heartbeat.name: Record.armed(heartbeat, T0) for heartbeat in HEARTBEATS}


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exporter.outlook.BLOCK", 2)


class Counted(Outlook):
    """Notes at which heartbeats it looks."""

    def __init__(self) -> None:
        super().__init__(HEARTBEATS, RECORDS)
        self._looked: list[int] = []

    def looked_at(self) -> list[int]:
        looked, self._looked = sorted(self._looked), []
        return looked

    def _look_at(self, position: int) -> None:
        self._looked.append(position)
        super()._look_at(position)


@pytest.fixture
def outlook() -> Counted:
    return Counted()


async def test_only_heartbeats_that_were_pinged_or_whose_moment_has_come_are_looked_at(outlook: Counted) -> None:
    await outlook.survey(T0, None)
    assert outlook.looked_at() == [0, 1, 2, 3, 4, 5]
    await outlook.survey(T0 + HOUR - 1, None)
    assert outlook.looked_at() == []
    third = HEARTBEATS[3]
    outlook.note({third.name: RECORDS[third.name].after(success(T0 + 5), third)})
    await outlook.survey(T0 + HOUR - 1, None)
    assert outlook.looked_at() == [3]
    await outlook.survey(T0 + HOUR, None)  # all but the one that was pinged are late
    assert outlook.looked_at() == [0, 1, 2, 3, 4, 5]
    await outlook.survey(T0 + HOUR + MINUTE - 1, None)
    assert outlook.looked_at() == [3]
    await outlook.survey(T0 + HOUR + MINUTE, None)
    assert outlook.looked_at() == [0, 1, 2, 4, 5]
    await outlook.survey(T0 + DAY, None)
    assert outlook.looked_at() == [3]
    await outlook.survey(T0 + 2 * DAY, None)
    assert outlook.looked_at() == []


async def test_blocks_in_which_nothing_changed_are_the_same_objects(outlook: Counted) -> None:
    before = await outlook.survey(T0, None)
    third = HEARTBEATS[3]
    outlook.note({third.name: RECORDS[third.name].after(success(T0 + 5), third)})
    after = await outlook.survey(T0 + 10, None)
    assert [old is new for old, new in zip(before.blocks, after.blocks, strict=True)] == [True, False, True]


async def test_what_passes_by_itself_shows_at_its_very_millisecond(outlook: Counted) -> None:
    shown = []
    for now in (T0, T0 + HOUR - 1, T0 + HOUR, T0 + HOUR + MINUTE - 1, T0 + HOUR + MINUTE):
        survey = await outlook.survey(now, None)
        shown.append(survey.observations[0].assessment.status)
    assert shown == [Status.NEW, Status.NEW, Status.LATE, Status.LATE, Status.OVERDUE]


async def test_all_are_looked_at_when_an_outage_moves_deadlines_or_the_clock_goes_back(outlook: Counted) -> None:
    await outlook.survey(T0 + 2 * HOUR, None)
    assert outlook.passed == T0 + HOUR + MINUTE
    outlook.looked_at()
    outage = Outage(T0 + HOUR, T0 + 2 * HOUR, 5 * MINUTE)
    survey = await outlook.survey(T0 + 2 * HOUR, outage)
    assert outlook.looked_at() == [0, 1, 2, 3, 4, 5]
    assert not any(observation.assessment.overdue for observation in survey.observations)
    assert outlook.passed == 0
    await outlook.survey(T0 + 2 * HOUR - 1, outage)
    assert outlook.looked_at() == [0, 1, 2, 3, 4, 5]


async def test_after_a_reload_what_is_the_same_is_the_same_object(outlook: Counted) -> None:
    before = await outlook.survey(T0, None)
    again = await Outlook(HEARTBEATS, RECORDS, outlook).survey(T0 + 1, None)
    assert all(old is new for old, new in zip(before.observations, again.observations, strict=True))


async def test_the_heap_of_moments_does_not_grow_with_pings(outlook: Counted) -> None:
    first = HEARTBEATS[0]
    record = RECORDS[first.name]
    for at in range(1, 500):
        record = record.after(success(T0 + at), first)
        outlook.note({first.name: record})
        await outlook.survey(T0 + at, None)
    assert len(outlook._moments) == len(HEARTBEATS)


async def test_the_heap_of_moments_does_not_grow_with_runs_that_bring_deadlines_forward() -> None:
    daily = Heartbeat(Name("daily"), Interval(DAY), max_runtime=MINUTE)
    record = Record.armed(daily, T0)
    outlook = Outlook((daily,), {daily.name: record})
    for minute in range(0, 400, 2):
        for ping in (start(T0 + minute * MINUTE), success(T0 + minute * MINUTE + 1)):
            record = record.after(ping, daily)
            outlook.note({daily.name: record})
            await outlook.survey(ping.at, None)
    assert len(outlook._moments) < 10
    overdue = await outlook.survey(T0 + 3 * DAY, None)
    assert overdue.observations[0].assessment.overdue


async def test_pings_that_come_during_a_survey_are_in_the_next_and_a_broken_off_survey_loses_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("exporter.turns.SLICE_SECONDS", 0)
    outlook = Outlook(HEARTBEATS, RECORDS)
    survey = asyncio.create_task(outlook.survey(T0, None))
    await asyncio.sleep(0)
    survey.cancel()
    await asyncio.wait((survey,))
    pinged = {one.name: RECORDS[one.name].after(success(T0 + 5), one) for one in HEARTBEATS}
    surveying = asyncio.create_task(outlook.survey(T0 + 9, None))
    await asyncio.sleep(0)
    outlook.note(pinged)
    assert len((await surveying).observations) == len(HEARTBEATS)
    later = await outlook.survey(T0 + 9, None)
    assert {one.record.last_seen for one in later.observations} == {T0 + 5}


async def test_records_of_heartbeats_that_have_left_are_passed_over(outlook: Counted) -> None:
    outlook.note({Name("gone"): RECORDS[HEARTBEATS[0].name]})
    assert len((await outlook.survey(T0, None)).observations) == len(HEARTBEATS)
