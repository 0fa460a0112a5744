"""How long faults go on, by which dice, and what came of them.

`SOAK_SECONDS` makes the harnesses go on for that long together, instead of for a few rounds each. `SOAK_SEED` repeats
the choices of a run whose seed a failure has shown; when its processes get their turns, nobody can repeat.
"""

import itertools
import os
import time
from collections.abc import Iterator
from random import Random, SystemRandom

import pytest
from toll import Rounds, Toll

HARNESSES = 3


TOLL = pytest.StashKey[Toll]()


@pytest.fixture
def toll(request: pytest.FixtureRequest) -> Toll:
    """Where the harnesses count. A test that fails has lost something, and says what."""
    return request.config.stash.setdefault(TOLL, Toll())


@pytest.fixture
def dice(request: pytest.FixtureRequest) -> Random:
    """Dice whose seed is shown when the test fails."""
    seed = os.environ.get("SOAK_SEED") or str(SystemRandom().getrandbits(32))
    request.node.add_report_section("setup", "dice", f"SOAK_SEED={seed}")
    return Random(f"{request.node.name} {seed}")


@pytest.fixture
def rounds() -> Rounds:
    """Numbers a harness's rounds: a few, or as many as the soak has time for."""
    seconds = float(os.environ.get("SOAK_SECONDS", "0")) / HARNESSES

    def go_on(few: int) -> Iterator[int]:
        begun = time.monotonic()
        for number in itertools.count():
            if number >= few and time.monotonic() - begun >= seconds:
                return
            yield number

    return go_on


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what the faults have cost."""
    if (found := config.stash.get(TOLL, None)) is not None:
        terminalreporter.section("faults")
        terminalreporter.write_line(str(found))
