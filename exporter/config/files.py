"""Files that a configuration names, read in one piece and without waiting."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

MOST_BYTES = 1 << 20


class UnreadableFile(Exception):
    """A file that cannot be read; the message says why, without its name."""


@dataclass(frozen=True, slots=True)
class Content:
    """What a file held when it was read."""

    data: bytes
    mode: int
    """The permission bits."""

    @classmethod
    def of(cls, path: Path) -> "Content":
        """What is in the file. Raises UnreadableFile."""
        try:
            # Without waiting for a writer, should it be a named pipe.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        except OSError as error:
            raise UnreadableFile(f"cannot be read: {error.strerror}") from None
        try:
            mode = os.fstat(descriptor).st_mode
            if not stat.S_ISREG(mode):
                raise UnreadableFile("is not a file")
            with open(descriptor, "rb", closefd=False) as file:
                data = file.read(MOST_BYTES + 1)
        finally:
            os.close(descriptor)
        if len(data) > MOST_BYTES:
            raise UnreadableFile(f"is too large (at most {MOST_BYTES} bytes)")
        return cls(data, stat.S_IMODE(mode))
