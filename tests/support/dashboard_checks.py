"""What a dashboard must not be without: the rules of Grafana's dashboard-linter, and further ones.

Each check yields what is wrong with a dashboard; nothing where all is well.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import combinations
from urllib.parse import parse_qsl, urlsplit

from dashboards import BUILT_IN, Check, Complaint, Dashboard, Override, Panel, references, texts
from promql_parser import VectorSelector
from query_checks import (
    METRICS,
    counters,
    instance_matchers,
    job_matchers,
    metrics,
    parsed,
    promql,
    rate_intervals,
)

from exporter.heartbeat import Signal, Status
from exporter.metrics.catalogue import OF_EXPORTER, OF_HEARTBEATS

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS_OF_GRID = 24

UNITS = frozenset(
    {"none", "short", "percentunit", "bytes", "s", "dtdurations", "dateTimeFromNow", "dateTimeAsIso", "reqps"}
)
"""Those of Grafana's units, by its ids, that the dashboards may use."""

_LABELS = frozenset({"alertname", "heartbeat", "instance", "job", "severity", "team"}).union(
    *(metric.labels for metric in (*OF_HEARTBEATS, *OF_EXPORTER))
)
_SERIES_BY_LEGEND = {"{{signal}}": frozenset(Signal), "{{status}}": frozenset(Status)}
"""The names of a panel's series where its legend is this one."""


def _repeated(values: Iterable[object]) -> list[str]:
    return [str(value) for value, count in Counter(values).items() if count > 1]


def _titled(dashboard: Dashboard) -> Iterator[tuple[str, Panel]]:
    """The panels that show something, each with how it is called in complaints."""
    for panel in dashboard.panels:
        if not panel.is_row:
            yield panel.title or f"panel {panel.number}", panel


def datasource_variable(dashboard: Dashboard) -> Iterator[Complaint]:
    """The data source is chosen by one variable."""
    found = [(v.name, v.label, v.query) for v in dashboard.variables if v.kind == "datasource"]
    if found != [("datasource", "Data source", "prometheus")]:
        yield Complaint("", f"has these variables for data sources: {found}")


def datasources(dashboard: Dashboard) -> Iterator[Complaint]:
    """All that asks anything asks the data source that was chosen."""
    holders = [
        *((name, panel.datasource) for name, panel in _titled(dashboard)),
        *((target.where, target.datasource) for target in dashboard.targets),
        *((f"${v.name}", v.datasource) for v in dashboard.variables if v.kind in {"query", "adhoc"}),
    ]
    for where, datasource in holders:
        if datasource != DATASOURCE:
            yield Complaint(where, f"has the data source {datasource}")


def _target_variable(dashboard: Dashboard, name: str) -> Iterator[Complaint]:
    variable = dashboard.variable(name)
    if variable is None:
        yield Complaint("", f"has no variable {name}")
        return
    expected = {"kind": "query", "label": name.title(), "multi": True, "include_all": True, "all_value": ".+"}
    for attribute, value in expected.items():
        if (found := getattr(variable, attribute)) != value:
            yield Complaint(f"${name}", f"has {attribute} {found!r}, not {value!r}")


def job_variable(dashboard: Dashboard) -> Iterator[Complaint]:
    """Jobs can be chosen."""
    return _target_variable(dashboard, "job")


def instance_variable(dashboard: Dashboard) -> Iterator[Complaint]:
    """Instances can be chosen."""
    return _target_variable(dashboard, "instance")


def variable_queries(dashboard: Dashboard) -> Iterator[Complaint]:
    """A variable has the values of its own label on series that exist."""
    for variable in dashboard.variables:
        if variable.kind == "query":
            where = f"${variable.name}"
            if not variable.selector:
                yield Complaint(where, f"has a query other than label_values(series, label): {variable.query}")
            elif variable.values_of != variable.name:
                yield Complaint(where, f"has the values of {variable.values_of}")
            elif isinstance(expr := parsed(variable.selector), str):
                yield Complaint(where, f"is no PromQL: {expr}")
            elif not isinstance(expr, VectorSelector) or expr.name not in METRICS:
                yield Complaint(where, f"takes its values from {variable.selector}")


