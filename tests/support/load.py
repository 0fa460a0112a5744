"""A load of pings by many clients at once, who remember what they sent and what they were told."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random

from victim import Victim

from exporter.heartbeat import Name, RunId, Signal
from exporter.schedule import Moment
from exporter.server import wall_clock

BODY_LIMIT = 10_000
KEY = "shared-key-0123456789"
CLIENTS = 12
CONFIG = f"""
pings: {{keys: [{{key: {KEY}}}], history: 10000, body_limit: {BODY_LIMIT}}}
heartbeats:
  - {{name: hourly, interval: 1h, token: token-of-hourly-0}}
  - {{name: bounded, interval: 1h, max_runtime: 2h, token: token-of-bounded}}
  - {{name: second, interval: 1s, grace: 0s, token: token-of-second-0}}
  - {{name: nightly, cron: "0 3 * * *", timezone: Europe/Berlin, token: token-of-nightly}}
  - {{name: weekdays, oncalendar: "Mon..Fri 08:00", token: token-of-weekdays}}
  - {{name: posted, interval: 1d, methods: [POST], token: token-of-posted-0}}
"""
TOKENS = {
    "hourly": "token-of-hourly-0",
    "bounded": "token-of-bounded",
    "second": "token-of-second-0",
    "nightly": "token-of-nightly",
    "weekdays": "token-of-weekdays",
    "posted": "token-of-posted-0",
}

_SIZES = (0, 0, 0, 10, 200, 3_000, BODY_LIMIT, BODY_LIMIT + 1, 40_000)
_WORDS = ("", "", "", "/start", "/start", "/fail", "/log", "/0", "/3", "/255")


@dataclass(eq=False)
class Sent:
    """A ping as its client sent it; its User-Agent names it."""

    client: int
    number: int
    """Counts the client's pings."""
    heartbeat: Name
    signal: Signal
    exit_status: int | None
    rid: RunId | None
    method: str
    size: int
    """Bytes of its body."""
    at: Moment
    """When its client began to send it."""
    status: int | None = None
    """Of the answer; None: there was none."""
    kept: bool | None = None
    """Whether the history has it; None until somebody has looked."""

    @property
    def name(self) -> str:
        """Unlike that of any other ping."""
        return f"{self.client}/{self.number}"

    @property
    def body(self) -> bytes:
        """Its whole body."""
        line = f"{self.name}\0\xff\n".encode("latin-1")
        return (line * (self.size // len(line) + 1))[: self.size]


@dataclass
class Client:
    """One client, which sends its pings one after another and never repeats one."""

    number: int
    dice: Random
    keeps_alive: bool
    count: int = 0
    rids: dict[str, RunId] = field(default_factory=dict)
    """The runs that it has started."""
    sending: Sent | None = None
    """What it has sent, at least in part, and has no answer to."""
    whole: bool = False
    """Whether it has given all of that to its connection."""
    writer: asyncio.StreamWriter | None = None
    reader: asyncio.StreamReader | None = None

    def next(self) -> tuple[Sent, bytes, list[bytes]]:
        """The next ping, its head, and its body in parts."""
        dice = self.dice
        name, word = dice.choice(list(TOKENS)), dice.choice(_WORDS)
        method = dice.choice(("POST", "POST", "GET", "HEAD"))
        signal, status = _meaning(word)
        rid = self._rid(name, signal)
        self.count += 1
        size = dice.choice(_SIZES) if method == "POST" else 0
        sent = Sent(self.number, self.count, Name(name), signal, status, rid, method, size, wall_clock())
        path = dice.choice((f"/heartbeat/{TOKENS[name]}", f"/ping/{TOKENS[name]}", f"/ping/{KEY}/{name}")) + word
        lines = [f"{method} {path}{f'?rid={rid}' if rid else ''} HTTP/1.1", "Host: load", f"User-Agent: {sent.name}"]
        lines += [f"Content-Length: {size}"] if method == "POST" else []
        lines += [] if self.keeps_alive else ["Connection: close"]
        cut = dice.randint(0, size)
        return sent, "\r\n".join([*lines, "\r\n"]).encode(), [sent.body[:cut], sent.body[cut:]]

    def _rid(self, name: str, signal: Signal) -> RunId | None:
        if signal is Signal.START and self.dice.random() < 0.7:
            high, low = self.dice.getrandbits(64), self.dice.getrandbits(64)
            text = f"{high:016x}{low:016x}"
            self.rids[name] = RunId(f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}")
            return self.rids[name]
        return self.rids.pop(name, None) if signal in {Signal.SUCCESS, Signal.FAIL} else None

    async def ping(self, port: int, journal: "Journal") -> None:
        """Send one ping and note the answer. Raises OSError or EOFError where there is none."""
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port)
        assert self.reader is not None
        sent, head, parts = self.next()
        journal.sent.append(sent)
        self.sending, self.whole = sent, False
        try:
            self.writer.write(head)
            for part in parts:
                self.writer.write(part)
                await self.writer.drain()
            self.whole = True
            sent.status = await _answer_to(sent, self.reader)
            journal.answered(sent)
        finally:
            self.sending = None
        if not self.keeps_alive:
            self.hang_up()

    def hang_up(self) -> None:
        """Close the connection."""
        if self.writer is not None:
            self.writer.transport.abort()
        self.reader = self.writer = None

    def has_sent_whole(self) -> Sent | None:
        """The ping that has left this client to its last byte, and waits for an answer."""
        gone = self.whole and self.writer is not None and not self.writer.transport.get_write_buffer_size()
        return self.sending if gone else None


def _meaning(word: str) -> tuple[Signal, int | None]:
    last = word.removeprefix("/")
    if last.isdigit():
        return (Signal.FAIL if int(last) else Signal.SUCCESS), int(last)
    return (Signal(last) if last else Signal.SUCCESS), None


async def _answer_to(sent: Sent, reader: asyncio.StreamReader) -> int:
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("ascii").lower().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines if line)
    if sent.method != "HEAD":
        await reader.readexactly(int(headers["content-length"]))
    status = int(first.split()[1])
    assert status == 200 or (status == 503 and int(headers["retry-after"]) > 0), head
    return status


