"""Settings and PEM -> `ssl.SSLContext`, or the reason why OpenSSL would not do what they say.

OpenSSL leaves out in silence what it cannot offer. So a context is tried, by handshakes in memory, before it counts.
"""

import os
import re
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import NoReturn

from exporter.web_config.names import VERSIONS

_CERTIFICATE = re.compile(rb"-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----")
_PRIVATE_KEY = re.compile(rb"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----")
_UNFIT = frozenset({"KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH"})
_NOT_YET_VALID, _EXPIRED = 9, 10  # OpenSSL's X509_V_ERR_CERT_…


class BadSetting(Exception):
    """What cannot be done, and the key that asks for it."""

    def __init__(self, key: str, message: str) -> None:
        self.key = key
        self.message = message
        super().__init__(key, message)


class _PassphraseNeeded(Exception):
    """OpenSSL asked for the passphrase of a key."""


@dataclass(frozen=True, slots=True)
class Pem:
    """Certificates or a key, and where they come from."""

    key: str
    """Where in the section it is given."""
    source: str
    """The name of the file; empty where it is given by itself."""
    data: bytes

    def missing(self) -> str | None:
        """What to say if it does not hold what it ought to, by its first line."""
        is_key = self.key.startswith("key")
        if (_PRIVATE_KEY if is_key else _CERTIFICATE).search(self.data) is not None:
            return None
        holds = "holds" if self.data.strip() else "is empty, and holds"
        return f"{holds} no {'private key' if is_key else 'certificate'} in PEM"

    def bad(self, message: str) -> BadSetting:
        """The error that something is wrong with it."""
        return BadSetting(self.key, f"{self.source} {message}" if self.source else message)


def load_pair(context: ssl.SSLContext, certificate: Pem, key: Pem) -> None:
    """Load a certificate, with what vouches for it, and its key. Raises BadSetting."""
    try:
        with in_memory(certificate.data) as certificate_file, in_memory(key.data) as key_file:
            context.load_cert_chain(certificate_file, key_file, _no_passphrase)
    except _PassphraseNeeded:
        raise key.bad(
            "is protected by a passphrase, and nobody is there to give it (openssl pkey -in KEY -out NEW removes it)"
        ) from None
    except ssl.SSLError as error:
        raise _explained(error, certificate, key) from None


def _explained(error: ssl.SSLError, certificate: Pem, key: Pem) -> BadSetting:
    if error.reason in _UNFIT:
        return key.bad(f"does not fit the certificate{f' in {certificate.source}' if certificate.source else ''}")
    try:
        load_authorities(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), certificate)
    except BadSetting as damaged:
        return damaged
    if error.reason is not None and error.library == "SSL" and error.reason != "PEM_LIB":
        return certificate.bad(f"is not taken by OpenSSL: {_words(error)}")
    return key.bad("holds a damaged private key")


def load_authorities(context: ssl.SSLContext, authorities: Pem) -> None:
    """Trust these certificates and those that they vouch for. Raises BadSetting."""
    try:
        with in_memory(authorities.data) as file:
            context.load_verify_locations(cafile=file)
    except ssl.SSLError:
        raise authorities.bad("holds a damaged certificate") from None


def choose_suites(context: ssl.SSLContext, suites: Mapping[str, str]) -> list[BadSetting]:
    """Offer only these up to TLS 1.2, in this order, given as OpenSSL's names by Go's; returns what OpenSSL lacks."""
    with suppress(ssl.SSLError):  # it has none of them
        context.set_ciphers(":".join(suites.values()))
    offered = {cipher["name"] for cipher in context.get_ciphers()}
    return [
        BadSetting("cipher_suites", f"{name} is not offered by {ssl.OPENSSL_VERSION}")
        for name, called in suites.items()
        if called not in offered
    ]


def choose_curve(context: ssl.SSLContext, name: str, curve: str) -> list[BadSetting]:
    """Offer only this one for the exchange of keys; returns what OpenSSL lacks."""
    try:
        context.set_ecdh_curve(curve)
    except (ValueError, ssl.SSLError):
        return [BadSetting("curve_preferences", f"{name} is not offered by {ssl.OPENSSL_VERSION}")]
    return []


def try_out(context: ssl.SSLContext, versions: Sequence[str], *, suites_chosen: bool) -> None:
    """See that a client of each of the versions can connect, while none is asked for a certificate yet.

    Raises BadSetting.
    """
    for name in versions:
        client = _client()
        client.minimum_version = client.maximum_version = VERSIONS[name]
        try:
            _shake_hands(context, client)
        except ssl.SSLError as error:
            if suites_chosen and error.reason == "NO_SHARED_CIPHER":
                message = "none of them fits the kind of the certificate's key, so no client of {} could connect"
                raise BadSetting("cipher_suites", message.format(name)) from None
            raise BadSetting("", f"no client of {name} could connect ({_words(error)})") from None


def untimely(context: ssl.SSLContext, certificate: Pem) -> str | None:
    """What to say of a server's certificate that is not valid now, by the clock of this machine."""
    client = _client()
    client.verify_mode = ssl.CERT_REQUIRED
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    load_authorities(client, certificate)
    try:
        _shake_hands(context, client)
    except ssl.SSLCertVerificationError as error:
        return {_EXPIRED: "the certificate has expired", _NOT_YET_VALID: "the certificate is not valid yet"}.get(
            error.verify_code
        )
    return None


def _client() -> ssl.SSLContext:
    """A client that takes whatever it is offered."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    client.set_ciphers("ALL:@SECLEVEL=0")
    return client


def _shake_hands(server: ssl.SSLContext, client: ssl.SSLContext) -> None:
    """A whole handshake between the two. Raises ssl.SSLError."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    waiting = [client.wrap_bio(to_client, to_server), server.wrap_bio(to_server, to_client, server_side=True)]
    while waiting:
        for side in tuple(waiting):
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
                waiting.remove(side)


def _words(error: ssl.SSLError) -> str:
    return (error.reason or "no reason given").lower().replace("_", " ")


def _no_passphrase() -> NoReturn:
    raise _PassphraseNeeded


@contextmanager
def in_memory(data: bytes) -> Iterator[str]:
    """The name of a file that holds this and is on no disk, for what takes only names."""
    descriptor = os.memfd_create("pem")
    with open(descriptor, "wb") as file:  # noqa: PTH123 - it is a descriptor
        file.write(data)
        file.flush()
        yield f"/proc/self/fd/{descriptor}"
