"""A real Chromium without a window, and what a page has become in it."""

import asyncio
import itertools
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from programs import program

START_SECONDS = 60
LOAD_SECONDS = 30
END_SECONDS = 20

_FLAGS = [
    *("--headless", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--disable-extensions"),
    *("--no-first-run", "--no-default-browser-check", "--disable-background-networking", "--disable-sync"),
    *("--disable-component-update", "--no-proxy-server", "--remote-debugging-port=0"),
]

_ELEMENTS = """
JSON.stringify(Array.from(document.querySelectorAll("*"), element => ({
    tag: element.localName,
    attributes: Object.fromEntries(Array.from(element.attributes, attribute => [attribute.name, attribute.value])),
    text: element.textContent,
})))
"""


@dataclass(frozen=True)
class Element:
    """An element of the document, with all the text below it."""

    tag: str
    attributes: dict[str, str]
    text: str


@dataclass
class Loaded:
    """A page that a browser has loaded, with whatever it asked for and ran."""

    title: str
    elements: list[Element]
    requests: list[str] = field(default_factory=list)
    """The URLs that the browser asked for, the page's own first."""
    complaints: list[str] = field(default_factory=list)
    """What the browser logged, as where it was forbidden something."""

    def texts(self, tag: str) -> list[str]:
        """The texts of all elements of a kind."""
        return [element.text for element in self.elements if element.tag == tag]


class Browser:
    """A browser that is told what to do through the DevTools protocol."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)

    async def load(self, url: str) -> Loaded:
        """A page, in a tab of its own, once all that it could load is there."""
        target = (await self._call("Target.createTarget", url="about:blank"))["targetId"]
        session = (await self._call("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        for domain in ("Page", "Network", "Log"):
            await self._call(f"{domain}.enable", session)
        events: list[dict[str, Any]] = []
        await self._call("Page.navigate", session, events, url=url)
        async with asyncio.timeout(LOAD_SECONDS):
            while not any(event["method"] == "Page.loadEventFired" for event in events):
                events.append(await self._receive())
        # A script of the page that was put off by nothing but the loading has its turn before ours.
        title = await self._evaluate(
            session, events, "new Promise(done => setTimeout(() => done(document.title), 100))"
        )
        elements = [Element(**element) for element in json.loads(await self._evaluate(session, events, _ELEMENTS))]
        await self._call("Target.closeTarget", targetId=target)
        return Loaded(title, elements, list(_requests(events)), list(_complaints(events)))

    async def _evaluate(self, session: str, events: list[dict[str, Any]], expression: str) -> Any:
        answer = await self._call(
            "Runtime.evaluate", session, events, expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"]["value"]

    async def _call(
        self, method: str, session: str | None = None, events: list[dict[str, Any]] | None = None, **parameters: object
    ) -> dict[str, Any]:
        number = next(self._numbers)
        call = {"id": number, "method": method, "params": parameters}
        await self._socket.send_json(call if session is None else call | {"sessionId": session})
        async with asyncio.timeout(LOAD_SECONDS):
            while True:
                message = await self._receive()
                if message.get("id") == number:
                    assert "error" not in message, message
                    result: dict[str, Any] = message["result"]
                    return result
                if events is not None:
                    events.append(message)

    async def _receive(self) -> dict[str, Any]:
        message: dict[str, Any] = await self._socket.receive_json()
        return message


def _requests(events: list[dict[str, Any]]) -> list[str]:
    return [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]


def _complaints(events: list[dict[str, Any]]) -> list[str]:
    return [event["params"]["entry"]["text"] for event in events if event["method"] == "Log.entryAdded"]


@asynccontextmanager
async def browser_in(folder: Path) -> AsyncIterator[Browser]:
    """A browser that keeps what it needs in a folder of its own, ended with the block."""
    flags = [*_FLAGS, f"--user-data-dir={folder}", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    output = (folder / "output").open("wb")
    process = await asyncio.create_subprocess_exec(
        program("chromium"), *flags, "about:blank", stdout=output, stderr=output, start_new_session=True
    )
    try:
        address = await _address(folder, process)
        async with aiohttp.ClientSession() as session, session.ws_connect(address, max_msg_size=0) as socket:
            browser = Browser(socket)
            yield browser
            await browser._call("Browser.close")
        async with asyncio.timeout(END_SECONDS):
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        output.close()


async def _address(folder: Path, process: asyncio.subprocess.Process) -> str:
    """Where it listens, which it writes down once it does."""
    note = folder / "DevToolsActivePort"
    async with asyncio.timeout(START_SECONDS):
        while not note.exists() or len(note.read_text().split()) < 2:
            assert process.returncode is None, (folder / "output").read_text(errors="replace")
            await asyncio.sleep(0.02)
    port, path = note.read_text().split()
    return f"ws://127.0.0.1:{port}{path}"
