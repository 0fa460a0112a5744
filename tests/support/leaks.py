"""Looks for secrets where none may be."""

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import quote, quote_plus

PART = 12
"""So many characters of a secret's beginning are as bad as the whole."""


def spellings(secret: str) -> set[str]:
    """How a secret, or its beginning, may look somewhere else."""
    found = {secret[:PART], secret[:PART].lower(), quote(secret[:PART], safe=""), quote_plus(secret[:PART])}
    found |= {"".join(f"%{byte:02x}" for byte in secret[:PART].encode())}
    # Of base64 what no neighbour changes, at each of the three places where it may begin.
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + secret.encode()).decode().rstrip("=")
        found.add(encoded[2 * bool(shift) + bool(shift) : -2][: PART + 4])
    return found


@dataclass
class Watch:
    """Secrets by what they are, and all that was said where none of them may be."""

    secrets: dict[str, str] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)

    def hear(self, where: str, text: str) -> None:
        """Something was said there."""
        self.said[where] = self.said.get(where, "") + text

    def leaks(self) -> Iterator[str]:
        """Each secret that was said, by what it is, with where it was."""
        for where, text in self.said.items():
            folded = text.lower()
            for what, secret in self.secrets.items():
                if any(spelling in text or spelling.lower() in folded for spelling in spellings(secret)):
                    yield f"{what} in {where}"
