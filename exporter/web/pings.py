"""Pings: a request is read, matched with a heartbeat, and answered once it is on disk."""

import asyncio
import re
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, cast
from urllib.parse import unquote
from uuid import UUID

import structlog
from aiohttp import ClientError, hdrs, web
from aiohttp.http_parser import RawRequestMessage
from multidict import MultiMapping
from yarl import URL

from exporter.heartbeat import METHODS, Heartbeat, Ping, RunId, Signal
from exporter.metrics.telemetry import Rejection, Telemetry
from exporter.monitor import Monitor
from exporter.roster import Roster
from exporter.schedule import Moment
from exporter.store import Overloaded, StoreError
from exporter.web.answers import Reply
from exporter.web.connections import Connection
from exporter.web.proxies import client_address
from exporter.web.serving import ANYTHING, RETRY_SECONDS, Endpoint, Respond

BODY_SECONDS = 60.0
"""How long a whole ping may take to arrive."""

USER_AGENT_LIMIT = 512
"""Characters of a User-Agent header that are kept."""

_EXIT_STATUS = re.compile(r"0|[1-9][0-9]{0,2}", re.ASCII)
_UUID = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
_ALLOWED = ", ".join(sorted({*METHODS, hdrs.METH_OPTIONS}))
_SIGNALS = {None: Signal.SUCCESS, "start": Signal.START, "fail": Signal.FAIL, "log": Signal.LOG}
_OF_STATUS = {
    204: (
        (hdrs.ALLOW, _ALLOWED),
        (hdrs.ACCESS_CONTROL_ALLOW_METHODS, _ALLOWED),
        (hdrs.ACCESS_CONTROL_ALLOW_HEADERS, "*"),
    ),
    405: ((hdrs.ALLOW, _ALLOWED),),
    503: ((hdrs.RETRY_AFTER, str(RETRY_SECONDS)),),
}
"""Headers that belong to an answer because of its status."""

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Refusal(Exception):
    """A request that is not taken as a ping."""

    def __init__(self, status: int, message: str, reason: Rejection) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


NOT_FOUND = (404, "not found", Rejection.UNKNOWN)
BAD_URL = (400, "invalid url format", Rejection.BAD_REQUEST)
BAD_RID = (400, "invalid uuid format", Rejection.BAD_REQUEST)


class Address(NamedTuple):
    """What the path of a ping says."""

    heartbeat: Heartbeat
    signal: Signal
    exit_status: int | None = None


def read_path(path: str, roster: Roster) -> Address:
    """What a path below /heartbeat/ or /ping/ says. Raises Refusal.

    A closing slash changes nothing: clients made for Healthchecks may send one.
    """
    parts = path.removesuffix("/").split("/")
    if "%" in path:
        parts = [unquote(part) for part in parts]
    _, kind, opener, *rest = parts if len(parts) > 2 else ("", "", "")
    heartbeat = roster.with_token(opener)
    if heartbeat is None and kind == "ping" and rest and roster.has_key(opener):
        heartbeat = roster.named(rest.pop(0))
    if heartbeat is None:
        raise Refusal(*NOT_FOUND)
    return Address(heartbeat, *_read_signal(rest))


def _read_signal(rest: list[str]) -> tuple[Signal, int | None]:
    word = rest[0] if rest else None
    if len(rest) > 1:
        raise Refusal(*BAD_URL)
    if word in _SIGNALS:
        return _SIGNALS[word], None
    if word is None or not _EXIT_STATUS.fullmatch(word) or (status := int(word)) > 255:
        raise Refusal(*BAD_URL)
    return Signal.FAIL if status else Signal.SUCCESS, status


def read_url(url: URL, roster: Roster) -> tuple[Address, RunId | None]:
    """What the URL of a ping says. Raises Refusal."""
    return read_path(url.raw_path, roster), read_rid(url.query.get("rid")) if url.raw_query_string else None


def read_rid(text: str | None) -> RunId | None:
    """The run that ``?rid=`` names, in one spelling. Raises Refusal."""
    if text is None:
        return None
    if not _UUID.fullmatch(text):
        raise Refusal(*BAD_RID)
    return RunId(str(UUID(text)))


