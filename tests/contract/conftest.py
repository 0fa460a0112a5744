"""The stores that keep the contract. One that is added here is held to all of it."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from places import NewPlace, Opener, Place, place_of

from exporter.store import Store
from exporter.store.sqlite import SqliteStore


def sqlite(folder: Path) -> Opener:
    return lambda: SqliteStore.open(folder / "heartbeats.db")


@pytest.fixture(scope="session", params=[pytest.param(sqlite, id="sqlite")])
def new_place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> NewPlace:
    # Of the session, so that every example of a property can have its own.
    adapter: Callable[[Path], Opener] = request.param
    return lambda: place_of(adapter(tmp_path_factory.mktemp("store")))


@pytest.fixture
async def place(new_place: NewPlace) -> AsyncIterator[Place]:
    async with new_place() as place:
        yield place


@pytest.fixture
def store(place: Place) -> Store:
    return place.store
