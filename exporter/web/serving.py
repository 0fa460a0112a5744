"""What every request has in common: measured, logged without its path, answered with the right refusal."""

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import structlog
from aiohttp import HttpVersion11, hdrs, web
from aiohttp.http_parser import RawRequestMessage

from exporter.metrics.telemetry import Telemetry
from exporter.web.answers import Answers, Reply
from exporter.web.connections import SERVER
from exporter.web.security import Security, Verdict
from exporter.web.shortcut import Turn

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.Response]]

Respond: TypeAlias = Callable[[Reply], None]
"""Answers a request that goes the short way."""

Prompt: TypeAlias = Callable[[RawRequestMessage, str, Respond], None]
"""Handles a request that goes the short way, from this peer, and has it answered, now or later."""

RETRY_SECONDS = 10
"""When a client that was refused for no fault of its own should try again."""

ANYTHING = r"{rest:[\s\S]*}"
"""The rest of a path, whatever it is, for aiohttp's router."""

_PROMPT = frozenset({hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_POST})

log: structlog.stdlib.BoundLogger = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One thing that is served: its path, the methods it takes, and the name it has in metrics and logs."""

    path: str
    """As aiohttp's router takes it."""
    name: str
    handler: Handler
    methods: frozenset[str] | None = frozenset({hdrs.METH_GET, hdrs.METH_HEAD})
    """None: the handler answers to every method itself."""
    guarded: bool = True
    """Whether a login is asked for, where the web config declares users."""
    prompt: Prompt | None = None
    """What handles its plain GETs, HEADs and POSTs, as the handler would, where it is one folder that nobody guards."""


class Account:
    """Where requests that were answered are put down: in the metrics, and in the log if it goes to such detail."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._logged = log.is_enabled_for(logging.DEBUG)  # Asked once: to make a line that nobody sees costs as well.

    def served(self, handler: str, method: str, code: int, started: float, peer: str) -> None:
        """A request was answered; ``started``: when it came, by `time.perf_counter`."""
        seconds = time.perf_counter() - started
        self._telemetry.request_served(handler, method, code, seconds)
        if self._logged:
            # Never the path: it may hold a token, even where it is mistyped.
            log.debug("request", handler=handler, method=method, status=code, seconds=round(seconds, 6), peer=peer)


class Prompts:
    """The short way of requests to those endpoints that have one."""

    def __init__(self, account: Account, security: Security, endpoints: list[Endpoint]) -> None:
        self._account = account
        self._answers = Answers(security)
        self._endpoints = {
            endpoint.path.removesuffix(ANYTHING): (endpoint.name, endpoint.prompt)
            for endpoint in endpoints
            if endpoint.prompt is not None
        }

    def take(self, turn: Turn, message: RawRequestMessage) -> bool:
        """Whether this plain request is taken over, and then, before this returns, the turn has begun."""
        target = message.path
        found = self._endpoints.get(target[: target.find("/", 1) + 1])
        if found is None or message.method not in _PROMPT:
            return False
        turn.begin()
        name, prompt = found
        prompt(message, turn.peer, partial(self._respond, turn, name, message.method, time.perf_counter()))
        return True

    def _respond(self, turn: Turn, name: str, method: str, started: float, reply: Reply) -> None:
        self._account.served(name, method, reply.status, started, turn.peer)
        last = reply.closes or turn.last
        turn.answer(self._answers.encode(reply, head=method == hdrs.METH_HEAD, last=last), last=last)


def add_endpoints(app: web.Application, account: Account, security: Security, endpoints: list[Endpoint]) -> None:
    """Serve these, and 404 for all else."""

    async def complete(_: web.Request, answer: web.StreamResponse) -> None:
        answer.headers[hdrs.SERVER] = SERVER
        for name, value in security.headers:
            answer.headers[name] = value

    app.on_response_prepare.append(complete)
    for endpoint in [*endpoints, Endpoint(f"/{ANYTHING}", "none", _not_found, methods=None)]:
        answering = _measured(endpoint, account, _secured(endpoint, security))
        app.router.add_route(hdrs.METH_ANY, endpoint.path, answering, expect_handler=_go_on)


def text(status: int, message: str) -> web.Response:
    """A plain answer of one or more lines."""
    return web.Response(status=status, text=f"{message}\n")


async def _go_on(request: web.Request) -> None:
    """Let a client go on that waits to be told so. What else it expects is no reason not to hear it."""
    if request.headers[hdrs.EXPECT].lower() == "100-continue" and request.version == HttpVersion11:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # as aiohttp's own: the answer itself has not begun


async def _not_found(_: web.Request) -> web.Response:
    return text(404, "not found")


def _secured(endpoint: Endpoint, security: Security) -> Handler:
    """The endpoint as it may be used: by whom, and with which methods."""
    if not endpoint.guarded and endpoint.methods is None:
        return endpoint.handler

    async def serve(request: web.Request) -> web.Response:
        verdict = Verdict.ADMITTED
        if endpoint.guarded:
            verdict = await security.authenticate(request.headers.get(hdrs.AUTHORIZATION))
        if verdict is Verdict.REFUSED:
            answer = text(401, "unauthorized")
            answer.headers[hdrs.WWW_AUTHENTICATE] = 'Basic realm="heartbeat-exporter", charset="UTF-8"'
        elif verdict is Verdict.BUSY:
            answer = text(503, "too many logins are being checked; try again")
            answer.headers[hdrs.RETRY_AFTER] = str(RETRY_SECONDS)
        elif endpoint.methods is not None and request.method not in endpoint.methods:
            answer = text(405, "method not allowed")
            answer.headers[hdrs.ALLOW] = ", ".join(sorted(endpoint.methods))
        else:
            answer = await endpoint.handler(request)
        return answer

    return serve


def _measured(endpoint: Endpoint, account: Account, answering: Handler) -> Handler:
    async def serve(request: web.Request) -> web.Response:
        started = time.perf_counter()
        code = 500
        try:
            answer = await answering(request)
            code = answer.status
        finally:
            account.served(endpoint.name, request.method, code, started, request.remote or "")
        return answer

    return serve
