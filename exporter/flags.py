"""The command line: flags that the server and `heartbeatctl` share, and what they mean."""

import argparse
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from exporter import __version__

DEFAULT_STORAGE_URL = "sqlite:///data/heartbeats.db"
DEFAULT_LISTEN_ADDRESS = ":10090"
STORAGE_URL_VARIABLE = "HEARTBEAT_STORAGE_URL"
REVISION_VARIABLE = "HEARTBEAT_EXPORTER_REVISION"
"""Set by the image that we ship: the commit that it was built from."""


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """Where to listen; no host means every address of the machine."""

    host: str | None
    port: int

    def __str__(self) -> str:
        host = self.host or ""
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"


def listen_address(text: str) -> ListenAddress:
    """The address that ``:10090``, ``127.0.0.1:10090``, ``localhost:10090`` or ``[::1]:10090`` names."""
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535 or (":" in host and not bracketed):
        raise argparse.ArgumentTypeError(f'"{text}" is not an address (examples: :10090, 127.0.0.1:10090, [::1]:10090)')
    return ListenAddress(host.strip("[]") or None, int(port))


def storage_path(url: str) -> Path:
    """The database file that ``sqlite:///relative.db`` or ``sqlite:////absolute.db`` names.

    A URL that is refused is not repeated in the message: it may hold a password.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme != "sqlite":
        raise argparse.ArgumentTypeError(f"not a storage URL that is supported (example: {DEFAULT_STORAGE_URL})")
    if not rest.startswith("/") or rest.endswith("/") or rest == "/:memory:":
        raise argparse.ArgumentTypeError(
            "a sqlite URL names a file, with three slashes one relative to the working directory, with four an "
            f"absolute one (example: {DEFAULT_STORAGE_URL})"
        )
    return Path(rest[1:])


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
    if not text.startswith("/") or text == "/" or any(character in text for character in "{}?# "):
        raise argparse.ArgumentTypeError(f'"{text}" is not a path to serve (example: /metrics)')
    if text.startswith(("/ping/", "/heartbeat/", "/-/", "/api/")):
        raise argparse.ArgumentTypeError(f'"{text}" is taken already (example: /metrics)')
    return text


class Parser(argparse.ArgumentParser):
    """A parser that takes no abbreviated flags, so that a new flag never changes what an old command line means."""

    def __init__(self, *, prog: str | None = None, description: str | None = None) -> None:
        super().__init__(prog=prog, description=description, allow_abbrev=False)


def add_version(parser: argparse.ArgumentParser) -> None:
    """--version."""
    revision = os.environ.get(REVISION_VARIABLE) or "unknown"
    about = f"{parser.prog}, version {__version__} (revision: {revision}, python: {platform.python_version()})"
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
        default=os.environ.get(STORAGE_URL_VARIABLE, DEFAULT_STORAGE_URL),
        help=f"where records are kept (default: ${STORAGE_URL_VARIABLE}, else {DEFAULT_STORAGE_URL}: relative to the "
        "working directory; four slashes: absolute)",
    )
    parser.add_argument(
        "--ping.secret-file",
        dest="secret_file",
        metavar="PATH",
        type=Path,
        help="file with the secret from which tokens are derived (default: ping-secret beside the SQLite file, made "
        "once)",
    )


def add_addresses(parser: argparse.ArgumentParser) -> None:
    """--web.listen-address, --ping.listen-address and --web.external-url."""
    parser.add_argument(
        "--web.listen-address",
        dest="web_listen",
        metavar="ADDRESS",
        type=listen_address,
        action="append",
        help=f"where to serve; repeatable (default: {DEFAULT_LISTEN_ADDRESS})",
    )
    parser.add_argument(
        "--ping.listen-address",
        dest="ping_listen",
        metavar="ADDRESS",
        type=listen_address,
        action="append",
        help="if given, pings are served only there, and nothing else is; repeatable",
    )
    parser.add_argument(
        "--web.external-url",
        dest="external_url",
        metavar="URL",
        type=web_url,
        help="how jobs and people reach us, used in every URL that is printed (default: http://localhost and the port "
        "that serves pings)",
    )


def secret_path(storage: Path, secret_file: Path | None) -> Path:
    """Where the secret from which tokens are derived is."""
    return secret_file or storage.parent / "ping-secret"


def external_url(given: str | None, web: list[ListenAddress] | None, ping: list[ListenAddress] | None) -> str:
    """How jobs reach us: as given, else on this machine, at the first address that serves pings."""
    if given is not None:
        return given
    address = (ping or web or [listen_address(DEFAULT_LISTEN_ADDRESS)])[0]
    anywhere = address.host in (None, "0.0.0.0", "::")  # noqa: S104 - recognised here, not bound
    return f"http://{ListenAddress('localhost' if anywhere else address.host, address.port)}"
