"""What the web configuration asks for: encryption, certificates of clients, headers, logins; reread when it changes."""

import ssl
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import structlog

from exporter.web.logins import Logins, Verdict
from exporter.web_config import WebConfig, WebConfigError, canonical, load_web_config

__all__ = ["Security", "Verdict"]

_KINDS = frozenset({"DNS", "email", "IP Address", "URI"})

_Signature: TypeAlias = tuple[tuple[int, ...] | None, ...]
"""Of each file what changes when it does; None for one that cannot be looked at."""

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Security:
    """Who gets in, and how. Nobody is kept out where there is no web configuration.

    Each use looks whether a file has changed, and takes over what it holds now. A change that is bad, or that would
    take a protection away as a whole, is logged once and does not count: a file that is being written may hold
    anything.
    """

    def __init__(self, path: Path | None, config: WebConfig, seen: _Signature) -> None:
        self._path = path
        self._config = config
        self._watched = config.files
        """More than the configuration's own files after a change that was bad."""
        self._seen = seen
        self._logins = Logins()

    @classmethod
    def open(cls, path: Path | None) -> "Security":
        """What the web configuration in a file asks for, or nothing. Its warnings are logged. Raises WebConfigError."""
        if path is None:
            return cls(None, WebConfig(), ())
        config, seen = _load(path, (path,))
        _log_warnings(config)
        return cls(path, config, seen)

    def tls(self) -> ssl.SSLContext | None:
        """The context for the next connection, from what the files hold now; None: it is not encrypted."""
        tls = self._current().tls
        return None if tls is None else tls.context

    def admits(self, peer: Mapping[str, Any] | None) -> bool:
        """Whether a client may connect; ``peer``: its verified certificate as `ssl.SSLSocket.getpeercert` gives it.

        Where names are listed, one without a certificate may not, as with exporter-toolkit.
        """
        tls = self._current().tls
        if tls is None or not tls.allowed_sans:
            return True
        names = (peer or {}).get("subjectAltName", ())
        return any(
            (canonical(name) if kind == "IP Address" else name) in tls.allowed_sans
            for kind, name in names
            if kind in _KINDS
        )

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """Names and values to be added to every answer."""
        return self._current().headers

    @property
    def headers_seen(self) -> tuple[tuple[str, str], ...]:
        """The same as of the last use that looked whether a file has changed, which spares this one the look.

        Every new connection looks, and every login.
        """
        return self._config.headers

    async def authenticate(self, authorization: str | None) -> Verdict:
        """Whether the value of a request's Authorization header, if it has one, lets it in."""
        users = self._current().users
        return await self._logins.check(users, authorization) if users else Verdict.ADMITTED

    def close(self) -> None:
        """Check no more logins; those that wait for it are cancelled."""
        self._logins.close()

    def _current(self) -> WebConfig:
        """The configuration, reread if a file has changed."""
        if self._path is not None and _signature(self._watched) != self._seen:
            self._reread(self._path)
        return self._config

    def _reread(self, path: Path) -> None:
        before = dict(zip(self._watched, _signature(self._watched), strict=True))
        try:
            config, self._seen = _load(path, self._watched)
        except WebConfigError as error:
            self._watched = tuple(dict.fromkeys((*self._config.files, *error.files)))
            # As they were before they were read: one that was put right in between is read again.
            self._seen = tuple(before[file] if file in before else _state(file) for file in self._watched)
            self._refuse(error.problems)
            return
        self._watched = config.files
        lost = tuple(_lost(self._config, config))
        if lost:
            self._refuse(f"{path}: takes away {what}, which needs a restart" for what in lost)
            return
        self._config = config
        _log_warnings(config)
        log.info("web configuration reread", file=str(path))

    @staticmethod
    def _refuse(problems: Iterable[object]) -> None:
        for problem in problems:
            log.error("web configuration refused, the old one stays", problem=str(problem))


def _load(path: Path, files: tuple[Path, ...]) -> tuple[WebConfig, _Signature]:
    """The configuration, and the signature that its files had before they were read. Raises WebConfigError.

    ``files``: those that it is probably read from.
    """
    while True:
        seen = _signature(files)
        config = load_web_config(path)
        if config.files == files:
            return config, seen
        files = config.files  # Now that they are known: a change while they are read must not go unnoticed.


def _signature(files: Iterable[Path]) -> _Signature:
    return tuple(map(_state, files))


def _state(file: Path) -> tuple[int, ...] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    # The time of the last change of the inode as well: a file that may be read again has no other sign of it.
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _lost(old: WebConfig, new: WebConfig) -> Iterator[str]:
    """The protections that the old configuration has and the new one has not."""
    if old.users and not new.users:
        yield "all users"
    if old.tls is None:
        return
    if new.tls is None:
        yield "TLS"
        return
    if new.tls.client_auth < old.tls.client_auth:
        yield "the verification of clients' certificates, or a part of it"
    if old.tls.allowed_sans and not new.tls.allowed_sans:
        yield "client_allowed_sans"


def _log_warnings(config: WebConfig) -> None:
    for problem in config.warnings:
        log.warning("web configuration", problem=str(problem))