@dataclass
class Journal:
    """Everything that was sent to one database."""

    sent: list[Sent] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    """How many answers had each status."""
    first_answer: float | None = None
    """When a ping was last accepted after `expect_answer`, by the monotonic clock; None: not yet."""

    def answered(self, sent: Sent) -> None:
        """Note that there was an answer."""
        assert sent.status is not None
        self.statuses[sent.status] += 1
        if sent.status == 200 and self.first_answer is None:
            self.first_answer = time.monotonic()

    @property
    def acknowledged(self) -> int:
        """How many pings were."""
        return self.statuses[200]


class Load:
    """Many clients, of both kinds: such as keep their connection, and such as open one for each ping."""

    def __init__(self, victim: Victim, dice: Random) -> None:
        self.journal = Journal()
        self._victim = victim
        self._clients = [
            Client(number, Random(dice.getrandbits(64)), keeps_alive=number % 2 == 0) for number in range(CLIENTS)
        ]

    async def press(self, over: asyncio.Event) -> None:
        """Ping with every client, whoever listens or does not, until the event is set and nobody answers any more."""
        async with asyncio.TaskGroup() as group:
            for client in self._clients:
                group.create_task(self._press(client, over))

    async def _press(self, client: Client, over: asyncio.Event) -> None:
        while not over.is_set():
            try:
                await client.ping(self._victim.port, self.journal)
            except (OSError, EOFError):
                client.hang_up()
                await asyncio.sleep(0.01)  # as long as nobody listens, no faster than this
        client.hang_up()

    async def acknowledged(self, more: int) -> None:
        """Return once so many more pings were acknowledged."""
        await self._answered(200, more)

    async def refused(self, more: int) -> None:
        """Return once so many more pings were answered with 503."""
        await self._answered(503, more)

    async def _answered(self, status: int, more: int) -> None:
        enough = self.journal.statuses[status] + more
        while self.journal.statuses[status] < enough:
            assert self._victim.alive(), self._victim.tail()
            await asyncio.sleep(0.001)

    def sent_whole(self) -> Sequence[Sent]:
        """The pings that have left their clients whole and are not answered."""
        return list(filter(None, (client.has_sent_whole() for client in self._clients)))

    def __iter__(self) -> Iterator[Sent]:
        return iter(self.journal.sent)
