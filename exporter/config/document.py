"""YAML text -> plain values that remember where they were written.

The values come from PyYAML's tree of nodes by a walk of our own, which shares what aliases share. Lines are looked up
in the tree only when something is reported, so a large file costs no more than its values.

Both parsers of PyYAML, the one in C and the one in Python, are bounded here: neither bounds how deep a text nests (the
one in C overflows its stack), nor how much its aliases multiply.
"""

import json
import re
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from exporter.config.fields import check_name, shown
from exporter.config.result import Problem
from exporter.config.syntax import UnreadableText, decode, explain

Steps: TypeAlias = tuple[str | int, ...]
"""Keys and indices from the root of the document to a value."""

DEEPEST = 50
_MULTIPLIED_AT_MOST = 100_000

_TAG = "tag:yaml.org,2002:"
STRING, INTEGER, BOOLEAN, NULL = (f"{_TAG}{kind}" for kind in ("str", "int", "bool", "null"))
_MERGE = f"{_TAG}merge"
_MAPPING, _SEQUENCE = f"{_TAG}map", f"{_TAG}seq"
_SCALARS = {
    STRING: "a text",
    INTEGER: "a number",
    BOOLEAN: "a truth value",
    NULL: "nothing",
    _MERGE: "a merge key",
    f"{_TAG}float": "a number",
    f"{_TAG}timestamp": "a date",
    f"{_TAG}value": "a default value",
}
_KINDS = {**_SCALARS, _MAPPING: "a mapping", _SEQUENCE: "a list"}
_BOOLEANS = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9_]{0,99})")
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]{1,128}")


class Unread(Enum):
    """Stands for a value that no key of ours takes as it is written."""

    NULL = "null"
    OTHER = "other"
    """A number that is not written in plain decimal digits, a date, a value with a tag."""
    CIRCULAR = "circular"
    """An alias of something that it is itself a part of."""


class _Bounded(yaml.resolver.Resolver):
    """Mixed into a loader: refuses deep nesting, which PyYAML meets with recursion, and is quick to tell a text."""

    _depth = 0

    def __init__(self, text: str) -> None:
        super().__init__(text)  # type: ignore[call-arg]  # the loader's, which is next
        self._tags: dict[str | None, str] = {}

    def resolve(self, kind: type[Node], value: str | None, implicit: tuple[bool, bool]) -> str:
        if kind is not ScalarNode or not implicit[0]:
            return self._resolved(kind, value, implicit)
        # Of the patterns that make a plain scalar something else than a text, PyYAML tries those that may fit its first
        # character: none for most letters, and for the others the same keys come again and again.
        if value and value[0] not in self.yaml_implicit_resolvers:
            return STRING
        tag = self._tags.get(value)
        if tag is None:
            tag = self._tags[value] = self._resolved(kind, value, implicit)
        return tag

    def _resolved(self, kind: type[Node], value: str | None, implicit: tuple[bool, bool]) -> str:
        tag: str = super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]  # its stubs leave it out
        return tag

    def descend_resolver(self, parent: Node | None, index: object) -> None:
        del parent, index
        self._depth += 1
        if self._depth > DEEPEST:
            raise UnreadableText(0, f"the values in this file are nested more than {DEEPEST} levels deep")

    def ascend_resolver(self) -> None:
        self._depth -= 1


LOADERS: tuple[type[yaml.SafeLoader], ...] = tuple(
    type("Loader", (_Bounded, getattr(yaml, name)), {}) for name in ("CSafeLoader", "SafeLoader") if hasattr(yaml, name)
)
"""The fastest first: the one in C is there where PyYAML was built with libyaml."""


