"""Load from other processes: wrk and hey for pings, curl for scrapes."""

import csv
import json
import math
import signal
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.programs import ROOT, BenchError, output_of, program

CONNECTIONS = 64
HOUR = 3600
FILL_SECONDS = 600
"""In which every path must have been requested once."""
WORKERS, PER_WORKER = 10, 50
"""hey's workers, and how many pings each sends a second, as long as its answers come in time."""
TELL_SECONDS = 90.0
"""In which a load that is interrupted must have said what it has; the answers that it awaits come first."""
SCRAPE_SECONDS = 300.0
"""After which a scrape is given up."""


@dataclass(frozen=True)
class Pressed:
    """What wrk saw; times in seconds."""

    rate: float
    """Answers a second."""
    p99: float


def press(
    url: str,
    paths: Path,
    seconds: int,
    *,
    first: int = 1,
    method: str = "GET",
    body: str | None = None,
) -> Pressed:
    """Request the paths in a file in turn, beginning with the line of that number, as fast as answers come.

    Raises BenchError where an answer is not good.
    """
    script = [str(paths), str(first), method, *([body] if body is not None else [])]
    command = _wrk(url, "walk.lua", CONNECTIONS, seconds, script)
    return _pressed(url, output_of(command, within=seconds + 60))


def request_once(url: str, paths: Path, *, method: str = "GET", body: str | None = None) -> None:
    """Request each path in a file once; a few may be twice. Raises BenchError where an answer is not good."""
    script = [str(paths), method, *([body] if body is not None else [])]
    command = _wrk(url, "once.lua", CONNECTIONS, FILL_SECONDS, script)
    told = _told(url, output_of(command, within=FILL_SECONDS + 60))
    if told["refused"]:
        raise BenchError(f"{url}: {told['refused']} of {told['requests']} requests were refused")


@contextmanager
def pressing(url: str, paths: Path, connections: int) -> Iterator[None]:
    """Ping as `press` does while a block is run. Raises BenchError where an answer is not good."""
    command = _wrk(url, "walk.lua", connections, HOUR, [str(paths), "1", "GET"])
    with _until_told(command) as printed:
        yield
    _pressed(url, "".join(printed))


@contextmanager
def _until_told(command: Sequence[str]) -> Iterator[list[str]]:
    """Runs a command until the block is left, and then has it say what it has, which the list holds afterwards."""
    printed: list[str] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield printed
            process.send_signal(signal.SIGINT)
            printed.append(process.communicate(timeout=TELL_SECONDS)[0])
        except subprocess.TimeoutExpired:
            raise BenchError(f"{command[0]} has not ended {TELL_SECONDS:.0f} s after it was interrupted") from None
        finally:
            process.kill()


def _wrk(url: str, script: str, connections: int, seconds: int, arguments: Sequence[str]) -> list[str]:
    flags = ["-t1", f"-c{connections}", f"-d{seconds}s", "--timeout=60s", f"--script={ROOT / 'bench' / script}"]
    return [program("wrk"), *flags, url, "--", *arguments]


def _pressed(url: str, printed: str) -> Pressed:
    told = _told(url, printed)
    if told["status"] or told["socket"] or not told["requests"]:
        raise BenchError(
            f"{url}: of {told['requests']} requests {told['status']} were refused, {told['socket']} broke off"
        )
    return Pressed(told["requests"] / told["seconds"], told["p99"])


def _told(url: str, printed: str) -> dict[str, Any]:
    _, found, rest = printed.partition("RESULT ")
    if not found:
        raise BenchError(f"wrk did not finish its requests to {url}:\n{printed[-1000:]}")
    told: dict[str, Any] = json.loads(rest.splitlines()[0])
    return told


@dataclass(frozen=True)
class Ping:
    """One ping that hey sent; times in seconds."""

    sent: float
    """Since hey was started."""
    took: float


class Hey:
    """Pings of one heartbeat at a fixed moderate rate, about 500 a second, while a block is run."""

    def __init__(self, url: str, at_most: float) -> None:
        """``at_most``: seconds after which it ends by itself."""
        flags = ["-z", f"{math.ceil(at_most)}s", "-c", str(WORKERS), "-q", str(PER_WORKER), "-t", "60", "-o", "csv"]
        self._url = url
        self._command = [program("hey"), *flags, url]
        self.pings: list[Ping] = []
        self.started = 0.0
        """By the clock of time.perf_counter."""

    @contextmanager
    def running(self) -> Iterator[None]:
        """Runs it; its pings are there when the block is left. Raises BenchError where an answer is not 200."""
        self.started = time.perf_counter()
        with _until_told(self._command) as printed:
            yield
        rows = list(csv.DictReader("".join(printed).splitlines()))
        bad = {row["status-code"] for row in rows} - {"200"}
        if not rows or bad:
            raise BenchError(f"{self._url}: hey saw {len(rows)} answers, statuses beside 200: {bad or 'none'}")
        self.pings = [Ping(float(row["offset"]), float(row["response-time"])) for row in rows]


def hey_for(url: str, seconds: float) -> list[Ping]:
    """The pings of so many seconds at a moderate rate."""
    hey = Hey(url, seconds + 60)
    with hey.running():
        time.sleep(seconds)
    return hey.pings


def p99(seconds: Iterable[float]) -> float:
    """What 99 of 100 do not exceed."""
    ordered = sorted(seconds)
    if not ordered:
        raise BenchError("no ping fell into the span that is looked at")
    return ordered[math.ceil(len(ordered) * 0.99) - 1]


def with_the_unsent(pings: Iterable[Ping]) -> list[float]:
    """How long pings took, those included that a worker would have sent while it waited for an answer.

    Without them a stall would count as one slow ping of each worker, however many pings it would have caught.
    """
    every = 1 / PER_WORKER
    return [ping.took - every * missed for ping in pings for missed in range(max(1, math.ceil(ping.took / every)))]


def scrape(url: str, *, zipped: bool) -> float:
    """How long a whole scrape takes, in seconds, from connecting to the page's last byte. Raises BenchError."""
    encoding = f"Accept-Encoding: {'gzip' if zipped else 'identity'}"
    shown = "%{http_code} %{time_total}"
    command = [program("curl"), "-sS", "--noproxy", "*", "-o", "/dev/null", "-w", shown, "-H", encoding]
    status, taken = output_of([*command, f"{url}/metrics"], SCRAPE_SECONDS).split()
    if status != "200":
        raise BenchError(f"{url}/metrics answers with {status}")
    return float(taken)


@dataclass
class Scraper:
    """Scrapes again and again with gzip, one scrape after another."""

    url: str
    taken: list[float] = field(default_factory=list)
    """How long each has taken, in seconds."""

    @contextmanager
    def running(self) -> Iterator[None]:
        """Scrapes while the block is run; the last scrape, too, has ended when it is left. Raises BenchError."""
        over = threading.Event()
        troubles: list[BenchError] = []

        def work() -> None:
            try:
                while not over.is_set():
                    self.taken.append(scrape(self.url, zipped=True))
            except BenchError as error:
                troubles.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
        for trouble in troubles:
            raise trouble
