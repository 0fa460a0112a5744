"""Whose word is taken for where a request came from."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address


def client_address(peer: str, forwarded: Iterable[str], trusted: Sequence[IPv4Network | IPv6Network]) -> str:
    """The address of the client: the nearest one that is not a trusted proxy's.

    ``peer`` is the other end of the connection, ``forwarded`` the values of the X-Forwarded-For headers. Each proxy
    adds the address that it was called from at the end, so the list is believed from its end, for as long as the one
    who wrote the entry is trusted. An entry that is no address ends the search.
    """
    client = _parse(peer) if trusted else None
    if client is None:
        return peer
    hops = [hop.strip() for value in forwarded for hop in value.split(",")]
    while hops and any(client in network for network in trusted):
        nearer = _parse(hops.pop())
        if nearer is None:
            break
        client = nearer
    return str(client)


@lru_cache(maxsize=256)  # Proxies are few, and the same clients call through them again and again.
def _parse(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    # A socket that listens on IPv6 sees IPv4 clients as ::ffff:192.0.2.1.
    return getattr(address, "ipv4_mapped", None) or address
