"""A log that takes nothing, as on a disk that is full, keeps no ping from being taken."""

import signal
from collections.abc import Sequence
from pathlib import Path

from load import CONFIG, KEY
from servers import eventually
from victim import Victim


class Unheard(Victim):
    """One whose log is on a disk that is full."""

    def command(self) -> Sequence[str]:
        return ["sh", "-c", 'exec "$@" 2>/dev/full', "sh", *super().command()]


def test_a_log_that_cannot_be_written_ends_nothing(tmp_path: Path) -> None:
    with Unheard(tmp_path, CONFIG) as victim:
        victim.start()
        assert victim.request(f"/ping/{KEY}/hourly").status == 200
        victim.configure(CONFIG.replace("hourly", "renamed"))
        victim.send(signal.SIGHUP)
        eventually("it has reloaded", lambda: "renamed" in victim.scrape().each("heartbeat_info"), victim)
        assert victim.request(f"/ping/{KEY}/renamed").status == 200
        assert victim.stop() == 0
