"""The command line: flags that the server and `heartbeatctl` share, and what they mean."""

import argparse
import os
import platform
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, TypeVar
from urllib.parse import unquote, urlsplit

from exporter import __version__

DEFAULT_STORAGE_URL = "sqlite:///data/heartbeats.db"
DEFAULT_LISTEN_ADDRESS = ":10090"
STORAGE_URL_VARIABLE = "HEARTBEAT_STORAGE_URL"
REVISION_VARIABLE = "HEARTBEAT_EXPORTER_REVISION"
"""Set by the image that we ship: the commit that it was built from."""


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """A port to listen on; no host means every address of the machine."""

    host: str | None
    port: int

    def __str__(self) -> str:
        host = self.host or ""
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """A Unix socket to listen on."""

    path: Path

    def __str__(self) -> str:
        return f"{_UNIX}{self.path}"


ListenAddress: TypeAlias = TcpAddress | UnixAddress

_UNIX = "unix:"


def listen_address(text: str) -> ListenAddress:
    """The address that ``:10090``, ``127.0.0.1:10090``, ``localhost:10090``, ``[::1]:10090`` or ``unix:/…`` names."""
    if text.startswith(_UNIX) and len(text) > len(_UNIX) and "\0" not in text:
        return UnixAddress(Path(text.removeprefix(_UNIX)))
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535 or (":" in host and not bracketed):
        raise argparse.ArgumentTypeError(
            f'"{text}" is not an address (examples: :10090, 127.0.0.1:10090, [::1]:10090, '
            "unix:/run/heartbeat-exporter/web.sock)"
        )
    return TcpAddress(host.strip("[]") or None, int(port))


def storage_path(url: str) -> Path:
    """The database file that ``sqlite:///relative.db`` or ``sqlite:////absolute.db`` names.

    A URL that is refused is not repeated in the message: it may hold a password.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme != "sqlite":
        raise argparse.ArgumentTypeError(f"not a storage URL that is supported (example: {DEFAULT_STORAGE_URL})")
    path = unquote(rest[1:])
    if not rest.startswith("/") or path in ("", ":memory:") or path.endswith("/") or "\0" in path or "?" in rest:
        raise argparse.ArgumentTypeError(
            "a sqlite URL names a file and nothing else, with three slashes one relative to the working directory, "
            f"with four an absolute one (example: {DEFAULT_STORAGE_URL})"
        )
    return Path(path)


def web_url(text: str) -> str:
    """An http or https URL, without the slash at its end."""
    try:
        parts = urlsplit(text)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise argparse.ArgumentTypeError(f'"{text}" is not an http or https URL (example: https://hb.example.org)')
    return text.rstrip("/")


def web_path(text: str) -> str:
    """A path that is served, such as ``/metrics``."""
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", text):
        raise argparse.ArgumentTypeError(f'"{text}" is not a path to serve (example: /metrics)')
    if f"{text}/".startswith(("/ping/", "/heartbeat/", "/-/", "/api/")):
        raise argparse.ArgumentTypeError(f'"{text}" is taken already (example: /metrics)')
    return text


def unless_empty(parse: Callable[[str], T]) -> Callable[[str], T | None]:
    """Takes an empty value for none: templates write flags like that when nobody has set them."""
    return lambda text: parse(text) if text else None


class Parser(argparse.ArgumentParser):
    """A parser that takes no abbreviated flags, so that a new flag never changes what an old command line means."""

    def __init__(self, *, prog: str | None = None, description: str | None = None) -> None:
        super().__init__(prog=prog, description=description, allow_abbrev=False)


def revision() -> str:
    """The commit that this was built from, as far as it was told."""
    return os.environ.get(REVISION_VARIABLE) or "unknown"


def add_version(parser: argparse.ArgumentParser) -> None:
    """--version."""
    about = f"{parser.prog}, version {__version__} (revision: {revision()}, python: {platform.python_version()})"
    parser.add_argument("--version", action="version", version=about)


def add_config_file(parser: argparse.ArgumentParser) -> None:
    """--config.file."""
    parser.add_argument(
        "--config.file",
        dest="config_file",
        metavar="PATH",
        type=Path,
        default=Path("config.yaml"),
        help="configuration file (default: config.yaml)",
    )


def add_storage(parser: argparse.ArgumentParser) -> None:
    """--storage.url and --ping.secret-file."""
    parser.add_argument(
        "--storage.url",
        dest="storage",
        metavar="URL",
        type=storage_path,
        default=os.environ.get(STORAGE_URL_VARIABLE) or DEFAULT_STORAGE_URL,
        help=f"where records are kept (default: ${STORAGE_URL_VARIABLE}, else {DEFAULT_STORAGE_URL}: relative to the "
        "working directory; four slashes: absolute)",
    )
    parser.add_argument(
        "--ping.secret-file",
        dest="secret_file",
        metavar="PATH",
        type=unless_empty(Path),
        help="file with the secret from which tokens are derived (default: ping-secret beside the SQLite file, made "
        "once)",
    )


def add_web_config_file(parser: argparse.ArgumentParser, *, required: bool = False) -> None:
    """--web.config.file."""
    parser.add_argument(
        "--web.config.file",
        dest="web_config_file",
        metavar="PATH",
        type=Path if required else unless_empty(Path),
        required=required,
        help="TLS and basic auth, in the format of Prometheus's exporter-toolkit"
        + ("" if required else " (default: neither)"),
    )


def add_addresses(parser: argparse.ArgumentParser) -> None:
    """--web.listen-address, --ping.listen-address, --web.config.file and --web.external-url."""
    parser.add_argument(
        "--web.listen-address",
        dest="web_listen",
        metavar="ADDRESS",
        type=unless_empty(listen_address),
        action="append",
        help="where to serve: host:port, [IPv6]:port, :port or unix:path; repeatable "
        f"(default: {DEFAULT_LISTEN_ADDRESS})",
    )
    parser.add_argument(
        "--ping.listen-address",
        dest="ping_listen",
        metavar="ADDRESS",
        type=unless_empty(listen_address),
        action="append",
        help="if given, pings are served only there, and nothing else is; repeatable",
    )
    add_web_config_file(parser)
    parser.add_argument(
        "--web.external-url",
        dest="external_url",
        metavar="URL",
        type=unless_empty(web_url),
        help="how jobs and people reach us, used in every URL that is printed (default: http://localhost, with "
        "TLS https://, and the port that serves pings)",
    )


def given(addresses: list[ListenAddress | None] | None) -> list[ListenAddress]:
    """The addresses that a repeatable flag was given, empty ones left out."""
    return [address for address in addresses or () if address is not None]


def secret_path(storage: Path, secret_file: Path | None) -> Path:
    """Where the secret from which tokens are derived is."""
    return secret_file or storage.parent / "ping-secret"


def external_url(url: str | None, web: Sequence[ListenAddress], ping: Sequence[ListenAddress], *, tls: bool) -> str:
    """How jobs reach us: as given, else on this machine, at the first port that serves pings."""
    if url is not None:
        return url
    scheme = "https" if tls else "http"
    for address in ping or web or [listen_address(DEFAULT_LISTEN_ADDRESS)]:
        if isinstance(address, TcpAddress):
            anywhere = address.host in (None, "0.0.0.0", "::")  # noqa: S104 - recognised here, not bound
            return f"{scheme}://{TcpAddress('localhost' if anywhere else address.host, address.port)}"
    return f"{scheme}://localhost"  # Whatever answers there in front of a Unix socket.
