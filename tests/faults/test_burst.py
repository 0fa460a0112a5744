"""More jobs that call at one moment than there may be connections: they wait, and nobody is cut off unheard."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from load import CONFIG, KEY
from victim import Victim
from wholes import PING, answers, connected

FILES = 256
"""That the process may have open, which leaves room for fewer connections than that."""


class Narrow(Victim):
    """One that may have few files open."""

    def command(self) -> Sequence[str]:
        return ["sh", "-c", f'ulimit -n {FILES}; exec "$@"', "sh", *super().command()]


def test_every_ping_of_a_burst_is_taken_though_there_are_not_as_many_connections(tmp_path: Path) -> None:
    with Narrow(tmp_path, CONFIG) as victim, ExitStack() as stack:
        victim.start()
        victim.suspend()
        waiting = stack.enter_context(connected(victim, FILES + 44))
        for connection in waiting:
            connection.sendall(PING)
        victim.resume()
        assert answers(waiting) == [b"HTTP/1.1 200 OK"] * len(waiting)
        pinged = victim.request(f"/ping/{KEY}/hourly")
        assert pinged.status == 200
