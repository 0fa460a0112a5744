"""The dashboards that ship: what their JSON says, and what Grafana asks of Prometheus for it."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from deploy.generate import DASHBOARDS

Document: TypeAlias = Mapping[str, Any]
"""A dashboard's JSON, or a part of it."""

FOLDER = Path(__file__).parents[2] / DASHBOARDS

ALL = "$__all"
"""What Grafana keeps as the value of a variable whose All is chosen."""

BUILT_IN = frozenset({"__all", "__data", "__field", "__rate_interval", "__url_time_range", "__value"})
"""The variables of Grafana's own that the dashboards may use."""

_REFERENCE = re.compile(r"\$(?P<bare>\w+)|\$\{(?P<name>\w+)(?:\.[^:}]+)?(?::\w+)?\}")
_LABEL_VALUES = re.compile(r"label_values\((?P<selector>.+), (?P<label>\w+)\)")
_REGEX_CHARACTERS = re.compile(r"[$^*{}\[\]'+?.()|\\]")


@dataclass(frozen=True)
class Target:
    """A query: of a panel, or of an annotation."""

    where: str
    """What it belongs to, for people."""
    ref_id: str
    expr: str
    legend: str
    instant: bool
    """Asked for a moment; else for a span."""
    datasource: Document | None


@dataclass(frozen=True)
class Override:
    """What differs for some of a panel's fields."""

    matcher: str
    """Grafana's name for the way in which fields are chosen."""
    fields: str
    """Which ones."""
    properties: Document


@dataclass(frozen=True)
class Place:
    """Where a panel stands on the grid."""

    x: int
    y: int
    width: int
    height: int

    def overlaps(self, other: "Place") -> bool:
        """Whether the two share a cell."""
        return (
            self.x < other.x + other.width
            and other.x < self.x + self.width
            and self.y < other.y + other.height
            and other.y < self.y + self.height
        )


@dataclass(frozen=True)
class Panel:
    """A panel, or the title of a row of them."""

    number: int
    kind: str
    title: str
    description: str
    place: Place
    unit: str | None
    datasource: Document | None
    targets: tuple[Target, ...]
    overrides: tuple[Override, ...]
    columns: tuple[str, ...]
    """The fields that a table shows, by their names."""
    order: tuple[str, ...]
    """The fields that a table puts in order."""
    sorted_by: tuple[str, ...]
    """The fields that a table's rows are sorted by, as they are called in its head."""
    document: Document

    @property
    def is_row(self) -> bool:
        """Whether it is only a title above other panels."""
        return self.kind == "row"


@dataclass(frozen=True)
class Variable:
    """A variable, which people choose values of."""

    name: str
    label: str
    kind: str
    query: str
    datasource: Document | None
    multi: bool
    include_all: bool
    all_value: str | None
    refresh: int | None

    @property
    def selector(self) -> str:
        """The PromQL in its query; empty where the query is not of a form that we know."""
        found = _LABEL_VALUES.fullmatch(self.query)
        return found["selector"] if found else ""

    @property
    def values_of(self) -> str:
        """The label whose values it takes; empty where the query is not of a form that we know."""
        found = _LABEL_VALUES.fullmatch(self.query)
        return found["label"] if found else ""


@dataclass(frozen=True)
class Dashboard:
    """A dashboard."""

    uid: str
    variables: tuple[Variable, ...]
    annotations: tuple[Target, ...]
    panels: tuple[Panel, ...]
    document: Document

    @property
    def targets(self) -> tuple[Target, ...]:
        """The queries of all panels and annotations."""
        return (*(target for panel in self.panels for target in panel.targets), *self.annotations)

    def variable(self, name: str) -> Variable | None:
        """The variable of this name, if there is one."""
        return next((variable for variable in self.variables if variable.name == name), None)

    def panel(self, title: str) -> Panel:
        """The panel with this title, which only one has."""
        (found,) = (panel for panel in self.panels if panel.title == title)
        return found


class Complaint(NamedTuple):
    """Something that is wrong with a dashboard."""

    where: str
    """A panel, a query or a variable; empty for the dashboard itself."""
    what: str


Check: TypeAlias = Callable[[Dashboard], Iterator[Complaint]]


def committed() -> dict[str, Dashboard]:
    """The dashboards that ship, by the names of their files."""
    return {file.name: read(json.loads(file.read_text(encoding="utf-8"))) for file in sorted(FOLDER.glob("*.json"))}


