"""A file -> WebConfig, or every error in it at once."""

import re
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from exporter.config.document import Document, Steps
from exporter.config.files import Content, UnreadableFile
from exporter.config.result import Problem, exposure
from exporter.config.validate import Checked, check
from exporter.web_config.model import WebFile, is_secret_at
from exporter.web_config.names import HEADERS
from exporter.web_config.result import WebConfig, WebConfigError
from exporter.web_config.tls import Tls
from exporter.web_config.trouble import Trouble

_HASH = re.compile(r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}")
_HASH_IN_KEY = re.compile(r"\$2[a-z]?\$[^\s\"\]]*")
_CHEAPEST, _CHEAP, _DEAR, _DEAREST = 4, 10, 14, 18
_USUAL = "10 to 12 is usual"


def load_web_config(path: Path) -> WebConfig:
    """The web configuration in a file and in the files that it names, which are relative to its folder.

    Raises WebConfigError, and nothing else, with everything that is wrong in any of them.
    """
    try:
        content = Content.of(path)
    except UnreadableFile as error:
        raise WebConfigError([Problem(str(path), 0, "", str(error))], (path,)) from None
    checked = check(Document.parse(str(path), content.data), WebFile, is_secret_at)
    trouble = Trouble(checked.document, list(checked.problems))
    tls = Tls(checked, path.parent, trouble)
    settings = tls.settings()
    headers = _headers(checked, trouble)
    users = _users(checked, trouble)
    files = (path, *tls.files)
    if trouble.errors:
        raise WebConfigError(_shown(trouble.errors), files)
    if settings is None and not headers and not users:
        trouble.warn((), "asks for nothing: no TLS, no headers, no users")
    if checked.content.basic_auth_users or checked.content.tls_server_config.key is not None:
        exposed = exposure(content.mode)
        if exposed is not None:
            trouble.warnings.append(Problem(str(path), 0, "", exposed))
    return WebConfig(settings, headers, users, _shown(trouble.warnings), files)


def _shown(problems: list[Problem]) -> tuple[Problem, ...]:
    """By line, and without hashes: where a space is missing after a colon, one is a part of a key."""
    veiled = (
        replace(problem, path=_HASH_IN_KEY.sub("…", problem.path), message=_HASH_IN_KEY.sub("…", problem.message))
        for problem in problems
    )
    return tuple(sorted(veiled, key=lambda problem: problem.line))


def _headers(checked: Checked[WebFile], trouble: Trouble) -> tuple[tuple[str, str], ...]:
    """The headers to send; one without a value is not sent."""
    given: dict[str, str] = checked.content.http_server_config.headers
    for name, value in given.items():
        at: Steps = ("http_server_config", "headers", name)
        values = HEADERS.get(name)
        if values is None:
            trouble.refuse(at, f"cannot be set (those that can: {', '.join(HEADERS)})")
        elif values and value not in values:
            trouble.refuse(at, f'"{value[:80]}" is not {" or ".join(values)}')
    return tuple((name, value) for name, value in given.items() if value)


def _users(checked: Checked[WebFile], trouble: Trouble) -> MappingProxyType[str, bytes]:
    given: dict[str, str] = checked.content.basic_auth_users
    for name, text in given.items():
        at: Steps = ("basic_auth_users", name)
        if ":" in name or not name.isprintable():
            trouble.refuse(at, "cannot log in: a name is sent without colons and control characters")
        _examine_hash(text, at, trouble)
    return MappingProxyType({name: text.encode() for name, text in given.items()} if not trouble.errors else {})


def _examine_hash(text: str, at: Steps, trouble: Trouble) -> None:
    hashed = _HASH.fullmatch(text)
    if hashed is None or int(hashed[1]) < _CHEAPEST or int(hashed[1]) > 31:
        trouble.refuse(at, "is not a bcrypt hash (make one with: htpasswd -nBC 10 NAME)")
        return
    cost = int(hashed[1])
    if cost > _DEAREST:
        trouble.refuse(at, f"has a cost of {cost}: to check it takes too long (at most {_DEAREST}; {_USUAL})")
    elif cost > _DEAR:
        trouble.warn(at, f"has a cost of {cost}: each login that is not remembered takes seconds ({_USUAL})")
    elif cost < _CHEAP:
        trouble.warn(at, f"has a cost of {cost}: whoever gets hold of it soon finds the password ({_USUAL})")