@dataclass(frozen=True, slots=True)
class Document:
    """One file's values, and where they were written."""

    file: str
    value: object = field(default_factory=dict)
    """Made of dict, list, str, int, bool and Unread. Aliases of a value are one object, so it must not be changed."""
    problems: tuple[Problem, ...] = ()
    """What is wrong with the text whatever its values mean. Where it could not be read at all, the value is empty."""
    _root: Node | None = field(default=None, repr=False)
    _entries: dict[int, dict[str, tuple[Node, Node]]] = field(default_factory=dict, repr=False)

    @classmethod
    def parse(cls, file: str, data: bytes, loader: type[yaml.SafeLoader] = LOADERS[0]) -> "Document":
        """The document in the bytes of a file, which is called ``file`` when it is spoken of."""
        try:
            text = decode(data)
            root = _compose(text, loader)
            walk = _Walk(_MULTIPLIED_AT_MOST + 4 * len(text))
            value = {} if root is None else walk.value(root, None)
        except UnreadableText as error:
            return cls(file, problems=(Problem(file, error.line, "", error.message),))
        document = cls(file, value, (), root)
        troubles = tuple(document.problem(_path(at), message, node) for at, node, message in walk.troubles)
        return cls(file, value, troubles, root, document._entries)

    def node(self, path: Steps) -> Node | None:
        """What was written at the path; None where nothing was."""
        return self._find(path)[1]

    def line(self, path: Steps) -> int:
        """The line of the path's key, or of the value where it has none."""
        return _line(self._find(path)[0])

    def problem(self, path: Steps, message: str, node: Node | None = None) -> Problem:
        """The problem with what is at the path, or with the node that is given; it is put in one line."""
        line = self.line(path) if node is None else _line(node)
        return Problem(self.file, line, self.spell(path), _one_line(message))

    def spell(self, path: Steps) -> str:
        """The path as people read it: a heartbeat goes by its name where that can be one."""
        spelled = ""
        for end, step in enumerate(path, start=1):
            if isinstance(step, int):
                name = self._name(path[:end]) if path[:end] == ("heartbeats", step) else None
                spelled += f"[{step}]" if name is None else f".{name}"
            elif _PLAIN_KEY.fullmatch(step):
                spelled += f".{step}" if spelled else step
            else:
                spelled += f"[{json.dumps(step[:80])}]"
        return spelled

    def _name(self, path: Steps) -> str | None:
        node = self.node((*path, "name"))
        if node is None or not _is_text(node):
            return None
        try:
            return check_name(node.value)
        except ValueError:
            return None

    def _find(self, path: Steps) -> tuple[Node | None, Node | None]:
        """The node to show for a path, which is the key where there is one, and the value's node."""
        spot = value = self._root
        for step in path:
            if isinstance(step, int):
                items = value.value if isinstance(value, SequenceNode) else ()
                spot = value = items[step] if step < len(items) else None
            elif isinstance(value, MappingNode):
                spot, value = self._entries_of(value).get(step, (spot, None))
            else:
                value = None
        return spot, value

    def _entries_of(self, mapping: MappingNode) -> dict[str, tuple[Node, Node]]:
        """Key and value of each entry, merged ones included. Kept, so that many problems do not search many times."""
        known = self._entries.get(id(mapping))
        if known is None:
            known = self._entries[id(mapping)] = {}
            waiting: list[Node] = [mapping]
            seen: set[int] = set()
            while waiting:
                source = waiting.pop()
                if id(source) not in seen and isinstance(source, MappingNode):
                    seen.add(id(source))
                    for key, value in source.value:
                        if _is_text(key):
                            known.setdefault(key.value, (key, value))
                    waiting += reversed(_merged(source))
        return known


def _compose(text: str, loader: type[yaml.SafeLoader]) -> Node | None:
    """The tree of the one document in the text; None where it is empty. Raises UnreadableText."""
    parser = loader(text)
    try:
        root: Node | None = parser.get_single_node()
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # the latter two: \\U escapes beyond Unicode
        raise explain(error, text) from None
    finally:
        parser.dispose()
    return root


def _merged(mapping: MappingNode) -> list[Node]:
    """The nodes that a mapping's merge key names, the first to be heeded first."""
    for key, value in mapping.value:
        if key.tag == _MERGE:
            return list(value.value) if isinstance(value, SequenceNode) else [value]
    return []


_Trail: TypeAlias = "tuple[_Trail, str | int] | None"


