"""What a configuration is once it has been read, and what is said of one that cannot be."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network

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
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.path}: {self.message}" if self.path else f"{place}: {self.message}"


class ConfigError(Exception):
    """A configuration that cannot be used. ``problems`` holds everything that is wrong with it, by file and line."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


@dataclass(frozen=True, slots=True)
class PingKey:
    """A key that jobs may share, to ping heartbeats by name."""

    secret: Token = field(repr=False)
    create: bool = False
    """Whether it may create heartbeats by pinging."""


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that the configuration file and the files it names say."""

    heartbeats: tuple[Heartbeat, ...] = ()
    """Names and tokens are unique; in the order of the files."""
    outage_grace: Duration = OUTAGE_GRACE
    keys: tuple[PingKey, ...] = ()
    """No two share a secret, and none shares one with a heartbeat's token."""
    body_limit: int = BODY_LIMIT
    """How many bytes of a ping's body are kept."""
    history: int = HISTORY
    """How many pings are kept of each heartbeat."""
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    """Whose X-Forwarded-For is believed."""
    created_max: int = CREATED_MAX
    """How many heartbeats may exist that were created by pings."""
    created_expire_after: Duration = CREATED_EXPIRE_AFTER
    """After how much silence such a heartbeat is deleted."""
    warnings: tuple[Problem, ...] = ()
    """What is allowed and probably not meant, by file and line."""
