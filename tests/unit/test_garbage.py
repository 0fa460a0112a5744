import gc
from collections.abc import Iterator

import pytest

from exporter import garbage


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    threshold = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*threshold)


def test_with_many_heartbeats_what_there_is_is_frozen_and_only_what_is_young_is_collected() -> None:
    garbage.spare(garbage.MANY)
    assert gc.get_freeze_count() > 0
    young, middle, old = gc.get_threshold()
    assert (young, middle) == (garbage._YOUNG, garbage._MIDDLE)
    assert old > 1_000_000


def test_with_few_of_them_all_is_as_python_has_it_also_after_a_reload_that_had_many() -> None:
    garbage.spare(garbage.MANY)
    gc.unfreeze()
    garbage.spare(garbage.MANY - 1)
    assert gc.get_freeze_count() == 0
    assert gc.get_threshold() == (garbage._YOUNG, garbage._MIDDLE, garbage._OLD)
