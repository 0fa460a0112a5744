"""Who may ping what: the secrets in ping URLs, and the heartbeats that they open."""

import base64
import hashlib
import hmac
import os
import secrets
import tempfile
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path

from exporter.config import Config
from exporter.heartbeat import Heartbeat, Name, Token

SHORTEST_SECRET = 16
_TOKEN_BYTES = 16


class SecretError(Exception):
    """The file with the secret from which tokens are derived cannot be used; the message says why."""


class AlikeTokensError(Exception):
    """Two heartbeats would answer to one URL; the message names them."""


def read_secret(path: Path) -> bytes:
    """The secret in a file, trailing white space left off. Raises SecretError."""
    try:
        secret = path.read_bytes().rstrip()
    except OSError as error:
        raise SecretError(f"the ping secret in {path} cannot be read: {error.strerror}") from None
    if len(secret) < SHORTEST_SECRET:
        raise SecretError(f"the ping secret in {path} is too short: at least {SHORTEST_SECRET} bytes are needed")
    return secret


def ensure_secret(path: Path, secret: bytes | None = None) -> bytes:
    """The secret in a file, which is made first if it is not there: as given or random, readable by its owner only.

    It appears whole or not at all, and of several processes that make it at once only one does. Raises SecretError.
    """
    if os.path.lexists(path):
        return read_secret(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}-") as fresh:  # mode 0600
            fresh.write((secret or secrets.token_urlsafe(32).encode()) + b"\n")
            fresh.flush()
            os.fsync(fresh.fileno())
            os.link(fresh.name, path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except FileExistsError:
        pass  # Somebody else was faster, and theirs counts.
    except OSError as error:
        raise SecretError(f"the ping secret cannot be written to {path}: {error.strerror}") from None
    return read_secret(path)


def derive_token(secret: bytes, name: Name, version: int) -> Token:
    """A heartbeat's token: unguessable without the secret, and another one for each version."""
    digest = hmac.digest(secret, f"{name}:{version}".encode(), "sha256")
    return Token(base64.b32encode(digest[:_TOKEN_BYTES]).decode().rstrip("=").lower())


class Roster:
    """The heartbeats of one configuration with all that opens them; never changes."""

    def __init__(self, config: Config, secret: bytes) -> None:
        """Raises AlikeTokensError."""
        self.config = config
        self._secret = secret
        self._by_name: dict[Name, Heartbeat] = {}
        # Looked up by a digest under a key that nobody knows, so that the time a look-up takes says nothing about how
        # much of a guess was right.
        self._digest_key = secrets.token_bytes(32)
        self._by_token: dict[bytes, Heartbeat] = {}
        self._keys = {self._digest(key) for key in config.keys}
        for heartbeat in config.heartbeats:
            self._let_in(heartbeat)

    def followed_by(self, config: Config) -> "Generator[None, None, Roster]":
        """The roster of another configuration, under the same secret; made in short steps.

        Raises AlikeTokensError.
        """
        roster = Roster(replace(config, heartbeats=()), self._secret)
        roster.config = config
        for heartbeat in config.heartbeats:
            roster._let_in(heartbeat)
            yield
        return roster

    def _let_in(self, heartbeat: Heartbeat) -> None:
        self._by_name[heartbeat.name] = heartbeat
        other = self._by_token.setdefault(self._digest(self.token_of(heartbeat)), heartbeat)
        if other is not heartbeat:
            raise AlikeTokensError(f"the heartbeats {other.name} and {heartbeat.name} have the same token")

    def tokens(self) -> Iterator[tuple[Heartbeat, Token]]:
        """Each heartbeat with its token, in the order of the configuration."""
        for heartbeat in self.config.heartbeats:
            yield heartbeat, self.token_of(heartbeat)

    def token_of(self, heartbeat: Heartbeat) -> Token:
        """The token that a heartbeat answers to: its own, or the derived one."""
        return heartbeat.token or derive_token(self._secret, heartbeat.name, heartbeat.token_version)

    def with_token(self, token: str) -> Heartbeat | None:
        """The heartbeat that a token opens."""
        return self._by_token.get(self._digest(token))

    def has_key(self, key: str) -> bool:
        """Whether it is a shared key."""
        return self._digest(key) in self._keys

    def named(self, name: str) -> Heartbeat | None:
        """The heartbeat of a name."""
        return self._by_name.get(Name(name))

    def _digest(self, secret: str) -> bytes:
        return hashlib.blake2b(secret.encode(errors="replace"), key=self._digest_key, digest_size=16).digest()
