"""What SIGTERM takes at whatever moment it comes: no ping that had been received whole, answered or not."""

import asyncio
import shutil
import signal
from contextlib import ExitStack
from pathlib import Path
from random import Random

import pytest
from ledger import check, check_at_rest, read
from lives import launched_under_load
from load import CONFIG, Load
from toll import Rounds, Toll
from victim import Victim
from wholes import PING, answers, connected

STOPS = 6
"""Of one database."""
WAITING = 900
"""More connections than are accepted at once."""


async def stopped_under_load(victim: Victim, load: Load, dice: Random, toll: Toll) -> None:
    """Launch it, ping it, and send it SIGTERM at a random moment."""
    async with launched_under_load(victim, load, toll):
        await load.acknowledged(dice.randint(1, 1000))
        owed = load.sent_whole()
        victim.send(signal.SIGTERM)
        code = await asyncio.to_thread(victim.wait, 10)
    assert code == 0, victim.tail()
    assert [one for one in owed if one.status != 200] == []
    toll.stops += 1
    assert load.journal.first_answer is not None


async def test_sigterm_at_random_moments_answers_what_was_sent_whole_and_counts_what_it_answers(
    tmp_path: Path, dice: Random, rounds: Rounds, toll: Toll
) -> None:
    for life in rounds(1):
        with Victim(tmp_path / f"life-{life}", CONFIG) as victim:
            load = Load(victim, dice)
            for _ in range(STOPS):
                await stopped_under_load(victim, load, dice, toll)
                check(await read(victim.database, victim.config_file), load)
                assert [one for one in load if one.kept and one.status is None] == []
            await check_at_rest(victim, load)
            toll.add(load.journal)
            shutil.rmtree(victim.folder)


@pytest.mark.parametrize("accepted", [True, False], ids=["on an idle connection", "on one not accepted yet"])
def test_sigterm_answers_a_ping_that_came_whole_before_it_and_that_the_process_had_not_read(
    tmp_path: Path, accepted: bool
) -> None:
    with Victim(tmp_path, CONFIG) as victim:
        victim.start()
        with ExitStack() as stack:
            idle = stack.enter_context(connected(victim, WAITING * accepted))
            for connection in idle:
                connection.sendall(PING)
            assert answers(idle) == [b"HTTP/1.1 200 OK"] * len(idle)
            victim.suspend()
            waiting = idle or stack.enter_context(connected(victim, WAITING))
            for connection in waiting:
                connection.sendall(PING)
            victim.send(signal.SIGTERM)
            victim.resume()
            assert answers(waiting) == [b"HTTP/1.1 200 OK"] * WAITING
        assert victim.wait(within=10) == 0
        victim.start()
        assert victim.scrape().each("heartbeat_pings_total", signal="success")["hourly"] == WAITING + len(idle)
