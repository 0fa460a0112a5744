"""What a configuration is once it has been read, and what is said of one that cannot be."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network, IPv6Network
from typing import TypeAlias

from exporter.heartbeat import Heartbeat, Token
from exporter.schedule import DAY, MINUTE, Duration

OUTAGE_GRACE: Duration = 5 * MINUTE
BODY_LIMIT = 10_000
HISTORY = 100
CREATED_MAX = 1_000
CREATED_EXPIRE_AFTER: Duration = 30 * DAY


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, or questionable, in a configuration file."""

    file: str
    line: int
    """Counted from 1; 0 when it is the file as a whole."""
    path: str
    """Where in the document, as in ``heartbeats.db-backup.grace``; empty when it is the document as a whole."""
    message: str
    """What is wrong and what would be right, in one line and without secrets."""

    def __str__(self) -> str:
        # The name of a file need not be text, and is written as far as it is.
        file = self.file.encode(errors="backslashreplace").decode()
        place = f"{file}:{self.line}" if self.line else file
        return f"{place}: {self.path}: {self.message}" if self.path else f"{place}: {self.message}"


Known: TypeAlias = Callable[[str], Heartbeat | None]
"""The heartbeat that there has been under a name."""


def shared(heartbeats: Iterable[Heartbeat], known: Known) -> Iterator[Heartbeat]:
    """The heartbeats, each as the object that was known before if it is the same.

    What was worked out for a heartbeat may be kept for as long as it is the same object.
    """
    for heartbeat in heartbeats:
        former = known(heartbeat.name)
        yield former if former is not None and former == heartbeat else heartbeat


class ConfigError(Exception):
    """A configuration that cannot be used. ``problems`` holds everything that is wrong with it, by file and line."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


def exposure(mode: int) -> str | None:
    """What to say of a secret file with these permission bits, if every user of the machine has access to it."""
    if mode & 0o007:
        return f"every user of this machine has access to the file (mode {mode:04o}; say chmod 0640)"
    return None


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that the configuration file and the files it names say."""

    heartbeats: tuple[Heartbeat, ...] = ()
    """Names and tokens are unique; in the order of the files."""
    outage_grace: Duration = OUTAGE_GRACE
    keys: tuple[Token, ...] = field(default=(), repr=False)
    """Keys that jobs may share, to ping heartbeats by name; none is also a heartbeat's token."""
    body_limit: int = BODY_LIMIT
    """How many bytes of a ping's body are kept."""
    history: int = HISTORY
    """How many pings are kept of each heartbeat."""
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    """Whose X-Forwarded-For is believed."""
    warnings: tuple[Problem, ...] = ()
    """What is allowed and probably not meant, by file and line."""

    def sharing(self, known: Known) -> "Config":
        """This very configuration, made of the heartbeats that are known where they are the same."""
        return replace(self, heartbeats=tuple(shared(self.heartbeats, known)))
