"""A document -> the model of its kind, and a sentence for everything in it that does not fit.

What does not fit is reported and taken out, and what is left is validated again: so the rest of a heartbeat, and of the
file, can still be checked for what concerns several values at once.
"""

import difflib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeAlias, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from yaml.nodes import Node, ScalarNode

from exporter.config.document import INTEGER, NULL, STRING, Document, Steps, Unread, foreign_tag, kind
from exporter.config.fields import EXAMPLES, is_secret, shown
from exporter.config.model import HeartbeatsFile, MainFile
from exporter.config.result import Problem

Model = TypeVar("Model", bound=BaseModel)

_NOT_IN_DEFAULTS = {
    "name": "each heartbeat has its own",
    "token": "no two heartbeats may share one",
    "token_file": "no two heartbeats may share a token",
}
_DIGITS = re.compile(r"[0-9]{1,12}")
_LONG = re.compile(r"[A-Za-z0-9_-]{16}")
_SEXAGESIMAL = re.compile(r"([0-9]{1,6}):0?([0-9]{1,2})")
_QUOTED_IN_VAIN = {"bool_type": re.compile("true|false|yes|no"), "int_type": _DIGITS}
_SECRETS = frozenset({"token", "token_file", "key", "key_file", "keys"})

_WANTED = {
    "string_type": "a text",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "duration_type": "a duration",
}


@dataclass(frozen=True, slots=True)
class Checked(Generic[Model]):
    """A document and what is good in it."""

    document: Document
    content: Model
    problems: tuple[Problem, ...]
    refused: frozenset[Steps]
    """Where something was given that is not in ``content``, since it does not fit."""


@dataclass(frozen=True, slots=True)
class _Fault:
    """One error of pydantic's, and where in the document it is."""

    path: Steps
    details: ErrorDetails

    @classmethod
    def of(cls, details: ErrorDetails) -> "_Fault":
        path = details["loc"]
        # An error in a label's name has a last step of pydantic's own.
        return cls(path[:-1] if path[-3:-2] == ("labels",) and path[-1] == "[key]" else path, details)


def _is_secret(path: Steps) -> bool:
    return "labels" not in path and not _SECRETS.isdisjoint(path)


def check(document: Document, model: type[Model], is_secret_at: Callable[[Steps], bool] = _is_secret) -> Checked[Model]:
    """The document as a model. Everything that does not fit is in the problems, each with its own place.

    What stands where ``is_secret_at`` holds is not shown in them.
    """
    value, problems, refused = document.value, list(document.problems), set[Steps]()
    while True:
        try:
            content = model.model_validate(value)
        except ValidationError as error:
            faults = [_Fault.of(details) for details in error.errors(include_url=False)]
            if not refused:  # what fails later on fails for want of what was taken out
                problems += [_problem(fault, document, model, secret=is_secret_at(fault.path)) for fault in faults]
            refused.update(fault.path for fault in faults)
            value = _without(value, [(fault.path, fault.details["type"] == "model_type") for fault in faults])
        else:
            return Checked(document, content, tuple(problems), frozenset(refused))


_Removal: TypeAlias = tuple[Steps, bool]
"""Where something is taken out, and whether an empty mapping takes its place."""


def _without(value: Any, removals: Sequence[_Removal]) -> object:
    """The value without what is at the paths. What holds it is copied, since aliases may share it."""
    if ((), True) in removals:
        return {}
    below: dict[Any, list[_Removal]] = {}
    for path, emptied in removals:
        below.setdefault(path[0], []).append((path[1:], emptied))
    copy = value.copy()
    for step in sorted(below, reverse=True):  # so that an index still fits when those after it are gone
        if ((), False) in below[step]:
            del copy[step]
        else:
            copy[step] = _without(copy[step], below[step])
    return copy


def _problem(fault: _Fault, document: Document, model: type[BaseModel], *, secret: bool) -> Problem:
    problem = document.problem(fault.path, _message(fault, document, model, secret=secret))
    if fault.details["type"] != "extra_forbidden" or not _may_be_secret(str(fault.path[-1]), _known(fault.path, model)):
        return problem
    # A slip, such as braces too many, makes a key of what was to be a value. Only its place is told.
    path, message = document.spell(fault.path[:-1]), f"has a key that is not known {_listed(_known(fault.path, model))}"
    return replace(problem, path=path, message=message)


