"""Which form of the page a client gets, from its `Accept` and `Accept-Encoding` headers (RFC 9110, section 12.5).

Headers only ever choose between what we have: one that asks for nothing that we have, or that cannot be read, is
answered as if it were absent.
"""

import re
from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

_QUALITY = re.compile(r"0(\.[0-9]*)?|1(\.0*)?")


class Format(Enum):
    """The forms in which the page of metrics is written."""

    TEXT = ("text/plain", "0.0.4")
    OPENMETRICS = ("application/openmetrics-text", "1.0.0")

    def __init__(self, media_type: str, version: str) -> None:
        self.media_type = media_type
        self.version = version

    @property
    def content_type(self) -> str:
        """The value of `Content-Type` for a page in this form."""
        return f"{self.media_type}; version={self.version}; charset=utf-8"


class _Choice(NamedTuple):
    """One element of such a header: what the client takes, and how gladly."""

    value: str
    version: str
    """What its parameter of this name says; empty: any."""
    quality: float


class _Preference(NamedTuple):
    """How gladly a client takes one form; what is greater is preferred."""

    quality: float
    nearness: int
    """How exactly the client named it: 2 by its type, 1 by a range of types, 0 by ``*/*`` or not at all."""


def choose_format(accept: str | None) -> Format:
    """The form that a client with this `Accept` header likes best.

    OpenMetrics goes only to those who ask for it: by its name or a range such as ``application/*``, liked and named at
    least as well as the text format, or by refusing the text format. A version other than ours is not ours, so 0.0.1
    and 2.0.0 do not ask for it. Other parameters are no obstacle: `escaping` concerns names that we do not have.
    """
    choices = list(_choices(accept or ""))
    openmetrics, text = _preference(choices, Format.OPENMETRICS), _preference(choices, Format.TEXT)
    asked = text.quality == 0 or (openmetrics.nearness > 0 and openmetrics >= text)
    return Format.OPENMETRICS if asked and openmetrics.quality > 0 else Format.TEXT


def accepts_gzip(accept_encoding: str | None) -> bool:
    """Whether a client with this `Accept-Encoding` header wants its answer compressed with gzip.

    Without the header it does not: whoever cannot say so may not be able to unpack it.
    """
    qualities = {choice.value: choice.quality for choice in _choices(accept_encoding or "")}
    gzip = qualities.get("gzip", qualities.get("x-gzip", qualities.get("*", 0.0)))
    return gzip > 0 and gzip >= qualities.get("identity", 0.0)


def _choices(header: str) -> Iterator[_Choice]:
    """The elements of a header that can be read; the others are passed over."""
    for element in header.lower().split(","):
        value, *parameters = element.split(";")
        version, quality = "", "1"
        for parameter in parameters:
            key, _, text = parameter.partition("=")
            match key.strip():
                case "version":
                    version = text.strip().strip('"')
                case "q":
                    quality = text.strip()
        if value.strip() and _QUALITY.fullmatch(quality):
            yield _Choice(value.strip(), version, float(quality))


def _preference(choices: list[_Choice], form: Format) -> _Preference:
    """What the client says of a form where it names it most exactly; the highest where it does so more than once."""
    nearness = {form.media_type: 2, form.media_type.split("/")[0] + "/*": 1, "*/*": 0}
    found = [
        _Preference(choice.quality, nearness[choice.value])
        for choice in choices
        if choice.value in nearness and choice.version in ("", form.version)
    ]
    return max(found, key=lambda preference: (preference.nearness, preference.quality), default=_Preference(0.0, 0))
