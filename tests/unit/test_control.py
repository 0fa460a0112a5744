"""The socket through which a running exporter is asked: it stays for as long as the exporter does."""

import asyncio
from pathlib import Path
from typing import BinaryIO

import pytest
from running import until

from exporter.store import StoreError
from exporter.store.control import _Door, answering, ask_for_backup, socket_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data" / "heartbeats.db"


async def refuse() -> BinaryIO:
    raise StoreError("there is nothing to copy")


async def test_a_socket_that_was_deleted_is_made_anew_and_goes_at_the_end(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporter.store.control.LOOKED_AFTER_EVERY", 0.01)
    async with answering(path, refuse):
        socket_of(path).unlink()

        async def is_back() -> bool:
            return socket_of(path).is_socket()

        await until(is_back)
        with pytest.raises(StoreError, match="there is nothing to copy"):
            await asyncio.to_thread(ask_for_backup, path)
    assert not socket_of(path).exists()


def test_a_socket_whose_folder_is_gone_is_made_anew_once_that_is_back(path: Path) -> None:
    door = _Door(socket_of(path))
    socket_of(path).unlink()
    path.parent.rmdir()
    door.ensure()
    assert not path.parent.exists()
    path.parent.mkdir()
    door.ensure()
    assert socket_of(path).is_socket()
    door.close()
    assert not socket_of(path).exists()


def test_a_socket_of_somebody_else_is_left_alone_at_the_end(path: Path) -> None:
    door = _Door(socket_of(path))
    socket_of(path).unlink()
    socket_of(path).write_text("somebody's")
    door.ensure()
    door.close()
    assert socket_of(path).read_text() == "somebody's"
