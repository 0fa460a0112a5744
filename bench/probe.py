"""The exporter with a probe on its event loop: how late a callback comes that wants to be called each millisecond.

`python -m bench.probe REPORT FLAG …` runs the exporter's own command with these flags. On SIGUSR1 the file REPORT is
replaced by what was seen since the last time. Two lengths are noted each time: by how much the callback was late, and
how much processor time the loop's thread used between two callbacks. The second one tells what we did from what the
system's scheduler did, which gives the processor to others meanwhile.
"""

import asyncio
import json
import signal
import sys
import time
from array import array
from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.programs import BenchError, eventually
from bench.servers import Exporter
from exporter import cli
from exporter.server import Settings, serve

EVERY = 0.001


@dataclass(frozen=True)
class Holds:
    """For how long an event loop was held; times in seconds."""

    callbacks: int
    """How many came."""
    longest: float
    """By how much one was late at most."""
    p999: float
    """By how much 999 of 1,000 were late at most."""
    longest_cpu: float
    """The most processor time that the loop's thread used between two callbacks."""


class Probe:
    """Watches the event loop on which it is started."""

    def __init__(self, report: Path) -> None:
        self._report = report
        self._late = array("d")
        self._cpu = array("d")
        self._expected = 0.0
        self._cpu_before = 0.0

    def start(self) -> None:
        """Begin to watch, and listen to SIGUSR1."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, self.write)
        self._loop = loop
        self._again()

    def _again(self) -> None:
        self._cpu_before = time.thread_time()
        self._expected = time.perf_counter() + EVERY
        self._loop.call_later(EVERY, self._called)

    def _called(self) -> None:
        self._late.append(max(0.0, time.perf_counter() - self._expected))
        self._cpu.append(time.thread_time() - self._cpu_before)
        self._again()

    def write(self) -> None:
        """Report, and begin anew."""
        late, cpu = sorted(self._late), self._cpu
        self._late, self._cpu = array("d"), array("d")
        at = int(len(late) * 0.999)
        seen = Holds(len(late), late[-1], late[at], max(cpu)) if late else Holds(0, 0.0, 0.0, 0.0)
        written = self._report.with_suffix(".part")
        written.write_text(json.dumps(asdict(seen)))
        written.replace(self._report)


def ask(exporter: Exporter, report: Path) -> Holds:
    """What the probe of an exporter has seen since `begin`. Raises BenchError."""
    holds = begin(exporter, report)
    if not holds.callbacks:
        raise BenchError("the probe on the event loop was never called")
    return holds


def begin(exporter: Exporter, report: Path) -> Holds:
    """Have the probe of an exporter begin anew; returns what it has seen before. Raises BenchError."""
    report.unlink(missing_ok=True)
    exporter.send(signal.SIGUSR1)
    eventually("the probe has reported", report.exists, within=30)
    return Holds(**json.loads(report.read_text()))


def _probed(probe: Probe) -> Callable[[Settings], Coroutine[Any, Any, None]]:
    async def run(settings: Settings) -> None:
        probe.start()
        await serve(settings)

    return run


def main() -> int:
    """The exporter's command; returns its exit code."""
    # Taken until the loop is there, which takes over: it would end the process.
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    # By the name under which the command calls it.
    setattr(cli, "serve", _probed(Probe(Path(sys.argv[1]))))  # noqa: B010 - mypy: it is no export of that module
    return cli.main(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