class _Walk:
    """Makes values of nodes, each node once, and notes what is wrong with the text itself."""

    def __init__(self, most: int) -> None:
        self.troubles: list[tuple[_Trail, Node, str]] = []
        self._most = most
        self._count = 0
        self._values: dict[int, object] = {}
        self._sizes: dict[int, int] = {}

    def value(self, node: Node, trail: _Trail) -> object:
        """The node's value. Raises UnreadableText where aliases stand for more than ``most`` values in all."""
        if isinstance(node, ScalarNode):
            self._count += 1
            return _scalar(node)
        known = self._values.get(id(node))
        if known is not None:
            return self._again(node, known)
        self._values[id(node)] = Unread.CIRCULAR  # until it is complete
        before = self._count
        value = self._mapping(node, trail) if isinstance(node, MappingNode) else self._sequence(node, trail)
        self._count += 1
        self._sizes[id(node)] = self._count - before
        self._values[id(node)] = value
        return value

    def _again(self, node: Node, known: object) -> object:
        self._count += self._sizes.get(id(node), 1)
        if self._count > self._most:
            raise UnreadableText(_line(node), "the aliases in this file multiply its values beyond reason")
        return known

    def _sequence(self, node: Node, trail: _Trail) -> object:
        items = [self.value(item, (trail, index)) for index, item in enumerate(node.value)]
        return items if node.tag == _SEQUENCE else Unread.OTHER

    def _mapping(self, node: MappingNode, trail: _Trail) -> object:
        values: dict[str, object] = {}
        merged: list[object] | None = None
        firsts: dict[str, int] = {}
        for key, item in node.value:
            if _is_text(key):
                value = self.value(item, (trail, key.value))
                if key.value not in values:
                    values[key.value] = value
                    continue
                firsts = firsts or {other.value: _line(other) for other, _ in reversed(node.value) if _is_text(other)}
                self._trouble((trail, key.value), key, f"is given twice (first on line {firsts[key.value]})")
            elif key.tag == _MERGE and merged is None:
                merged = self._sources(item, trail)
            else:
                self.value(key, trail)  # what is anchored here may be named further on
                self.value(item, trail)
                self._trouble(trail, key, _not_a_key(key))
        for source in merged or ():
            if isinstance(source, dict):
                for name, value in source.items():
                    values.setdefault(name, value)
        return values if node.tag == _MAPPING else Unread.OTHER

    def _sources(self, node: Node, trail: _Trail) -> list[object]:
        """What the value of a merge key brings in, the first to be heeded first."""
        nodes = node.value if isinstance(node, SequenceNode) else [node]
        values = [self.value(source, trail) for source in nodes]
        if not all(isinstance(value, dict) for value in values):
            self._trouble(trail, node, "<< takes another mapping, or a list of them")
        return values

    def _trouble(self, trail: _Trail, node: Node, message: str) -> None:
        self.troubles.append((trail, node, message))


def _scalar(node: ScalarNode) -> object:
    text: str = node.value
    match node.tag:
        case "tag:yaml.org,2002:str":
            return text
        case "tag:yaml.org,2002:int" if _INTEGER.fullmatch(text):
            return int(text.replace("_", ""))
        case "tag:yaml.org,2002:bool" if text.lower() in _BOOLEANS:
            return _BOOLEANS[text.lower()]
        case "tag:yaml.org,2002:null":
            return Unread.NULL
        case _:
            return Unread.OTHER


def _is_text(node: Node) -> bool:
    return node.tag == STRING and isinstance(node, ScalarNode)


def kind(node: Node) -> str:
    """What a node is, in a word or two."""
    return _KINDS.get(node.tag, "a value with a tag")


def foreign_tag(node: Node) -> str | None:
    """The tag that a node was given, if it is not one that values of its kind have by themselves."""
    if isinstance(node, MappingNode):
        usual = node.tag == _MAPPING
    else:
        usual = node.tag == _SEQUENCE if isinstance(node, SequenceNode) else node.tag in _SCALARS
    return None if usual else node.tag.replace(_TAG, "!!")


def _not_a_key(key: Node) -> str:
    if key.tag == _MERGE:
        return "<< is given twice (to merge several, say <<: [*one, *two])"
    if key.tag == NULL:
        return "a colon needs a key before it"
    if not isinstance(key, ScalarNode):
        return f"{kind(key)} cannot be a key"
    quoted = shown(key.value)
    return f"the key {quoted[1:-1]} is {kind(key)} in YAML; quote it: {quoted}"


def _path(trail: _Trail) -> Steps:
    steps: list[str | int] = []
    while trail is not None:
        trail, step = trail
        steps.append(step)
    return tuple(reversed(steps))


def _line(node: Node | None) -> int:
    return 1 if node is None else node.start_mark.line + 1


def _one_line(message: str) -> str:
    if message.isprintable():
        return message
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in message)
