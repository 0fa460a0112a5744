"""What a web configuration is once it has been read, and what is said of one that cannot be."""

import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from ipaddress import ip_address
from pathlib import Path

from exporter.config import ConfigError, Problem


class ClientAuth(IntEnum):
    """What is asked of clients; the more, the greater."""

    NONE = 0
    VERIFY_IF_GIVEN = 1
    REQUIRE_AND_VERIFY = 2


class WebConfigError(ConfigError):
    """A web configuration that cannot be used. ``problems`` holds everything that is wrong with it, by line."""

    def __init__(self, problems: Iterable[Problem], files: tuple[Path, ...]) -> None:
        super().__init__(problems)
        self.files = files
        """Every file that was read or looked for: once one of them changes, another try may succeed."""


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """How connections are encrypted, and which clients may make them."""

    context: ssl.SSLContext = field(repr=False)
    """For a server's side. Checks clients' certificates by ``client_auth``, but knows nothing of allowed names."""
    client_auth: ClientAuth = ClientAuth.NONE
    allowed_sans: frozenset[str] = frozenset()
    """Subject alternative names of which a client's certificate must have one; empty: any name will do."""


@dataclass(frozen=True, slots=True)
class WebConfig:
    """Everything that the web configuration says."""

    tls: TlsSettings | None = None
    """None: connections are not encrypted."""
    headers: tuple[tuple[str, str], ...] = ()
    """Names and values, to be added to every answer."""
    users: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    """Names and bcrypt hashes of who may log in; empty: nobody needs to."""
    warnings: tuple[Problem, ...] = ()
    """What is allowed and probably not meant, by line."""
    files: tuple[Path, ...] = ()
    """Every file that this was read from."""


def canonical(name: str) -> str:
    """A subject alternative name as it is compared: an IP address in its shortest form, all else as it is."""
    try:
        return str(ip_address(name))
    except ValueError:
        return name
