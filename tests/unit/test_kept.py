"""A page that is mended is the page that would be rendered from nothing, whatever happened in between."""

import asyncio
import gzip
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pages import rendered, survey_of
from stock import ENCODERS, OfOurOwn, StockPage
from strategies import T0, calendars

from exporter.heartbeat import NEVER, Heartbeat, Name, Observation, Outage, Ping, Record, RunId, Signal, assess
from exporter.metrics.kept import Chunk, KeptLines
from exporter.metrics.negotiation import Format
from exporter.metrics.page import Page
from exporter.outlook import Outlook
from exporter.schedule import DAY, HOUR, MINUTE, SECOND, Interval, Moment

NAMES = [Name(name) for name in ("a", "b", "c", "d", "e")]


@dataclass
class World:
    """An exporter without a store, and its page."""

    now: Moment = T0
    outage: Outage | None = None
    heartbeats: tuple[Heartbeat, ...] = ()
    records: dict[Name, Record] = field(default_factory=dict)
    outlook: Outlook = field(default_factory=lambda: Outlook((), {}))
    page: Page = field(default_factory=lambda: Page(OfOurOwn()))

    def declare(self, heartbeats: tuple[Heartbeat, ...]) -> None:
        known = {heartbeat.name: heartbeat for heartbeat in self.heartbeats}
        # As after a reload: what is the same is the same object.
        self.heartbeats = tuple(
            known[one.name] if one.name in known and known[one.name] == one else one for one in heartbeats
        )
        for one in self.heartbeats:
            record = self.records.get(one.name)
            self.records[one.name] = Record.armed(one, self.now) if record is None else record.adopted(one, self.now)
        self.outlook = Outlook(self.heartbeats, self.records, self.outlook)

    def ping(self, name: Name, ping: Ping) -> None:
        for heartbeat in self.heartbeats:
            if heartbeat.name == name:
                self.records[name] = self.records[name].after(ping, heartbeat)
                self.outlook.note({name: self.records[name]})

    async def check(self, form: Format) -> None:
        """The page is the one from scratch, which is the stock encoder's, and its compressed form unpacks to it."""
        survey = await self.outlook.survey(self.now, self.outage)
        anew = await Outlook(self.heartbeats, self.records).survey(self.now, self.outage)
        assert survey.observations == anew.observations
        expected = ENCODERS[form](StockPage(anew))
        for page in (self.page, Page(OfOurOwn())):
            for zipped in (False, True):
                sheet = await page.render(survey, form, zipped=zipped)
                whole = b"".join(sheet.pieces)
                assert sheet.size == len(whole)
                assert (gzip.decompress(whole) if zipped else whole) == expected


Step: TypeAlias = Callable[[World], None]


def ping_all(world: World, signal: Signal, status: int | None) -> None:
    for number, heartbeat in enumerate(world.heartbeats):
        world.ping(heartbeat.name, Ping(world.now + 10**number, signal, None, status))


def set_outage(world: World, length: int, grace: int) -> None:
    world.outage = Outage(world.now - length, world.now, grace)


def advance(world: World, by: int) -> None:
    world.now += by


declared = st.builds(
    Heartbeat,
    name=st.sampled_from(NAMES),
    schedule=st.sampled_from([Interval(MINUTE), Interval(HOUR), Interval(DAY)]) | calendars(),
    description=st.sampled_from(["", 'with "quotes"\\ and\nlines', "with\r\x85\u2028 others", " "]),
    labels=st.sampled_from([(), (("team", "a b"),), (("a", "\r\n"), ("z", 'heartbeat="a"'))]),
    max_runtime=st.none() | st.just(10 * MINUTE),
    failure_threshold=st.integers(1, 2),
    paused=st.sampled_from([False, False, False, True]),
)
sent = st.builds(
    lambda name, signal, rid, status: lambda world: world.ping(name, Ping(world.now, signal, rid, status)),
    st.sampled_from(NAMES),
    st.sampled_from(Signal),
    st.sampled_from([None, RunId("r"), RunId("s")]),
    st.none() | st.integers(0, 255),
)
rounds = st.tuples(st.sampled_from(Signal), st.none() | st.integers(0, 255)).map(
    lambda sent: lambda world: ping_all(world, *sent)
)
reloads = st.lists(declared, max_size=5, unique_by=lambda one: one.name).map(
    lambda heartbeats: lambda world: world.declare(tuple(heartbeats))
)
moves = st.sampled_from([1, 999, SECOND, MINUTE, 8 * MINUTE, HOUR, DAY, -1, -HOUR, 10 * MINUTE]).map(
    lambda by: lambda world: advance(world, by)
)
outages = st.tuples(st.integers(0, HOUR), st.sampled_from([0, 5 * MINUTE])).map(
    lambda outage: lambda world: set_outage(world, *outage)
)
steps: st.SearchStrategy[Step] = st.one_of(sent, rounds, rounds, moves, moves, reloads, outages)


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exporter.outlook.BLOCK", 2)