def _message(fault: _Fault, document: Document, model: type[BaseModel], *, secret: bool) -> str:
    """What is wrong, and what would be right, in our own words."""
    reason, given, context = fault.details["type"], fault.details["input"], fault.details.get("ctx", {})
    if given is Unread.CIRCULAR and reason != "extra_forbidden":
        return "is an alias of something that it is itself a part of"
    match reason:
        case "extra_forbidden":
            return _unknown(fault.path, model)
        case "value_error":
            return str(context["error"])
        case "greater_than_equal":
            return f"{given} is too small (at least {context['ge']})"
        case "less_than_equal":
            return f"{given} is too large (at most {context['le']})"
        case "string_too_long":
            return f"is too long (at most {context['max_length']} characters)"
        case "too_long":
            return f"has too many entries (at most {context['max_length']})"
        case "string_unicode":
            return "holds half of a surrogate pair, which is no valid UTF-8"
        case _:
            return _mistyped(reason, document.node(fault.path), secret=secret)


def _unknown(path: Steps, model: type[BaseModel]) -> str:
    key = str(path[-1])
    section = tuple(step for step in path[:-1] if isinstance(step, str))
    if section == ("defaults",) and key in _NOT_IN_DEFAULTS:
        return f"cannot have a default: {_NOT_IN_DEFAULTS[key]}"
    if model is HeartbeatsFile and not section and key in MainFile.model_fields:
        return "belongs in the main file; a further file has only heartbeats"
    known = _known(path, model)
    close = _closest(key, known)
    return f"is not a known key{f'; did you mean {close}?' if close else ''} {_listed(known)}"


def _known(path: Steps, model: type[BaseModel]) -> list[str]:
    """The keys that are known beside the one at the path."""
    return sorted(_below(model, [step for step in path[:-1] if isinstance(step, str)]).model_fields)


def _listed(known: Sequence[str]) -> str:
    return f"(known here: {', '.join(known)})"


def _closest(key: str, known: Sequence[str]) -> str | None:
    """The known key that was probably meant."""
    return next(iter(difflib.get_close_matches(key.lower()[:64], known, n=1)), None)


def _may_be_secret(key: str, known: Sequence[str]) -> bool:
    return _LONG.search(key) is not None and _closest(key, known) is None


def _below(model: type[BaseModel], section: Sequence[str]) -> type[BaseModel]:
    """The model of what a model has under the keys."""
    for key in section:
        (model,) = _models_in(model.model_fields[key].annotation)
    return model


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def _mistyped(reason: str, node: Node | None, *, secret: bool) -> str:
    """What to say of a value that is not of the type that is wanted, without showing a secret."""
    wanted = _WANTED[reason]
    assert node is not None  # What has a type stands somewhere.
    if (tag := foreign_tag(node)) is not None:
        return f"has a tag that means nothing here{'' if is_secret(tag.lstrip('!')) else f' ({tag})'}"
    if not isinstance(node, ScalarNode):
        return f"is {kind(node)}, not {wanted}"
    if node.tag == NULL:
        return f"has no value; give {wanted}"
    if secret or (wanted == "a mapping" and is_secret(node.value)):  # the latter: put there by mistake
        return f"is {kind(node)} in YAML; quote it" if reason == "string_type" else f"is {kind(node)}, not {wanted}"
    given = shown(node.value) if node.tag == STRING else shown(node.value)[1:-1]
    return f"{given} {_mistaken(reason, node)}"


def _mistaken(reason: str, node: ScalarNode) -> str:
    """What the scalar is taken for, or should have been."""
    text: str = node.value
    match reason:
        case "string_type":
            return f"is {kind(node)} in YAML; quote it: {_quoted(text)}"
        case "duration_type":
            return f"is not a duration{_unit_for(text)}"
        case "list_type":
            return f"is not a list; say [{_quoted(text)}]"
        case "bool_type" | "int_type" if node.tag == STRING and _QUOTED_IN_VAIN[reason].fullmatch(text):
            return "is a text; write it without quotes"
        case "int_type" if node.tag == INTEGER:
            return "is not a whole number in decimal digits"
        case _:
            return f"is not {_WANTED[reason]}"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False) if len(text) <= 80 else shown(text)


def _unit_for(text: str) -> str:
    """How what was written without a unit would be said as a duration."""
    if _DIGITS.fullmatch(text):
        return f"; a number needs a unit, as in {text}s"
    if (pair := _SEXAGESIMAL.fullmatch(text)) is not None:
        return "; say {0}h{1}m or {0}m{1}s".format(*pair.groups())
    return f" ({EXAMPLES})"
