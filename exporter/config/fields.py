"""The single values of the configuration file: which texts are names, labels, durations, secrets, networks, addresses.

The checks raise ValueError with a sentence for people, or `PydanticCustomError("duration_type", …)` for what is no text
at all. Each comes with the piece of JSON Schema that says the same as far as a schema can.
"""

import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, PlainValidator, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError, PydanticKnownError

from exporter.heartbeat import METHODS
from exporter.schedule import SECOND, Duration, Interval, parse_duration, parse_timezone

Network: TypeAlias = IPv4Network | IPv6Network

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,127}")
_SECRET = re.compile(r"[A-Za-z0-9_-]{16,128}")
_SIGNALS = ("start", "fail", "log", "success")

_IN_INFO = "heartbeat_info has a label of that name"
_ON_ALERTS = "Prometheus sets it on alerts"
_ON_TARGETS = "Prometheus sets it on what it scrapes"
_IN_BUCKETS = "it belongs to histograms and summaries"
REFUSED_LABELS = {
    "heartbeat": "it holds the heartbeat's name",
    "signal": "heartbeat_pings_total has a label of that name",
    "status": "heartbeat_exporter_heartbeats has a label of that name",
    "schedule": _IN_INFO,
    "timezone": _IN_INFO,
    "description": _IN_INFO,
    "runbook_url": _IN_INFO,
    "job": _ON_TARGETS,
    "instance": _ON_TARGETS,
    "pod": "it names a replica of the exporter, and the alert rules drop it",
    "alertname": _ON_ALERTS,
    "alertstate": _ON_ALERTS,
    "le": _IN_BUCKETS,
    "quantile": _IN_BUCKETS,
}
"""Label names that a heartbeat cannot have, each with the reason."""

OPERATOR_LABELS = frozenset({"namespace", "service", "container", "endpoint"})
"""Label names that the Prometheus Operator sets on targets, so that a heartbeat's own arrive under another name."""

SECRET_RULE = "16 to 128 of A-Z, a-z, 0-9, _ and -"  # noqa: S105  # says what a secret is, is none
EXAMPLES = "examples: 90s, 10m, 1h30m"


def shown(text: str) -> str:
    """The text in quotes, as messages show it: cut where it is long."""
    return f'"{text}"' if len(text) <= 80 else f'"{text[:79]}…"'


def is_secret(text: str) -> bool:
    """Whether the text can be a token or a key."""
    return _SECRET.fullmatch(text) is not None


def check_name(text: str) -> str:
    """The text, if it can be a heartbeat's name; else ValueError."""
    if _NAME.fullmatch(text) is None:
        raise ValueError(
            f"{shown(text)} is not a name (1 to 128 of A-Z, a-z, 0-9, ., _ and -, the first a letter or digit)"
        )
    if text in _SIGNALS:
        raise ValueError(f"{shown(text)} cannot be a name: at the end of a ping's URL it is a signal")
    if text.isdigit():
        raise ValueError(f"{shown(text)} cannot be a name: at the end of a ping's URL a number is an exit status")
    return text


def _label_name(text: str) -> str:
    if text.startswith("__"):
        raise ValueError(f"{shown(text)} cannot be a label: names that begin with __ are Prometheus's own")
    if _LABEL_NAME.fullmatch(text) is None:
        raise ValueError(f"{shown(text)} is not a label name (1 to 128 of a-z, A-Z, 0-9 and _, the first no digit)")
    if (reason := REFUSED_LABELS.get(text)) is not None:
        raise ValueError(f"{shown(text)} cannot be a label of a heartbeat: {reason}")
    return text


def _duration(value: object) -> Duration:
    if isinstance(value, str):
        return parse_duration(value)
    if type(value) is int and value == 0:
        return 0
    raise PydanticCustomError("duration_type", "not a duration")


def _positive(value: object) -> Duration:
    length = _duration(value)
    if length < SECOND:
        raise ValueError(f'"{value}" is too short (at least 1s)')
    return length


def _grace(value: object) -> Duration | Literal["auto"]:
    return "auto" if value == "auto" else _duration(value)


def _interval(value: object) -> Interval:
    if not isinstance(value, str):
        _duration(value)  # A bare 0 is a duration, though too short.
    return Interval.parse(str(value))


def _timezone(text: str) -> str:
    parse_timezone(text)
    return text


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and text.isprintable() and " " not in text
    except ValueError:  # brackets that hold no IPv6 address
        good = False
    if not good:
        raise ValueError(f"{shown(text)} is not an http or https URL (example: https://wiki.example/runbooks/backup)")
    return text