class Pings:
    """Takes pings for a monitor.

    A plain one goes the short way, every other one aiohttp's: what is read of it and what it is answered is the same.
    """

    def __init__(
        self,
        monitor: Monitor,
        telemetry: Telemetry,
        clock: Callable[[], Moment],
        *,
        body_seconds: float = BODY_SECONDS,
    ) -> None:
        self._monitor = monitor
        self._telemetry = telemetry
        self._clock = clock
        self._body_seconds = body_seconds
        self._replies: dict[tuple[int, str, int], Reply] = {}

    def endpoints(self) -> list[Endpoint]:
        """Where pings are taken."""
        return [
            Endpoint(f"/{name}/{ANYTHING}", name, self._answer, methods=None, guarded=False, prompt=self._prompt)
            for name in ("heartbeat", "ping")
        ]

    async def _answer(self, request: web.Request) -> web.Response:
        self._telemetry.ping_received()
        roster = self._monitor.roster
        try:
            status = await self._take(request, roster)
        except Refusal as refusal:
            return self._refused(refusal, roster).response()
        return self._reply(status, "OK", roster).response()

    def _prompt(self, message: RawRequestMessage, peer: str, respond: Respond) -> None:
        self._telemetry.ping_received()
        roster = self._monitor.roster
        try:
            address, rid = read_url(message.url, roster)
            ping = self._ping(address, rid, message.method, message.headers, peer, b"", roster)
            self._monitor.take(address.heartbeat, ping, partial(self._settled, respond, roster))
        except Refusal as refusal:
            respond(self._refused(refusal, roster))
        except Overloaded as error:
            respond(self._refused(_not_stored(error), roster))

    def _settled(self, respond: Respond, roster: Roster, error: BaseException | None) -> None:
        if error is None:
            reply = self._reply(200, "OK", roster)
        elif isinstance(error, StoreError):
            reply = self._refused(_not_stored(error), roster)
        else:
            log.error("a ping met a mistake of ours", exc_info=error)
            reply = self._reply(500, "internal error", roster)
        respond(reply)

    def _refused(self, refusal: Refusal, roster: Roster) -> Reply:
        self._telemetry.ping_rejected(refusal.reason)
        return self._reply(refusal.status, str(refusal), roster)

    def _reply(self, status: int, message: str, roster: Roster) -> Reply:
        body_limit = roster.config.body_limit
        reply = self._replies.get((status, message, body_limit))
        if reply is None:
            reply = self._replies[status, message, body_limit] = _make_reply(status, message, body_limit)
        return reply

    async def _take(self, request: web.Request, roster: Roster) -> int:
        """The status of the answer to a request that is taken. Raises Refusal."""
        if request.method == hdrs.METH_OPTIONS:
            return 204
        if request.method not in METHODS:
            raise Refusal(405, "method not allowed", Rejection.METHOD)
        address, rid = read_url(request.rel_url, roster)
        body = await self._read_body(request, roster.config.body_limit)
        peer = cast("Connection", request.protocol).peer
        ping = self._ping(address, rid, request.method, request.headers, peer, body, roster)
        try:
            await self._monitor.record(address.heartbeat, ping)
        except StoreError as error:
            raise _not_stored(error) from None
        return 200

    def _ping(
        self,
        address: Address,
        rid: RunId | None,
        method: str,
        headers: MultiMapping[str],
        peer: str,
        body: bytes,
        roster: Roster,
    ) -> Ping:
        """A request that has come whole, by now."""
        trusted = roster.config.trusted_proxies
        return Ping(
            at=self._clock(),
            signal=address.signal,
            rid=rid,
            exit_status=address.exit_status,
            ignored=method not in address.heartbeat.methods,
            method=method,
            remote=client_address(peer, headers.getall("X-Forwarded-For", ()), trusted) if trusted else peer,
            user_agent=headers.get(hdrs.USER_AGENT, "")[:USER_AGENT_LIMIT],
            body=body,
        )

    async def _read_body(self, request: web.Request, limit: int) -> bytes:
        """The first ``limit`` bytes of the body; the rest is read and dropped. Raises Refusal if it stays away."""
        if not request.can_read_body:
            return b""
        kept = bytearray()
        try:
            async with asyncio.timeout(self._body_seconds):
                with cast("Connection", request.protocol).awaiting_body():
                    async for chunk in request.content.iter_any():
                        if len(kept) < limit:
                            kept += chunk[: limit - len(kept)]
        except TimeoutError:
            raise Refusal(408, "the request did not arrive in time", Rejection.TIMEOUT) from None
        except (ConnectionError, ClientError, web.RequestPayloadError):
            raise Refusal(408, "the request did not arrive whole", Rejection.TIMEOUT) from None
        return bytes(kept)


def _not_stored(error: StoreError) -> Refusal:
    if isinstance(error, Overloaded):
        return Refusal(503, str(error), Rejection.OVERLOAD)
    return Refusal(503, "the ping could not be stored", Rejection.STORE)


def _make_reply(status: int, message: str, body_limit: int) -> Reply:
    headers = (
        (hdrs.CONTENT_TYPE, "text/plain; charset=utf-8"),
        (hdrs.CACHE_CONTROL, "no-store"),
        (hdrs.ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        ("Ping-Body-Limit", str(body_limit)),
        *_OF_STATUS.get(status, ()),
    )
    return Reply(status, None if status == 204 else message, headers, closes=status in (408, 500))
