"""Logins by name and password: checked against bcrypt hashes one at a time, off the event loop, and remembered."""

import asyncio
import base64
import binascii
import hashlib
import re
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from typing import NewType

import bcrypt

MOST_WAITING = 100
"""How many different logins may be under way; one more is turned away."""
MOST_REMEMBERED = 500
"""How many good logins are remembered, and how many bad ones; the one that is not used for the longest goes first."""
LONGEST_PASSWORD = 72
"""Bytes; bcrypt heeds no more. A longer password is never right."""

_BASIC = re.compile(rb"basic +([^ ]*) *", re.IGNORECASE)

_Key = NewType("_Key", bytes)
"""Stands for one name, stored hash and password, and shows none of them."""


class Verdict(Enum):
    """What is to be done with a request, by its login."""

    ADMITTED = "admitted"
    REFUSED = "refused"
    """401, with ``WWW-Authenticate: Basic``."""
    BUSY = "busy"
    """503, with Retry-After: too many logins are being checked."""


class Logins:
    """Checks logins, and remembers how they ended for as long as the stored hash is the same.

    A wrong password takes as long as the costliest hash there is, whether the name is known or not. Good logins are
    remembered apart from bad ones, so that nobody can have them forgotten by guessing.
    """

    def __init__(self) -> None:
        self.computed = 0
        """How many logins have been computed, rather than remembered."""
        self._secret = secrets.token_bytes(hashlib.blake2b.MAX_KEY_SIZE)
        self._good = _Memory()
        self._bad = _Memory()
        self._under_way: dict[_Key, asyncio.Future[bool]] = {}
        self._worker = ThreadPoolExecutor(1, "logins")

    async def check(self, users: Mapping[str, bytes], authorization: str | None) -> Verdict:
        """Whether a request with this Authorization header comes from one of the users, given with their hashes."""
        login = _parse(authorization)
        if login is None:
            return Verdict.REFUSED
        name, password = login
        dearest = max(map(_cost, users.values()))
        # A name that is no UTF-8 is nobody's, and computed like any other.
        stored = users.get(name.decode(errors="surrogateescape"))
        key = self._key(name, stored or b"", password)
        if key in self._good:
            return Verdict.ADMITTED
        if key in self._bad:
            return Verdict.REFUSED
        computation = self._under_way.get(key)
        if computation is None:
            if len(self._under_way) >= MOST_WAITING:
                return Verdict.BUSY
            computation = self._begin(key, stored, password, dearest)
        # Shielded, since others may wait for the same.
        return Verdict.ADMITTED if await asyncio.shield(computation) else Verdict.REFUSED

    def close(self) -> None:
        """Begin no more computations, and cancel those that wait."""
        self._worker.shutdown(wait=False, cancel_futures=True)

    def _begin(self, key: _Key, stored: bytes | None, password: bytes, dearest: int) -> "asyncio.Future[bool]":
        loop = asyncio.get_running_loop()
        computation = loop.run_in_executor(self._worker, _is_right, stored, password, dearest)
        self._under_way[key] = computation
        self.computed += 1

        def settle(done: "asyncio.Future[bool]") -> None:
            del self._under_way[key]
            if not done.cancelled() and done.exception() is None:
                (self._good if done.result() else self._bad).add(key)

        computation.add_done_callback(settle)
        return computation

    def _key(self, *parts: bytes) -> _Key:
        digest = hashlib.blake2b(key=self._secret)
        for part in parts:
            # With its length, so that no two logins come to the same, whatever is in their parts.
            digest.update(len(part).to_bytes(8, "big"))
            digest.update(part)
        return _Key(digest.digest())


class _Memory:
    """A bounded set."""

    def __init__(self) -> None:
        self._keys: OrderedDict[_Key, None] = OrderedDict()

    def __contains__(self, key: _Key) -> bool:
        if key not in self._keys:
            return False
        self._keys.move_to_end(key)
        return True

    def add(self, key: _Key) -> None:
        """Remember the key, and forget the one that was not used for the longest if there are too many."""
        self._keys[key] = None
        if len(self._keys) > MOST_REMEMBERED:
            self._keys.popitem(last=False)


def _parse(authorization: str | None) -> tuple[bytes, bytes] | None:
    """Name and password; None where the header holds none."""
    found = _BASIC.fullmatch((authorization or "").encode(errors="surrogateescape"))
    if found is None:
        return None
    try:
        name, colon, password = base64.b64decode(found[1], validate=True).partition(b":")
    except binascii.Error:
        return None
    return (name, password) if colon else None


def _is_right(stored: bytes | None, password: bytes, dearest: int) -> bool:
    """Whether the password fits the stored hash. If not, it takes as long as one hash of the cost ``dearest``."""
    known = stored is not None and len(password) <= LONGEST_PASSWORD
    first = _dummy(dearest) if stored is None else stored
    right = bcrypt.checkpw(password[:LONGEST_PASSWORD], first)
    if right and known:
        return True
    # A cost is a power of two: one hash of each further cost brings the sum to that of the dearest.
    for cost in range(_cost(first), dearest):
        bcrypt.checkpw(password[:LONGEST_PASSWORD], _dummy(cost))
    return False


def _cost(hashed: bytes) -> int:
    return int(hashed[4:6])


def _dummy(cost: int) -> bytes:
    """What has the form of a hash of this cost, and is that of no known password."""
    return b"$2b$%02d$" % cost + b"." * 53
