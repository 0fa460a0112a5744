"""How long fuzzing goes on: seconds in the tests, and as long as one likes in a soak."""

import os

from hypothesis import HealthCheck, settings

FACTOR = int(os.environ.get("FUZZ_FACTOR", "1"))
"""How many times as many examples are tried; beyond 1 they are others each time."""


def examples(count: int) -> settings:
    """Settings for that many examples, which are the same in every run unless `FACTOR` asks for more."""
    return settings(
        max_examples=count * FACTOR,
        derandomize=FACTOR == 1,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
    )
