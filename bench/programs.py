"""The programs that the bench runs, each in a process that ends with it."""

import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).resolve().parents[1]

PACKAGES = {
    "curl": "curl",
    "hey": "hey",
    "prometheus": "prometheus",
    "prometheus-pushgateway": "prometheus-pushgateway",
    "wrk": "wrk",
}
"""Debian's package of each."""

OTHER_NAMES = {"prometheus-pushgateway": "pushgateway"}
"""What its authors call a program where it is not what Debian calls it."""


class BenchError(Exception):
    """The bench cannot go on, or what it measures does not do what it should; the message says what and where."""


def program(name: str) -> str:
    """The path of a program. Raises BenchError, which says how to install it, where it is missing."""
    for candidate in filter(None, (name, OTHER_NAMES.get(name))):
        if path := shutil.which(candidate):
            return path
    raise BenchError(f"{name} is missing; install it with: apt-get install {PACKAGES[name]}")


def output_of(command: Sequence[str | Path], within: float, *, errors_too: bool = False) -> str:
    """What a command prints. Raises BenchError where it fails, or takes longer than so many seconds."""
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=within, check=False)
    except subprocess.TimeoutExpired:
        raise BenchError(f"{command[0]} has not ended after {within:.0f} s") from None
    if done.returncode:
        raise BenchError(f"{command[0]} failed with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout + (done.stderr if errors_too else "")


def free_port() -> int:
    """A port of the loopback address on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def eventually(what: str, question: Callable[[], bool], within: float, every: float = 0.01) -> None:
    """Return once a question is answered with yes. Raises BenchError after so many seconds."""
    deadline = time.perf_counter() + within
    while not question():
        if time.perf_counter() > deadline:
            raise BenchError(f"{what}: not so after {within:.0f} s")
        time.sleep(every)


def python(module: str, *arguments: str | Path) -> list[str]:
    """The command that runs a module with the interpreter of the bench."""
    return [sys.executable, "-m", module, *map(str, arguments)]


class Child:
    """A program in a process of its own, with its output in a file; it is ended when its block is left."""

    def __init__(self, name: str, command: Sequence[str], log: Path) -> None:
        self.name = name
        self.log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
        self.started = time.perf_counter()

    @property
    def pid(self) -> int:
        """Its process's number."""
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def check(self) -> None:
        """Raise BenchError if it has ended, with the end of its output."""
        if (code := self._process.poll()) is not None:
            raise BenchError(f"{self.name} has ended with {code}:\n{self.tail()}")

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def stop(self, within: float = 30) -> None:
        """End it. Raises BenchError if it does not end in so many seconds when it is asked to; then it is killed."""
        self._process.terminate()
        try:
            self._process.wait(within)
        except subprocess.TimeoutExpired:
            raise BenchError(f"{self.name} has not ended {within:.0f} s after SIGTERM:\n{self.tail()}") from None
        finally:
            self._process.kill()
            self._process.wait()

    def tail(self) -> str:
        """The end of its output, for people."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])