def read(document: Document) -> Dashboard:
    """What a dashboard's JSON says."""
    return Dashboard(
        uid=document["uid"],
        variables=tuple(map(_variable, document["templating"]["list"])),
        annotations=tuple(map(_annotation, document["annotations"].get("list", []))),
        panels=tuple(map(_panel, document["panels"])),
        document=document,
    )


def _variable(document: Document) -> Variable:
    return Variable(
        name=document["name"],
        label=document.get("label", ""),
        kind=document["type"],
        query=document.get("query", ""),
        datasource=document.get("datasource"),
        multi=document.get("multi", False),
        include_all=document.get("includeAll", False),
        all_value=document.get("allValue"),
        refresh=document.get("refresh"),
    )


def _annotation(document: Document) -> Target:
    return Target(
        f"annotation {document['name']}", "", document["target"]["expr"], "", False, document.get("datasource")
    )


def _panel(document: Document) -> Panel:
    place, title = document["gridPos"], document.get("title", "")
    fields = document.get("fieldConfig", {})
    transformations = {found["id"]: found["options"] for found in document.get("transformations", [])}
    return Panel(
        number=document["id"],
        kind=document["type"],
        title=title,
        description=document.get("description", ""),
        place=Place(place["x"], place["y"], place["w"], place["h"]),
        unit=fields.get("defaults", {}).get("unit"),
        datasource=document.get("datasource"),
        targets=tuple(_target(title, target) for target in document.get("targets", [])),
        overrides=tuple(map(_override, fields.get("overrides", []))),
        columns=tuple(transformations.get("filterFieldsByName", {}).get("include", {}).get("names", [])),
        order=tuple(transformations.get("organize", {}).get("indexByName", {})),
        sorted_by=tuple(found["displayName"] for found in document.get("options", {}).get("sortBy", [])),
        document=document,
    )


def _target(title: str, document: Document) -> Target:
    where = f"{title}, {document['refId']}"
    legend, instant = document.get("legendFormat", ""), document.get("instant", False)
    return Target(where, document["refId"], document["expr"], legend, instant, document.get("datasource"))


def _override(document: Document) -> Override:
    matcher = document["matcher"]
    properties = {found["id"]: found["value"] for found in document["properties"]}
    return Override(matcher["id"], matcher["options"], properties)


def texts(part: object) -> Iterator[str]:
    """Every text in a part of a dashboard's JSON; keys are not among them."""
    if isinstance(part, str):
        yield part
    elif isinstance(part, Mapping):
        for value in part.values():
            yield from texts(value)
    elif isinstance(part, Sequence):
        for value in part:
            yield from texts(value)


def references(text: str) -> set[str]:
    """The names of the variables that a text uses."""
    return {found["bare"] or found["name"] for found in _REFERENCE.finditer(text)}


@dataclass(frozen=True)
class Chosen:
    """The values that are chosen of a variable."""

    variable: Variable
    values: tuple[str, ...]
    """At least one; or `ALL` alone."""
    options: tuple[str, ...]
    """Those that there are."""

    def written(self) -> str:
        """The values as the data source for Prometheus writes them into a query."""
        values = self.values
        if values == (ALL,):
            if self.variable.all_value is not None:
                return self.variable.all_value
            values = self.options
        if self.variable.multi or self.variable.include_all:
            # One backslash for the regular expression, and another for the text in which it stands.
            return _alternatives([_REGEX_CHARACTERS.sub(lambda found: _in_text("\\" + found[0]), v) for v in values])
        (value,) = values
        return _in_text(value)


def _in_text(value: str) -> str:
    """As it stands between double quotes in PromQL."""
    return value.replace("\\", r"\\").replace('"', r"\"")


def _alternatives(values: Sequence[str]) -> str:
    return values[0] if len(values) == 1 else f"({'|'.join(values)})"


def substituted(text: str, choices: Mapping[str, Chosen], rate_interval: str = "1m") -> str:
    """The text with values in place of variables; what is no variable stays, as it does in Grafana."""

    def value(found: re.Match[str]) -> str:
        name = found["bare"] or found["name"]
        if name == "__rate_interval":
            return rate_interval
        return choices[name].written() if name in choices else found[0]

    return _REFERENCE.sub(value, text)
