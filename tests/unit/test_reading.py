"""How a running exporter reads its configuration: the same by either way, and with turns for everybody else."""

import asyncio
import gc
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from configs import write
from running import exporter_in
from turning import turns_during

from exporter.config import Config, ConfigError, load
from exporter.config.apart import AT_ONCE, HEADER, Assembly, Outcome, hand_over
from exporter.config.load import LargeConfig
from exporter.garbage import MANY
from exporter.reading import LARGE, _taken_over, nothing_known, read
from exporter.roster import Roster
from exporter.turns import in_turns

ROOT = Path(__file__).parents[2]
TESTDATA = sorted((ROOT / "tests/testdata/config").rglob("*.yaml"))
SECRET = b"a secret of sixteen bytes or more"

GOOD = """
outage_grace: 7m
pings: {keys: [{key: kkkkkkkkkkkkkkkk, create: true}], trusted_proxies: [10.0.0.0/8, "2001:db8::/32"], history: 7}
defaults: {labels: {team: platform}, methods: [POST]}
heartbeats:
  - {name: a, interval: 60m, token: aaaaaaaaaaaaaaaaaaaa, grace: 0s}
  - {name: b, interval: 1h, description: "Nightly\\tdump", labels: {namespace: x}}
  - {name: c, cron: "0 3 * * *", timezone: Europe/Berlin, max_runtime: 2d, methods: [GET], paused: true}
  - {name: d, cron: "0 3 * * *", timezone: Europe/Berlin, failure_threshold: 1, token_version: 1}
  - {name: e, oncalendar: "Mon..Fri 08:00", runbook_url: "https://wiki.example/e"}
"""
BAD = """
pings: {keys: [{key: short}]}
heartbeats:
  - {name: a, interval: 60m, grace: ten minutes}
  - {name: a, interval: 1h}
"""


def many(count: int) -> str:
    lines = (f"  - {{name: job-{number}, interval: 1h, labels: {{team: t{number % 3}}}}}\n" for number in range(count))
    return "".join(["heartbeats:\n", *lines])


def large(text: str) -> str:
    """The same configuration in more bytes than are read in this process."""
    return f"{text}\n#{'x' * LARGE}\n"


def outcome(path: Path) -> Outcome:
    try:
        return load(path)
    except ConfigError as error:
        return error


def put_together(parts: list[bytes]) -> Outcome | None:
    assembly = Assembly(nothing_known)
    (last,) = [taken for part in parts if (taken := assembly.take(part)) is not None]
    return last


def content(found: Outcome | None) -> object:
    """What can be compared: of an error its problems."""
    return found.problems if isinstance(found, ConfigError) else found


async def reader_there() -> int:
    """The process that reads for this one, once it is there."""
    while True:
        for thread in Path("/proc/self/task").iterdir():
            if pids := (thread / "children").read_text().split():
                return int(pids[0])
        await asyncio.sleep(0.001)


async def reader_at_work() -> int:
    """The process that reads for this one, once it is no longer just being started."""
    reader, ignored = await reader_there(), 0
    while not ignored & 1 << signal.SIGTERM - 1:
        lines = Path(f"/proc/{reader}/status").read_text().splitlines()
        (ignored,) = (int(line.split()[1], 16) for line in lines if line.startswith("SigIgn"))
        await asyncio.sleep(0.001)
    return reader


@pytest.mark.parametrize("path", TESTDATA, ids=lambda path: path.stem)
def test_what_is_handed_over_is_what_was_read(path: Path) -> None:
    read_here = outcome(path)
    assert content(put_together(list(hand_over(read_here)))) == content(read_here)


@pytest.mark.parametrize("text", [GOOD, BAD, "heartbeats: []", "- a\n\t- b"])
async def test_a_large_file_says_the_same_as_a_small_one(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, text)
    expected = outcome(path)
    write(tmp_path, large(text))
    found: Outcome
    try:
        found = await read(path)
    except ConfigError as error:
        found = error
    assert type(found) is type(expected)
    assert content(found) == content(expected)


async def test_further_files_count_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    main = write(tmp_path, f"heartbeat_files: [more/*.yaml]\n#{'x' * (LARGE // 2)}\n")
    for name in ("a", "b"):
        write(tmp_path, f"heartbeats: [{{name: {name}, interval: 1h}}]\n#{'x' * (LARGE // 4)}\n", f"more/{name}.yaml")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LargeConfig):
        load(main, LARGE)
    assert await read(Path("config.yaml")) == load(Path("config.yaml"))


async def test_what_can_be_read_but_once_is_read_at_once(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_text, args=(large(GOOD),))
    writer.start()
    config = await read(path)
    writer.join()
    assert len(config.heartbeats) == 5


