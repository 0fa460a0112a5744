"""An exporter that faults are done to: killed, suspended, with a disk that fails and a clock that jumps."""

import resource
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from programs import printed
from servers import ROOT, Exporter, eventually

from exporter.schedule import SECOND, Moment

UNLIMITED = resource.RLIM_INFINITY


class Victim(Exporter):
    """A heartbeat exporter in a child process, in a folder that is made for it."""

    def __init__(self, folder: Path, config: str, *flags: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(folder, config, *flags)

    @property
    def config_file(self) -> Path:
        """Its configuration."""
        return self._config

    @property
    def database(self) -> Path:
        """Its database."""
        return self.folder / "data" / "heartbeats.db"

    @property
    def log(self) -> str:
        """What it has logged, in all its lives."""
        return self._log.read_text()

    @property
    def pid(self) -> int:
        """The process that runs, or ran last."""
        assert self._process is not None
        return self._process.pid

    def launch(self) -> None:
        """Start it, and wait for nothing."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self.command(), cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)

    def alive(self) -> bool:
        """Whether the process runs."""
        return not self._ended()

    def suspend(self) -> None:
        """Stop the process, as the suspension of a machine does."""
        self.send(signal.SIGSTOP)
        eventually("the process is stopped", lambda: self._state() == "T")

    def resume(self) -> None:
        """Let the process go on that was suspended."""
        self.send(signal.SIGCONT)

    def _state(self) -> str:
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]

    def limit_files(self, size: int) -> None:
        """Let every write beyond this offset of a file fail from now on, as on a disk with bad blocks."""
        _, hard = resource.prlimit(self.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (hard if size == UNLIMITED else size, hard))


class DisplacedVictim(Victim):
    """One whose wall clock stands still and is set by the test; its monotonic clock runs as everywhere else."""

    def __init__(self, folder: Path, config: str, now: Moment) -> None:
        super().__init__(folder, config)
        self._clock = folder / "clock"
        self._library = printed("faketime", "-f", "+0", "printenv", "LD_PRELOAD").strip()
        self.set_clock(now)

    def set_clock(self, now: Moment) -> None:
        """Make it this moment, a whole second, for the process."""
        assert now % SECOND == 0, now
        written = self._clock.with_suffix(".new")
        written.write_text(str(now // SECOND))
        written.replace(self._clock)  # so that the process never reads half of it

    def command(self) -> Sequence[str]:
        settings = {
            "LD_PRELOAD": self._library,
            "FAKETIME_TIMESTAMP_FILE": self._clock,
            "FAKETIME_FMT": "%s",
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
            "TZ": "UTC",
        }
        return ["env", *(f"{name}={value}" for name, value in settings.items()), *super().command()]

    def wait(self, within: float = 10) -> int:
        code = super().wait(within)
        self._clear()
        return code

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        super().__exit__(kind, error, at)
        self._clear()

    def _clear(self) -> None:
        """Remove what libfaketime leaves of a process that does not end by returning."""
        for left in Path("/dev/shm").glob(f"*faketime_*_{self.pid}"):
            left.unlink(missing_ok=True)
