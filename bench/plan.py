"""What a run is asked for."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from bench.heartbeats import Heartbeats, make

T = TypeVar("T")


@dataclass(frozen=True)
class Plan:
    """What a run is asked for, and where it works."""

    folder: Path
    """Its own, on a real disk; deleted when the run is over."""
    sizes: tuple[int, ...]
    """Numbers of heartbeats, ascending."""
    rounds: int
    seconds: int
    """For which each side is loaded in each round."""
    groups: tuple[int, ...]
    """How many groups the Pushgateways have, ascending."""
    scrape_interval: int
    """Of the real Prometheus, in seconds."""
    _made: dict[int, Heartbeats] = field(default_factory=dict)

    @property
    def largest(self) -> int:
        """The largest number of heartbeats."""
        return self.sizes[-1]

    def heartbeats(self, count: int) -> Heartbeats:
        """So many heartbeats, which are made when they are first asked for."""
        if count not in self._made:
            say(f"making {count:,} heartbeats")
            self._made[count] = make(self.folder / f"heartbeats-{count}", count)
        return self._made[count]

    def fresh(self, name: str) -> Path:
        """A new folder."""
        folder = self.folder / name
        folder.mkdir()
        return folder

    def turns(self, what: str, sides: Sequence[T]) -> Iterator[tuple[int, Sequence[T]]]:
        """Each round's number and the sides in its order, which is turned around from round to round."""
        for number in range(self.rounds):
            say(f"{what}: round {number + 1} of {self.rounds}")
            yield number, sides if number % 2 == 0 else sides[::-1]


def say(text: str) -> None:
    """Tell people how far it is."""
    print(text, file=sys.stderr, flush=True)
