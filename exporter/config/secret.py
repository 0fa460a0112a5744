"""Secrets that stand in files of their own, so that the configuration can be shown around."""

from dataclasses import dataclass
from pathlib import Path

from exporter.config.fields import SECRET_RULE, is_secret
from exporter.config.files import Content, UnreadableFile
from exporter.heartbeat import Token


class BadSecretFile(Exception):
    """A file that holds no secret; the message says why, without what it holds."""


@dataclass(frozen=True, slots=True)
class SecretFile:
    """What a secret file holds."""

    secret: Token
    mode: int
    """The permission bits of the file."""

    @classmethod
    def read(cls, folder: Path, name: str) -> "SecretFile":
        """The secret in a file that is named relative to a folder. White space at its end is no part of it.

        Raises BadSecretFile.
        """
        path = folder / name
        try:
            content = Content.of(path)
        except UnreadableFile as error:
            # What looks like a secret may be one that was put under the wrong key.
            shown = f"{folder}/…" if is_secret(name) else path
            raise BadSecretFile(f"{shown} {error}") from None
        secret = content.data.rstrip().decode("ascii", "replace")
        if not is_secret(secret):
            raise BadSecretFile(f"{path} does not hold {SECRET_RULE}")
        return cls(Token(secret), content.mode)
