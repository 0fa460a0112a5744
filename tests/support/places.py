"""Where a test keeps a store that it closes and opens again."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeAlias

from exporter.store import Store

Opener: TypeAlias = Callable[[], Awaitable[Store]]
"""Opens one and the same store, again once it is closed."""


class Place:
    """One store, open."""

    def __init__(self, opener: Opener, store: Store) -> None:
        self._opener = opener
        self.store = store

    async def reopen(self) -> Store:
        """The store once it was closed and opened again."""
        await self.store.close()
        self.store = await self._opener()
        return self.store


NewPlace: TypeAlias = Callable[[], AbstractAsyncContextManager[Place]]
"""A place that nobody has used yet."""


@asynccontextmanager
async def place_of(opener: Opener) -> AsyncIterator[Place]:
    """A place whose store is closed in the end."""
    place = Place(opener, await opener())
    try:
        yield place
    finally:
        await place.store.close()