@settings(deadline=None, max_examples=150)
@given(first=reloads, lives=st.lists(st.tuples(st.lists(steps, max_size=4), st.sampled_from(Format)), max_size=6))
def test_the_page_is_the_one_from_scratch_after_any_pings_reloads_outages_and_moves_of_the_clock(
    first: Step, lives: list[tuple[list[Step], Format]]
) -> None:
    async def live() -> None:
        world = World()
        first(world)
        await world.check(Format.TEXT)
        for happening, form in lives:
            for step in happening:
                step(world)
            await world.check(form)

    asyncio.run(live())


def observed(name: str, now: Moment = T0, last_seen: Moment = NEVER) -> Observation:
    heartbeat = Heartbeat(Name(name), Interval(HOUR), labels=(("team", "x\r"),))
    known = Record.armed(heartbeat, T0)._replace(last_seen=last_seen)
    return Observation(heartbeat, known, assess(heartbeat, known, now, None))


async def test_only_chunks_in_which_something_changed_are_made_anew() -> None:
    lines = KeptLines()
    a, b, c = observed("a"), observed("b"), observed("c")
    await lines.revise(replace(survey_of(T0, a), blocks=((a, b), (c,))))
    before = all_chunks(lines)
    pinged = Observation(c.heartbeat, c.record.after(Ping(T0 + 5, Signal.LOG), c.heartbeat), c.assessment)
    await lines.revise(replace(survey_of(T0, a), blocks=((a, b), (pinged,))))
    after = all_chunks(lines)
    changed = [place for place, chunk in after.items() if chunk is not before[place]]
    assert sorted(changed) == [(0, 1), (15, 1)]  # when it was last seen, and its pings; both of the second block


async def test_a_scrape_packs_only_what_changed_since_the_last() -> None:
    page = Page(OfOurOwn())
    a, b = observed("a"), observed("b")
    await page.render(replace(survey_of(T0), blocks=((a,), (b,))), Format.TEXT, zipped=True)
    again = Observation(b.heartbeat, b.record._replace(last_seen=T0 + 1), b.assessment)
    await page._kept.revise(replace(survey_of(T0), blocks=((a,), (again,))))
    unpacked = [place for place, chunk in all_chunks(page._kept).items() if chunk.text and chunk._packed is None]
    assert unpacked == [(0, 1)]


def all_chunks(lines: KeptLines) -> dict[tuple[int, int], Chunk]:
    return {
        (family, block): chunk for block, kept in enumerate(lines._kept) for family, chunk in enumerate(kept.chunks)
    }


def test_what_was_taken_does_not_change_when_the_page_does() -> None:
    async def take() -> bytes:
        page = Page(OfOurOwn())
        sheet = await page.render(survey_of(T0, observed("a")), Format.TEXT)
        await page.render(survey_of(T0, observed("a", last_seen=T0 + 5)), Format.TEXT)
        return b"".join(sheet.pieces)

    assert asyncio.run(take()) == rendered(Page(OfOurOwn()), survey_of(T0, observed("a")), Format.TEXT)


def test_pages_that_are_rendered_at_the_same_time_do_not_disturb_each_other() -> None:
    surveys = [survey_of(T0, observed("a", last_seen=T0 + number)) for number in range(20)]

    async def render() -> list[bytes]:
        page = Page(OfOurOwn())
        sheets = await asyncio.gather(*(page.render(survey, Format.TEXT) for survey in surveys))
        return [b"".join(sheet.pieces) for sheet in sheets]

    assert asyncio.run(render()) == [ENCODERS[Format.TEXT](StockPage(survey)) for survey in surveys]
