"""Logins: who gets in, what it costs, and that nobody waits for others longer than need be."""

import asyncio
import base64
from collections.abc import Iterator

import bcrypt
import pytest

from exporter.web.logins import LONGEST_PASSWORD, MOST_REMEMBERED, MOST_WAITING, Logins, Verdict

ALICE = bcrypt.hashpw(b"alice123", bcrypt.gensalt(4))
BOB = bcrypt.hashpw("süß".encode(), bcrypt.gensalt(5))
LONG = bcrypt.hashpw(b"x" * LONGEST_PASSWORD, bcrypt.gensalt(4))
USERS = {"alice": ALICE, "böb": BOB, "long": LONG, "empty": bcrypt.hashpw(b"", bcrypt.gensalt(4))}
SLOW = 12


def basic(name: str | bytes, password: str | bytes) -> str:
    raw = b":".join(part.encode() if isinstance(part, str) else part for part in (name, password))
    return f"Basic {base64.b64encode(raw).decode()}"


@pytest.fixture
def logins() -> Iterator[Logins]:
    made = Logins()
    yield made
    made.close()


@pytest.mark.parametrize(
    "header",
    [
        basic("alice", "alice123"),
        basic("böb", "süß"),
        basic("long", "x" * LONGEST_PASSWORD),
        basic("empty", ""),
        basic("alice", "alice123").replace("Basic", "bAsIc"),
        basic("alice", "alice123").replace(" ", "   "),
    ],
)
async def test_the_right_password_gets_in(logins: Logins, header: str) -> None:
    assert await logins.check(USERS, header) is Verdict.ADMITTED


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Basic",
        "Basic ",
        "Basic !!!",
        "Basic YWxpY2U6YWxpY2UxMjM",  # without its padding
        "Basic YWxpY2U=",  # no colon
        "Basic YWxpY2U6YWxpY2UxMjM= more",
        "Basic \udcff\udcfe",
        "Basic ü",
        "Bearer YWxpY2U6YWxpY2UxMjM=",
        "BasicYWxpY2U6YWxpY2UxMjM=",
    ],
)
async def test_what_is_no_login_is_refused_without_computing(logins: Logins, header: str | None) -> None:
    assert await logins.check(USERS, header) is Verdict.REFUSED
    assert logins.computed == 0


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("alice", "alice1234"),
        ("alice", ""),
        ("alice", b"alice123\0"),
        ("Alice", "alice123"),
        ("", ""),
        ("nonexistent", "nonexistent"),
        (b"\xff\xfe", b"\xff"),
        ("böb".encode("latin-1"), "süß"),
        ("alice", "alice123" + "x" * 100),
        ("long", "x" * (LONGEST_PASSWORD + 1)),
        ("nonexistent", "x" * 5000),
        ("alice", "bob:alice123"),
    ],
)
async def test_a_wrong_name_or_password_is_refused_also_the_second_time(
    logins: Logins, name: str | bytes, password: str | bytes
) -> None:
    assert await logins.check(USERS, basic(name, password)) is Verdict.REFUSED
    assert await logins.check(USERS, basic(name, password)) is Verdict.REFUSED
    assert logins.computed == 1


async def test_a_good_login_is_remembered_until_its_hash_changes(logins: Logins) -> None:
    for _ in range(3):
        assert await logins.check(USERS, basic("alice", "alice123")) is Verdict.ADMITTED
    assert logins.computed == 1
    changed = {"alice": bcrypt.hashpw(b"another", bcrypt.gensalt(4))}
    assert await logins.check(changed, basic("alice", "alice123")) is Verdict.REFUSED
    assert await logins.check({"bob": BOB}, basic("alice", "alice123")) is Verdict.REFUSED


async def test_one_who_was_unknown_gets_in_once_added(logins: Logins) -> None:
    assert await logins.check({"böb": BOB}, basic("alice", "alice123")) is Verdict.REFUSED
    assert await logins.check(USERS, basic("alice", "alice123")) is Verdict.ADMITTED


@pytest.mark.parametrize("unknown", [b"", b"$2b$05$" + b"." * 53])
async def test_no_two_logins_are_taken_for_one(logins: Logins, unknown: bytes) -> None:
    """CVE-2022-46146: a made-up name filled the cache for a real one."""
    assert await logins.check(USERS, basic(b"alice" + ALICE, b"fake")) is Verdict.REFUSED
    assert await logins.check(USERS, basic("alice", unknown + b"fake")) is Verdict.REFUSED
    assert await logins.check(USERS, basic("alice", "alice123")) is Verdict.ADMITTED
    for name, password in ((b"alice" + ALICE, b"alice123"), (b"alic", b"e" + ALICE + b"alice123"), (b"", b"alice123")):
        assert await logins.check(USERS, basic(name, password)) is Verdict.REFUSED
    assert logins.computed == 6