def variables_of_the_job(dashboard: Dashboard) -> Iterator[Complaint]:
    """Of what can be chosen after the job, only what the job has is shown."""
    for variable in dashboard.variables:
        if variable.kind == "query" and variable.name != "job" and 'job=~"$job"' not in variable.query:
            yield Complaint(f"${variable.name}", "has values of all jobs")


def variables_are_fresh(dashboard: Dashboard) -> Iterator[Complaint]:
    """A variable has the values that there are in the time that is shown."""
    for variable in dashboard.variables:
        if variable.kind == "query" and variable.refresh != 2:
            yield Complaint(f"${variable.name}", f"is refreshed by {variable.refresh}, not by 2")


def titles(dashboard: Dashboard) -> Iterator[Complaint]:
    """Everything says what it shows."""
    if not all(dashboard.document.get(key) for key in ("title", "description")):
        yield Complaint("", "lacks a title or a description")
    for panel in dashboard.panels:
        if not panel.title:
            yield Complaint(f"panel {panel.number}", "has no title")
        if not panel.description and not panel.is_row:
            yield Complaint(panel.title or f"panel {panel.number}", "has no description")
    for title in _repeated(panel.title for panel in dashboard.panels):
        yield Complaint(title, "is the title of several panels")


def units(dashboard: Dashboard) -> Iterator[Complaint]:
    """Every panel says what its numbers are."""
    for where, panel in _titled(dashboard):
        differing = [override.properties["unit"] for override in panel.overrides if "unit" in override.properties]
        for unit in (panel.unit, *differing):
            if unit not in UNITS:
                yield Complaint(where, f"has the unit {unit}")


def targets(dashboard: Dashboard) -> Iterator[Complaint]:
    """Every panel asks something."""
    for where, panel in _titled(dashboard):
        if not panel.targets:
            yield Complaint(where, "has no query")


def ref_ids(dashboard: Dashboard) -> Iterator[Complaint]:
    """A panel's queries have names of their own."""
    for where, panel in _titled(dashboard):
        for ref_id in _repeated(target.ref_id for target in panel.targets):
            yield Complaint(where, f"has several queries {ref_id}")


def not_editable(dashboard: Dashboard) -> Iterator[Complaint]:
    """What was changed in Grafana would be lost."""
    if dashboard.document["editable"] is not False:
        yield Complaint("", "can be edited")


def portable(dashboard: Dashboard) -> Iterator[Complaint]:
    """Files are provisioned as they are: nothing in them is of one Grafana, and nothing has to be filled in."""
    for key in sorted({"__elements", "__inputs", "__requires", "id", "version"} & dashboard.document.keys()):
        yield Complaint("", f"has {key}")


def numbers(dashboard: Dashboard) -> Iterator[Complaint]:
    """A panel can be linked to by its number."""
    for number in _repeated(panel.number for panel in dashboard.panels):
        yield Complaint("", f"has several panels with the number {number}")


def grid(dashboard: Dashboard) -> Iterator[Complaint]:
    """No panel covers another, or is cut off."""
    for panel in dashboard.panels:
        place = panel.place
        if min(place.x, place.y) < 0 or min(place.width, place.height) < 1 or place.x + place.width > COLUMNS_OF_GRID:
            yield Complaint(panel.title, f"does not stand on the grid: {place}")
    for panel, other in combinations(dashboard.panels, 2):
        if panel.place.overlaps(other.place):
            yield Complaint(panel.title, f"overlaps {other.title}")


def variables_exist(dashboard: Dashboard) -> Iterator[Complaint]:
    """Every variable that is used can be chosen, or is Grafana's."""
    known = BUILT_IN.union(variable.name for variable in dashboard.variables)
    for text in texts(dashboard.document):
        for name in sorted(references(text) - known):
            yield Complaint("", f"uses ${name}, which is no variable")