async def test_further_files_of_a_configuration_that_can_be_read_but_once_are_read_at_once_too(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    write(tmp_path, large(many(5)), "more/all.yaml")
    writer = threading.Thread(target=path.write_text, args=("heartbeat_files: [more/*.yaml]",))
    writer.start()
    config = await read(path)
    writer.join()
    assert len(config.heartbeats) == 5


@pytest.mark.parametrize("form", [str, large], ids=["small", "large"])
async def test_heartbeats_that_are_the_same_stay_the_same_objects(tmp_path: Path, form: type[str]) -> None:
    former = load(write(tmp_path, GOOD))
    path = write(tmp_path, form(GOOD.replace("max_runtime: 2d", "max_runtime: 3d")))
    config = await read(path, Roster(former, SECRET).named)
    kept = [one is other for one, other in zip(former.heartbeats, config.heartbeats, strict=True)]
    assert kept == [True, True, False, True, True]


async def test_heartbeats_of_a_large_file_share_what_they_have_alike(tmp_path: Path) -> None:
    config = await read(write(tmp_path, large(many(3 * AT_ONCE))))
    one, other = config.heartbeats[0], config.heartbeats[-3]
    assert one.name != other.name
    for field in ("schedule", "labels", "methods", "timezone"):
        assert getattr(one, field) is getattr(other, field)


def test_no_part_holds_many_heartbeats_or_problems(tmp_path: Path) -> None:
    good, bad = many(2 * AT_ONCE + 1), many(2 * AT_ONCE + 1).replace("labels", "lables")
    for text in (good, bad):
        assert len(list(hand_over(outcome(write(tmp_path, text))))) == 4


async def test_others_get_their_turn_after_every_part(tmp_path: Path) -> None:
    parts = list(hand_over(load(write(tmp_path, many(20 * AT_ONCE)))))
    stream = asyncio.StreamReader()
    for part in parts:
        stream.feed_data(HEADER.pack(len(part)) + part)
    assert await turns_during(_taken_over(stream, nothing_known)) >= len(parts)


async def test_others_get_their_turn_while_tokens_are_derived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exporter.turns.SLICE_SECONDS", 0)
    config = load(write(tmp_path, many(20)))
    assert await turns_during(in_turns(Roster(Config(), SECRET).followed_by(config))) >= 20


async def test_a_roster_that_follows_opens_what_the_new_configuration_says(tmp_path: Path) -> None:
    former = Roster(load(write(tmp_path, many(3))), SECRET)
    config = load(write(tmp_path, GOOD))
    roster = await in_turns(former.followed_by(config))
    assert roster.config is config
    assert [roster.with_token(token) for _, token in Roster(config, SECRET).tokens()] == list(config.heartbeats)
    assert roster.has_key("k" * 16)
    assert roster.named("job-1") is None


async def test_a_reader_that_is_killed_is_an_error_that_says_so(tmp_path: Path) -> None:
    path = write(tmp_path, large(GOOD))
    work = asyncio.create_task(read(path))
    os.kill(await reader_there(), signal.SIGKILL)
    with pytest.raises(ConfigError) as caught:
        await work
    assert str(caught.value) == (
        f"{path}: cannot be read: the process that reads it was killed (the kernel does so when memory runs out)"
    )


async def test_signals_for_the_whole_service_do_not_end_a_reader(tmp_path: Path) -> None:
    work = asyncio.create_task(read(write(tmp_path, large(GOOD))))
    reader = await reader_at_work()
    os.kill(reader, signal.SIGINT)
    os.kill(reader, signal.SIGTERM)
    assert len((await work).heartbeats) == 5


async def test_whoever_gives_up_ends_the_reader(tmp_path: Path) -> None:
    work = asyncio.create_task(read(write(tmp_path, large(GOOD))))
    reader = await reader_at_work()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    with pytest.raises(ProcessLookupError):
        os.kill(reader, 0)


@pytest.mark.parametrize(
    ("attribute", "value", "said"),
    [
        ("executable", "/nonexistent/python", "no process can be started that reads it: No such file or directory"),
        ("path", [], "the process that reads it ended with exit status 1"),
    ],
)
async def test_a_reader_that_cannot_work_is_an_error_that_says_so(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    attribute: str,
    value: object,
    said: str,
) -> None:
    path = write(tmp_path, large(GOOD))
    monkeypatch.setattr(sys, attribute, value)
    with pytest.raises(ConfigError) as caught:
        await read(path)
    monkeypatch.undo()
    assert str(caught.value) == f"{path}: cannot be read: {said}"
    assert ("ModuleNotFoundError" in capfd.readouterr().err) is (attribute == "path")


@pytest.fixture
def thawed() -> Iterator[None]:
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("thawed")
@pytest.mark.parametrize(("count", "frozen"), [(MANY - 1, False), (MANY, True)])
async def test_pings_are_answered_while_many_heartbeats_are_reloaded_which_the_collector_then_leaves_alone(
    tmp_path: Path, count: int, frozen: bool
) -> None:
    async with exporter_in(tmp_path, GOOD) as server:
        server.settings.config_file.write_text(many(count - 5) + GOOD.split("heartbeats:\n")[1])
        reload = asyncio.create_task(server.client.post("/-/reload"))
        await reader_there()
        during = 0
        while not reload.done():
            async with server.client.get(f"/ping/{'a' * 20}") as answer:
                assert answer.status == 200
            during += not reload.done()
        assert (await reload).status == 200
        assert during
        assert (await server.client.get(f"/ping/{'a' * 20}")).status == 200
        assert len(server.exporter._monitor.roster.config.heartbeats) == count
        assert (gc.get_freeze_count() > count) is frozen
