"""What holds for every test."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping

import pytest
import structlog

from exporter.server import new_event_loop


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "each_loop: runs on Python's own event loop, and on the one that serves")


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The event loops on which an asynchronous test runs."""
    own = {"asyncio": asyncio.new_event_loop}
    return own if item.get_closest_marker("each_loop") is None else own | {"serving": new_event_loop}


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Undo what a command under test has configured for its process."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
