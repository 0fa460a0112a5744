"""Secrets that stand in files of their own, so that the configuration can be shown around."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from exporter.config.fields import SECRET_RULE, is_secret
from exporter.heartbeat import Token

_LONGEST = 4096  # bytes, most of them white space; no more is read of a file that was named by mistake


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
            # Without waiting for a writer, should it be a named pipe.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
            try:
                mode = os.fstat(descriptor).st_mode
                content = os.read(descriptor, _LONGEST) if stat.S_ISREG(mode) else None
            finally:
                os.close(descriptor)
        except OSError as error:
            # What looks like a secret may be one that was put under the wrong key.
            shown = f"{folder}/…" if is_secret(name) else path
            raise BadSecretFile(f"{shown} cannot be read: {error.strerror}") from None
        if content is None:
            raise BadSecretFile(f"{path} is not a file")
        secret = content.rstrip().decode("ascii", "replace")
        if not is_secret(secret):
            raise BadSecretFile(f"{path} does not hold {SECRET_RULE}")
        return cls(Token(secret), stat.S_IMODE(mode))