async def test_nothing_that_is_kept_holds_a_password(logins: Logins) -> None:
    await logins.check(USERS, basic("alice", "alice123"))
    await logins.check(USERS, basic("alice", "hunter22"))
    kept = repr([vars(logins), vars(logins._good), vars(logins._bad)])
    assert "alice" not in kept
    assert "hunter22" not in kept


async def test_equal_logins_at_once_are_computed_once(logins: Logins) -> None:
    checks = [logins.check(USERS, basic("alice", password)) for password in ("alice123", "wrong") for _ in range(150)]
    verdicts = await asyncio.gather(*checks)
    assert verdicts == [Verdict.ADMITTED] * 150 + [Verdict.REFUSED] * 150
    assert logins.computed == 2


async def test_one_who_leaves_does_not_end_it_for_the_others(logins: Logins) -> None:
    users = {"alice": bcrypt.hashpw(b"alice123", bcrypt.gensalt(8))}
    first, second = (asyncio.create_task(logins.check(users, basic("alice", "alice123"))) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert await second is Verdict.ADMITTED
    assert logins.computed == 1


async def test_beyond_the_bound_new_logins_are_turned_away_and_remembered_ones_are_not(logins: Logins) -> None:
    users = {"alice": bcrypt.hashpw(b"alice123", bcrypt.gensalt(6))}
    assert await logins.check(users, basic("alice", "alice123")) is Verdict.ADMITTED
    waiting = [asyncio.create_task(logins.check(users, basic("alice", f"wrong {n}"))) for n in range(MOST_WAITING)]
    await asyncio.sleep(0)
    assert await logins.check(users, basic("alice", "one more")) is Verdict.BUSY
    assert await logins.check(users, basic("alice", "alice123")) is Verdict.ADMITTED
    assert set(await asyncio.gather(*waiting)) == {Verdict.REFUSED}
    assert await logins.check(users, basic("alice", "one more")) is Verdict.REFUSED


async def test_bad_logins_are_forgotten_in_time_and_push_out_no_good_one(logins: Logins) -> None:
    users = {"alice": ALICE}
    assert await logins.check(users, basic("alice", "alice123")) is Verdict.ADMITTED
    for n in range(MOST_REMEMBERED + 1):
        await logins.check(users, basic("alice", f"wrong {n}"))
    before = logins.computed
    assert await logins.check(users, basic("alice", "alice123")) is Verdict.ADMITTED
    assert await logins.check(users, basic("alice", f"wrong {MOST_REMEMBERED}")) is Verdict.REFUSED
    assert logins.computed == before
    assert await logins.check(users, basic("alice", "wrong 0")) is Verdict.REFUSED
    assert logins.computed == before + 1


async def test_the_event_loop_goes_on_meanwhile(logins: Logins) -> None:
    users = {"alice": bcrypt.hashpw(b"alice123", bcrypt.gensalt(SLOW))}
    login = asyncio.create_task(logins.check(users, basic("alice", "alice123")))
    turns = 0
    while not login.done():
        turns += 1
        await asyncio.sleep(0)
    assert await login is Verdict.ADMITTED
    assert turns > 100


@pytest.mark.parametrize(
    ("name", "password"),
    [("cheap", "wrong"), ("dear", "wrong"), ("nobody", "wrong"), ("nobody", "x" * 500), ("cheap", "x" * 500)],
)
async def test_every_wrong_login_costs_as_much_as_the_dearest_hash(
    logins: Logins, monkeypatch: pytest.MonkeyPatch, name: str, password: str
) -> None:
    users = {"cheap": ALICE, "dear": bcrypt.hashpw(b"x", bcrypt.gensalt(7))}
    rounds: list[int] = []
    real = bcrypt.checkpw

    def counted(given: bytes, hashed: bytes) -> bool:
        rounds.append(2 ** int(hashed[4:6]))
        return real(given, hashed)

    monkeypatch.setattr(bcrypt, "checkpw", counted)
    assert await logins.check(users, basic(name, password)) is Verdict.REFUSED
    assert sum(rounds) == 2**7


async def test_logins_that_wait_are_cancelled_by_the_end() -> None:
    logins = Logins()
    users = {"alice": bcrypt.hashpw(b"alice123", bcrypt.gensalt(8))}
    checks = [asyncio.create_task(logins.check(users, basic("alice", f"wrong {n}"))) for n in range(5)]
    await asyncio.sleep(0)
    logins.close()
    first, *others = await asyncio.gather(*checks, return_exceptions=True)
    assert first is Verdict.REFUSED
    assert all(isinstance(other, asyncio.CancelledError) for other in others)