def variables_are_used(dashboard: Dashboard) -> Iterator[Complaint]:
    """What can be chosen changes what is shown."""
    shown = [*(panel.document for panel in dashboard.panels), *(note.expr for note in dashboard.annotations)]
    used = set().union(*(references(text) for text in texts(shown)))
    for variable in dashboard.variables:
        # Grafana itself applies filters on any label to every query.
        if variable.kind != "adhoc" and variable.name not in used:
            yield Complaint(f"${variable.name}", "is used by nothing that is shown")


def _possible(panel: Panel, override: Override) -> bool:
    ref_ids = {target.ref_id for target in panel.targets}
    if override.matcher == "byFrameRefID":
        return override.fields in ref_ids
    if override.matcher != "byName":
        return False
    if panel.kind == "table":
        values = {f"Value #{ref_id}" for ref_id in ref_ids} if len(ref_ids) > 1 else {"Value"}
        return override.fields in values | _LABELS
    names = (_SERIES_BY_LEGEND.get(target.legend, {target.legend}) for target in panel.targets)
    return any(override.fields in series for series in names)


def overrides(dashboard: Dashboard) -> Iterator[Complaint]:
    """What is said of single fields is said of fields that can be there."""
    for where, panel in _titled(dashboard):
        for override in panel.overrides:
            if not _possible(panel, override):
                yield Complaint(where, f"says something of {override.matcher} {override.fields}")


def columns(dashboard: Dashboard) -> Iterator[Complaint]:
    """A table's columns are named and put in order, and what refers to one refers to one that is there."""
    for where, panel in _titled(dashboard):
        if panel.kind == "table":
            named = {o.fields: str(o.properties.get("displayName", o.fields)) for o in panel.overrides}
            if not panel.columns or panel.order != panel.columns or tuple(named) != panel.columns:
                yield Complaint(where, "has columns without a name or without a place")
            for name in sorted(set(panel.sorted_by) - set(named.values())):
                yield Complaint(where, f"is sorted by {name}")
        linked = {name for text in texts(panel.document) for name in re.findall(r"__data\.fields\.(\w+)", text)}
        for name in sorted(linked - set(panel.columns)):
            yield Complaint(where, f"links by the field {name}, which is no column")


def leads_to(dashboards: Iterable[Dashboard]) -> Check:
    """Links lead to these dashboards, and set only variables that are there and can take as many values."""
    by_uid = {dashboard.uid: dashboard for dashboard in dashboards}

    def check(dashboard: Dashboard) -> Iterator[Complaint]:
        for link in dashboard.document["links"]:
            if link["includeVars"]:
                yield Complaint(link["title"], "takes along variables that mean something else there")
        for url in (text for text in texts(dashboard.document) if text.startswith("/d/")):
            split = urlsplit(re.sub(r"\$\{(\w+):queryparam\}", r"var-\1=${\1}", url))
            aim = by_uid.get(split.path.removeprefix("/d/"))
            if aim is None:
                yield Complaint("", f"links to {split.path}, which does not exist")
                continue
            settings = dict(parse_qsl(split.query))
            if "var-datasource" not in settings:
                yield Complaint("", f"links to {split.path} on whatever data source is the first there")
            for name, value in settings.items():
                variable, own = aim.variable(name.removeprefix("var-")), dashboard.variable(value.strip("${}"))
                if variable is None:
                    yield Complaint("", f"sets {name}, which {split.path} does not have")
                elif own and own.include_all and not variable.include_all:
                    yield Complaint("", f"sets {name} to what may be all, of which {split.path} shows one")

    return check


CHECKS: tuple[Check, ...] = (
    datasource_variable,
    datasources,
    job_variable,
    instance_variable,
    variable_queries,
    variables_of_the_job,
    variables_are_fresh,
    titles,
    units,
    targets,
    ref_ids,
    promql,
    rate_intervals,
    counters,
    metrics,
    job_matchers,
    instance_matchers,
    not_editable,
    portable,
    numbers,
    grid,
    variables_exist,
    variables_are_used,
    overrides,
    columns,
)
"""Those that need no other dashboard than the one that they look at."""