def _method(text: str) -> str:
    method = text.upper()
    if method not in METHODS:
        raise ValueError(f"{shown(text)} is not one of {', '.join(sorted(METHODS))}")
    return method


def _not_empty(methods: list[str]) -> list[str]:
    if not methods:
        raise ValueError("an empty list would ignore every ping (leave the key out to count GET, HEAD and POST)")
    return methods


def _secret(text: str) -> str:
    if not is_secret(text):
        raise ValueError(f"is not {SECRET_RULE}")
    return text


def _file(text: str) -> str:
    if not text or "\0" in text:
        raise ValueError("is not the name of a file")
    return text


def _network(value: object) -> Network:
    if not isinstance(value, str):
        raise PydanticKnownError("string_type")
    try:
        network = ip_network(value, strict=False)
    except ValueError:
        raise ValueError(f"{shown(value)} is not a network (examples: 10.0.0.0/8, 192.0.2.7, 2001:db8::/32)") from None
    try:
        return ip_network(value)
    except ValueError:
        raise ValueError(f"{shown(value)} has host bits set (the network is {network})") from None


_ANY_CASE = "|".join("".join(f"[{char}{char.lower()}]" for char in method) for method in sorted(METHODS))
_LENGTH = r"(?=[0-9])([0-9]+y)?([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?"
_ZERO = {"const": 0}

DurationText = Annotated[
    Duration,
    PlainValidator(_duration),
    WithJsonSchema({"anyOf": [{"type": "string", "pattern": f"^(0|{_LENGTH})$"}, _ZERO]}),
]
PositiveText = Annotated[
    Duration, PlainValidator(_positive), WithJsonSchema({"type": "string", "pattern": f"^{_LENGTH}$"})
]
GraceText = Annotated[
    Duration | Literal["auto"],
    PlainValidator(_grace),
    WithJsonSchema({"anyOf": [{"const": "auto"}, {"type": "string", "pattern": f"^(0|auto|{_LENGTH})$"}, _ZERO]}),
]
IntervalText = Annotated[
    Interval, PlainValidator(_interval), WithJsonSchema({"type": "string", "pattern": f"^{_LENGTH}$"})
]
NameText = Annotated[
    str,
    AfterValidator(check_name),
    WithJsonSchema(
        {"type": "string", "pattern": f"^{_NAME.pattern}$", "not": {"pattern": f"^({'|'.join(_SIGNALS)}|[0-9]+)$"}}
    ),
]
LabelName = Annotated[
    str,
    AfterValidator(_label_name),
    WithJsonSchema(
        {
            "type": "string",
            # Within allOf, since of a bare pattern pydantic makes what lets other keys pass.
            "allOf": [{"pattern": f"^{_LABEL_NAME.pattern}$"}],
            "not": {"pattern": f"^(__.*|{'|'.join(REFUSED_LABELS)})$"},
        }
    ),
]
LabelValue = Annotated[str, StringConstraints(max_length=1024)]
Description = Annotated[str, StringConstraints(max_length=1024)]
CronText = Annotated[str, StringConstraints(max_length=256)]
CalendarText = Annotated[str, StringConstraints(max_length=1024)]
TimezoneText = Annotated[str, StringConstraints(max_length=64), AfterValidator(_timezone)]
UrlText = Annotated[
    str,
    StringConstraints(max_length=2048),
    AfterValidator(_url),
    WithJsonSchema(
        {"type": "string", "format": "uri", "pattern": r"^[Hh][Tt][Tt][Pp][Ss]?://[^/\s]\S*$", "maxLength": 2048}
    ),
]
MethodText = Annotated[
    str,
    AfterValidator(_method),
    WithJsonSchema({"anyOf": [{"enum": sorted(METHODS)}, {"type": "string", "pattern": f"^({_ANY_CASE})$"}]}),
]
Methods = Annotated[list[MethodText], AfterValidator(_not_empty)]
SecretText = Annotated[
    str, AfterValidator(_secret), WithJsonSchema({"type": "string", "pattern": f"^{_SECRET.pattern}$"})
]
FileText = Annotated[
    str,
    StringConstraints(max_length=4096),
    AfterValidator(_file),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 4096}),
]
GlobText = Annotated[
    str,
    StringConstraints(max_length=512),
    AfterValidator(_file),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 512}),
]
NetworkText = Annotated[Network, PlainValidator(_network), WithJsonSchema({"type": "string"})]
