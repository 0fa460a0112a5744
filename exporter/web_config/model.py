"""The web configuration as it is written: its keys, their types, and which of their values can be served here.

What Python's ssl cannot do is an error that says so; nothing that is written is passed over. What concerns several keys
at once is decided in `exporter.web_config.load` and `exporter.web_config.tls`.
"""

from collections.abc import Iterable
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints
from pydantic_core import PydanticKnownError

from exporter.config.document import Steps
from exporter.config.fields import shown
from exporter.config.model import Section, StrictModel
from exporter.web_config.names import (
    CLIENT_AUTH,
    CURVES,
    HEADERS,
    OLD_VERSIONS,
    SUITES,
    TLS13_SUITES,
    UNVERIFIED,
    VERSIONS,
)


def _one_of(text: str, known: Iterable[str]) -> str:
    if text not in known:
        raise ValueError(f"{shown(text)} is not one of {', '.join(known)}")
    return text


def _version(text: str) -> str:
    if text in OLD_VERSIONS:
        raise ValueError(
            f"TLS {OLD_VERSIONS[text]} cannot be offered: OpenSSL does so only where it asks less of every "
            f"other version as well (say {' or '.join(VERSIONS)})"
        )
    return _one_of(text, VERSIONS)


def _client_auth(text: str) -> str:
    if text in UNVERIFIED:
        raise ValueError(
            f"{text} cannot be had: it takes certificates that are not verified, and Python's ssl verifies each that "
            "it asks for (say RequireAndVerifyClientCert)"
        )
    return _one_of(text, CLIENT_AUTH)


def _file(text: str) -> str:
    if not text or not text.isprintable() or "-----" in text:  # the last: a certificate or key by itself
        raise ValueError("is not the name of a file (what stands in the file goes under the same key without _file)")
    return text


def _header(value: object) -> str:
    """A text, or a number, as in ``X-XSS-Protection: 0``."""
    if type(value) is int:
        return str(value)
    if not isinstance(value, str):
        raise PydanticKnownError("string_type")
    if not value.isascii() or not value.isprintable():
        raise ValueError("cannot be sent in a header (one line of printable ASCII)")
    return value


def _not_empty(text: str) -> str:
    if not text:
        raise ValueError("is empty (give a DNS name, an e-mail address, an IP address or a URI)")
    return text


def _no_http2(wanted: bool) -> bool:
    if wanted:
        raise ValueError("HTTP/2 is not spoken here (say false, or leave the key out)")
    return wanted


_Pem: TypeAlias = Annotated[str, StringConstraints(max_length=1 << 20)]
_File: TypeAlias = Annotated[str, StringConstraints(max_length=4096), AfterValidator(_file)]
_Suite: TypeAlias = Annotated[str, AfterValidator(lambda text: _one_of(text, (*SUITES, *TLS13_SUITES)))]
_Curve: TypeAlias = Annotated[str, AfterValidator(lambda text: _one_of(text, CURVES))]
_Version: TypeAlias = Annotated[str, AfterValidator(_version)]
_San: TypeAlias = Annotated[str, AfterValidator(_not_empty)]


class TlsServer(StrictModel):
    """How connections are encrypted; where none of the keys is given, they are not."""

    cert: _Pem | None = None
    cert_file: _File | None = None
    key: _Pem | None = None
    key_file: _File | None = None
    client_ca: _Pem | None = None
    client_ca_file: _File | None = None
    client_auth_type: Annotated[str, AfterValidator(_client_auth)] | None = None
    client_allowed_sans: list[_San] | None = None
    min_version: _Version = "TLS12"
    max_version: _Version = "TLS13"
    cipher_suites: list[_Suite] = Field([])
    prefer_server_cipher_suites: bool = True
    curve_preferences: list[_Curve] = Field([])


class HttpServer(StrictModel):
    """What goes with every answer."""

    http2: Annotated[bool, AfterValidator(_no_http2)] = False
    # The names are examined later on, so that each error has its place.
    headers: Annotated[dict[Any, Annotated[Any, BeforeValidator(_header)]], Section] = Field({})


class WebFile(StrictModel):
    """The web configuration."""

    tls_server_config: Annotated[TlsServer, Section] = TlsServer()
    http_server_config: Annotated[HttpServer, Section] = HttpServer()
    basic_auth_users: Annotated[dict[Any, str], Section] = Field({})


_SHOWN = frozenset({*TlsServer.model_fields, *HttpServer.model_fields, *HEADERS}) - {
    "cert",
    "key",
    "client_ca",
    "headers",
}


def is_secret_at(path: Steps) -> bool:
    """Whether a secret may stand there; at the root, too, since the file may be one of passwords, or a key."""
    names = [step for step in path if isinstance(step, str)]
    return names[:1] == ["basic_auth_users"] or len(names) < 2 or names[-1] not in _SHOWN
