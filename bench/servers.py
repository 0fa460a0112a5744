"""What is measured, each as a server in a process of its own: the exporter and its peers."""

import http.client
import signal
from collections.abc import Sequence
from pathlib import Path

from bench.heartbeats import Heartbeats
from bench.programs import BenchError, Child, eventually, free_port, program, python

REST_SECONDS = 0.4
IDLE_TICKS = 2
"""Hundredths of a second that a process which has nothing to do may use in REST_SECONDS."""

START_SECONDS = 180.0
"""After which a server that is not ready is given up."""


class Server(Child):
    """A server on a free loopback port; once it is made it is ready."""

    def __init__(self, name: str, folder: Path, port: int, command: Sequence[str]) -> None:
        super().__init__(name, command, folder / f"{name}-{port}.log")
        self.port = port
        try:
            eventually(f"{name} is ready", self._ready, START_SECONDS)
        except BaseException:
            self.stop()
            raise

    @property
    def url(self) -> str:
        """Where it serves."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def ready_path(self) -> str:
        """A path that answers 200 once it is ready."""
        return "/-/ready"

    def get(self, path: str) -> tuple[int, bytes]:
        """The status and the body of an answer. Raises OSError where there is none."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def _ready(self) -> bool:
        self.check()
        try:
            return self.get(self.ready_path)[0] == 200
        except OSError:
            return False

    def rest(self) -> None:
        """Return once it has nothing left to do: the work of one load must not fall into the next one's time."""
        before = -1

        def idle() -> bool:
            nonlocal before
            self.check()
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
            used, last = int(fields[11]) + int(fields[12]), before
            before = used
            return used - last <= IDLE_TICKS

        eventually(f"{self.name} is idle", idle, START_SECONDS, every=REST_SECONDS)

    def memory(self) -> "Memory":
        """What its process holds now."""
        return Memory(self.pid)


class Memory:
    """What a process holds, in bytes."""

    def __init__(self, pid: int) -> None:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        fields = dict(line.split(":", 1) for line in lines)
        self.resident = int(fields["VmRSS"].split()[0]) * 1024
        self.peak = int(fields["VmHWM"].split()[0]) * 1024


class Exporter(Server):
    """The exporter as it is run, with SQLite in a folder."""

    def __init__(self, folder: Path, heartbeats: Heartbeats, *, probe: Path | None = None) -> None:
        """``probe``: the file to which a probe on the event loop reports, see `bench.probe`; None: there is none."""
        folder.mkdir(exist_ok=True)
        port = free_port()
        self.config = folder / "config.yaml"
        self.config.write_bytes(heartbeats.config.read_bytes())
        flags = [
            f"--config.file={self.config}",
            f"--storage.url=sqlite:///{folder / 'heartbeats.db'}",
            f"--ping.secret-file={heartbeats.secret}",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        command = python("bench.probe", probe, *flags) if probe else python("exporter.cli", *flags)
        super().__init__("exporter", folder, port, command)

    def reload(self, within: float) -> None:
        """Have it read its configuration again; returns when its log says that it has. Raises BenchError."""
        before = self.log.stat().st_size
        self.send(signal.SIGHUP)

        def told() -> bool:
            self.check()
            with self.log.open("rb") as log:
                log.seek(before)
                lines = log.read()
            if b"reload refused" in lines:
                raise BenchError(f"the exporter refuses to reload:\n{self.tail()}")
            return b"msg=reloaded " in lines

        eventually("the exporter has reloaded", told, within, every=0.005)


class Bare(Server):
    """A handler of aiohttp that does nothing, see `bench.bare`."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        super().__init__("bare", folder, port, python("bench.bare", str(port)))

    @property
    def ready_path(self) -> str:
        return "/heartbeat/ready"


class Pushgateway(Server):
    """A Pushgateway that keeps nothing on disk, which favours it: our pings are on disk when they are answered."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        command = [program("prometheus-pushgateway"), f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"]
        super().__init__("pushgateway", folder, port, command)
