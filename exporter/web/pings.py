"""Pings: a request is read, matched with a heartbeat, and answered once it is on disk."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast
from urllib.parse import unquote
from uuid import UUID

from aiohttp import ClientError, hdrs, web

from exporter.heartbeat import METHODS, Heartbeat, Ping, RunId, Signal
from exporter.metrics.telemetry import Rejection, Telemetry
from exporter.monitor import Monitor
from exporter.roster import Roster
from exporter.schedule import Moment
from exporter.store import Overloaded, StoreError
from exporter.web.connections import Connection
from exporter.web.proxies import client_address
from exporter.web.serving import ANYTHING, RETRY_SECONDS, Endpoint

BODY_SECONDS = 60.0
"""How long a whole ping may take to arrive."""

USER_AGENT_LIMIT = 512
"""Characters of a User-Agent header that are kept."""

_EXIT_STATUS = re.compile(r"0|[1-9][0-9]{0,2}", re.ASCII)
_UUID = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
_ALLOWED = ", ".join(sorted({*METHODS, hdrs.METH_OPTIONS}))
_SIGNALS = {None: Signal.SUCCESS, "start": Signal.START, "fail": Signal.FAIL, "log": Signal.LOG}


class Refusal(Exception):
    """A request that is not taken as a ping."""

    def __init__(self, status: int, message: str, reason: Rejection) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


NOT_FOUND = (404, "not found", Rejection.UNKNOWN)
BAD_URL = (400, "invalid url format", Rejection.BAD_REQUEST)
BAD_RID = (400, "invalid uuid format", Rejection.BAD_REQUEST)


@dataclass(frozen=True, slots=True)
class Address:
    """What the path of a ping says."""

    heartbeat: Heartbeat
    signal: Signal
    exit_status: int | None = None


def read_path(path: str, roster: Roster) -> Address:
    """What a path below /heartbeat/ or /ping/ says. Raises Refusal.

    A closing slash changes nothing: clients made for Healthchecks may send one.
    """
    parts = [unquote(part) for part in path.removesuffix("/").split("/")[1:]]
    kind, opener, *rest = parts if len(parts) > 1 else ("", "")
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


def read_rid(text: str | None) -> RunId | None:
    """The run that ``?rid=`` names, in one spelling. Raises Refusal."""
    if text is None:
        return None
    if not _UUID.fullmatch(text):
        raise Refusal(*BAD_RID)
    return RunId(str(UUID(text)))


class Pings:
    """Takes pings for a monitor."""

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

    def endpoints(self) -> list[Endpoint]:
        """Where pings are taken."""
        return [
            Endpoint(f"/heartbeat/{ANYTHING}", "heartbeat", self._answer, methods=None, guarded=False),
            Endpoint(f"/ping/{ANYTHING}", "ping", self._answer, methods=None, guarded=False),
        ]

    async def _answer(self, request: web.Request) -> web.Response:
        self._telemetry.ping_received()
        roster = self._monitor.roster
        try:
            status, message = await self._take(request, roster), "OK"
        except Refusal as refusal:
            self._telemetry.ping_rejected(refusal.reason)
            status, message = refusal.status, str(refusal)
        answer = web.Response(status=status, text=message if status != 204 else None)
        answer.headers[hdrs.CONTENT_TYPE] = "text/plain; charset=utf-8"
        answer.headers[hdrs.CACHE_CONTROL] = "no-store"
        answer.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = "*"
        answer.headers["Ping-Body-Limit"] = str(roster.config.body_limit)
        if status in (204, 405):
            answer.headers[hdrs.ALLOW] = _ALLOWED
        if status == 204:
            answer.headers[hdrs.ACCESS_CONTROL_ALLOW_METHODS] = _ALLOWED
            answer.headers[hdrs.ACCESS_CONTROL_ALLOW_HEADERS] = "*"
        if status == 503:
            answer.headers[hdrs.RETRY_AFTER] = str(RETRY_SECONDS)
        if status == 408:
            answer.force_close()
        return answer

    async def _take(self, request: web.Request, roster: Roster) -> int:
        """The status of the answer to a request that is taken. Raises Refusal."""
        if request.method == hdrs.METH_OPTIONS:
            return 204
        if request.method not in METHODS:
            raise Refusal(405, "method not allowed", Rejection.METHOD)
        address = read_path(request.rel_url.raw_path, roster)
        rid = read_rid(request.rel_url.query.get("rid")) if request.query_string else None
        body = await self._read_body(request, roster.config.body_limit)
        ping = Ping(
            at=self._clock(),
            signal=address.signal,
            rid=rid,
            exit_status=address.exit_status,
            ignored=request.method not in address.heartbeat.methods,
            method=request.method,
            remote=client_address(
                request.remote or "", request.headers.getall("X-Forwarded-For", ()), roster.config.trusted_proxies
            ),
            user_agent=request.headers.get(hdrs.USER_AGENT, "")[:USER_AGENT_LIMIT],
            body=body,
        )
        try:
            await self._monitor.record(address.heartbeat, ping)
        except Overloaded as error:
            raise Refusal(503, str(error), Rejection.OVERLOAD) from None
        except StoreError:
            raise Refusal(503, "the ping could not be stored", Rejection.STORE) from None
        return 200

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
