"""The event loop that serves."""

import asyncio
import sys
from contextlib import closing
from pathlib import Path

import pytest
from running import exporter_in
from structlog.testing import capture_logs

from exporter.server import new_event_loop

CONFIG = "heartbeats: [{name: own, interval: 1h}]"


def module_of(loop: asyncio.AbstractEventLoop) -> str:
    return type(loop).__module__


def test_it_is_uvloops_where_that_is_installed() -> None:
    pytest.importorskip("uvloop", reason="it is made for Linux on two kinds of machine only")
    with closing(new_event_loop()) as loop:
        assert module_of(loop) == "uvloop"


def test_elsewhere_it_is_pythons_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    with closing(new_event_loop()) as loop:
        assert module_of(loop).startswith("asyncio.")


@pytest.mark.each_loop
async def test_the_log_says_at_the_start_which_it_is(tmp_path: Path) -> None:
    with capture_logs() as logs:
        async with exporter_in(tmp_path, CONFIG):
            pass
    (started,) = [entry for entry in logs if entry["event"] == "started"]
    assert started["loop"] == module_of(asyncio.get_running_loop()).partition(".")[0]
