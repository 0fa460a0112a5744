"""Clients of every bad kind at once: more than there are places for, leaving at any moment. Nothing is left of them."""

import asyncio
import socket
import ssl
import struct
from contextlib import suppress
from pathlib import Path
from random import Random

import aiohttp
import pytest
import yaml
from certificates import Authority
from running import make_settings, until

from exporter.server import Exporter, running
from exporter.web.listener import Listener

TOKEN = "own-token-0123456789"
CONFIG = f"heartbeats: [{{name: own, interval: 1h, token: {TOKEN}}}]"
PING = f"GET /ping/{TOKEN} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
PAGE = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
BODY = f"POST /ping/{TOKEN} HTTP/1.1\r\nHost: x\r\nContent-Length: 50000\r\n\r\n".encode()
PLACES = 20
CLIENTS = 60
SECONDS = 3


async def misbehave(address: tuple[str, int], encryption: ssl.SSLContext | None, dice: Random) -> None:
    """Connect, do some of what clients do and should not, and leave without a word or by the door."""
    name = None if encryption is None else "localhost"
    reader, writer = await asyncio.open_connection(*address, ssl=encryption, server_hostname=name)
    try:
        match dice.randrange(6):
            case 0:
                writer.write(PING[: dice.randrange(len(PING))])
                await asyncio.sleep(dice.random())
            case 1:
                writer.write(PAGE * dice.choice([1, 5, 40]))
                await asyncio.sleep(dice.random())
            case 2:
                writer.write(dice.randbytes(200))
                await reader.read(100)
            case 3:
                writer.write(BODY + dice.randbytes(dice.randrange(50_000)))
                await asyncio.sleep(dice.random())
            case 4:
                writer.write(PING)
            case _:
                for _ in range(dice.choice([1, 3])):
                    writer.write(PING)
                    await reader.read(1000)
    finally:
        if dice.random() < 0.5:
            if (away := writer.get_extra_info("socket")) is not None:
                away.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset
            writer.transport.abort()
        else:
            writer.close()


async def go_on_misbehaving(address: tuple[str, int], encryption: ssl.SSLContext | None, dice: Random) -> None:
    end = asyncio.get_running_loop().time() + SECONDS
    while asyncio.get_running_loop().time() < end:
        sometimes_plain = encryption if dice.random() < 0.8 else None
        with suppress(OSError, ssl.SSLError, TimeoutError):
            async with asyncio.timeout(dice.choice([0.05, 0.3, 1.5])):
                await misbehave(address, sometimes_plain, dice)


def left_in(listener: Listener) -> int:
    connections = len(listener._waiting) + len(listener._working)
    return connections + len(listener._handshakes) + len(listener._server.connections)


async def ping(exporter: Exporter, encryption: ssl.SSLContext | None) -> int:
    scheme = "http" if encryption is None else "https"
    url = f"{scheme}://{exporter.addresses[0]}/ping/{TOKEN}"
    async with aiohttp.ClientSession() as client, client.get(url, ssl=encryption or True) as answer:
        return answer.status


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "TLS"])
async def test_after_a_storm_of_bad_clients_nothing_is_left_and_all_goes_on(
    tmp_path: Path, dice: Random, monkeypatch: pytest.MonkeyPatch, encrypted: bool
) -> None:
    monkeypatch.setattr("exporter.web.listener.PATIENCE_SECONDS", 0.05)
    authority = Authority.make(tmp_path)
    authority.issue("server", "localhost", "127.0.0.1")
    file = tmp_path / "web.yaml"
    tls = {"tls_server_config": {"cert_file": "server.crt", "key_file": "server.key"}}
    file.write_text(yaml.safe_dump(tls if encrypted else {}))
    client = authority.client() if encrypted else None
    async with running(make_settings(tmp_path, CONFIG, web_config_file=file)) as exporter:
        (listener,) = exporter._listeners
        listener.start(PLACES)
        host, port = exporter.addresses[0].split(":")
        storm = [
            asyncio.create_task(go_on_misbehaving((host, int(port)), client, Random(dice.random())))
            for _ in range(CLIENTS)
        ]
        while not all(each.done() for each in storm):
            assert len(listener._waiting) + len(listener._working) <= PLACES
            await asyncio.wait(storm, timeout=0.05)
        await asyncio.gather(*storm)

        async def nothing_is_left() -> bool:
            return left_in(listener) == 0

        await until(nothing_is_left, 15)
        assert await ping(exporter, client) == 200
