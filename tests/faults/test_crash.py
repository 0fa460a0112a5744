"""What `kill -9` takes at whatever moment it comes: nothing that was acknowledged."""

import asyncio
import shutil
import signal
from pathlib import Path
from random import Random

from ledger import check, check_at_rest, read
from lives import launched_under_load
from load import CONFIG, Load
from toll import Rounds, Toll
from victim import Victim

KILLS = 8
"""Of one database."""
STARTING_UP = 0.2
"""How many of the kills come at a moment counted from the launch, which may be before anything is served."""


async def killed_under_load(victim: Victim, load: Load, dice: Random, toll: Toll) -> None:
    """Launch it, ping it, and kill it at a random moment."""
    async with launched_under_load(victim, load, toll):
        if dice.random() < STARTING_UP:
            await asyncio.sleep(dice.uniform(0, 1.5))
        else:
            await load.acknowledged(dice.randint(1, 1000))
        victim.send(signal.SIGKILL)
        assert await asyncio.to_thread(victim.wait) == -signal.SIGKILL
    toll.kills += 1


async def test_kill_9_at_random_moments_loses_no_acknowledged_ping(
    tmp_path: Path, dice: Random, rounds: Rounds, toll: Toll
) -> None:
    for life in rounds(1):
        with Victim(tmp_path / f"life-{life}", CONFIG) as victim:
            load = Load(victim, dice)
            for _ in range(KILLS):
                await killed_under_load(victim, load, dice, toll)
                check(await read(victim.database, victim.config_file), load)
            await check_at_rest(victim, load)
            toll.add(load.journal)
            shutil.rmtree(victim.folder)
    assert load.journal.acknowledged > 0
