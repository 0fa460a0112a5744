"""What a dashboard must not be without: the rules of Grafana's dashboard-linter, and further ones.

Each check yields what is wrong with a dashboard; nothing where all is well.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from itertools import combinations
from pathlib import Path
from typing import NamedTuple, TypeAlias
from urllib.parse import parse_qsl, urlsplit

import yaml
from dashboards import BUILT_IN, Dashboard, Override, Panel, Target, references, texts
from promql_parser import Call, Expr, Matcher, MatchOp, MatrixSelector, VectorSelector, parse, walk

from deploy.generate import RULES
from exporter.heartbeat import Signal, Status
from exporter.metrics.catalogue import OF_EXPORTER, OF_HEARTBEATS, Type

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS_OF_GRID = 24

UNITS = frozenset(
    {"none", "short", "percentunit", "bytes", "s", "dtdurations", "dateTimeFromNow", "dateTimeAsIso", "reqps"}
)
"""Those of Grafana's units, by its ids, that the dashboards may use."""

RATES = frozenset({"rate", "irate", "increase"})
RATE_INTERVAL = timedelta(seconds=677)
"""Stands for $__rate_interval, as no range is written like this."""

OF_PROCESS = frozenset(
    {
        "process_cpu_seconds_total",
        "process_max_fds",
        "process_open_fds",
        "process_resident_memory_bytes",
        "process_start_time_seconds",
        "process_virtual_memory_bytes",
        "python_info",
    }
)
"""What prometheus_client shows of every process, and Linux lets it know."""

OF_PROMETHEUS = frozenset({"ALERTS", "ALERTS_FOR_STATE", "up"})

_HISTOGRAM_PARTS = frozenset(
    f"{metric.name}_{part}"
    for metric in OF_EXPORTER
    if metric.type is Type.HISTOGRAM
    for part in ("bucket", "count", "sum")
)
_COUNTERS = _HISTOGRAM_PARTS | {metric.name for metric in (*OF_HEARTBEATS, *OF_EXPORTER) if metric.type is Type.COUNTER}
_RECORDED = frozenset(
    rule["record"]
    for group in yaml.safe_load((Path(__file__).parents[2] / RULES).read_text())["groups"]
    for rule in group["rules"]
    if "record" in rule
)
METRICS = (
    frozenset(metric.name for metric in (*OF_HEARTBEATS, *OF_EXPORTER) if metric.type is not Type.HISTOGRAM)
    | _HISTOGRAM_PARTS
    | _RECORDED
    | OF_PROCESS
    | OF_PROMETHEUS
)

_LABELS = frozenset({"alertname", "heartbeat", "instance", "job", "severity", "team"}).union(
    *(metric.labels for metric in (*OF_HEARTBEATS, *OF_EXPORTER))
)
_SERIES_BY_LEGEND = {"{{signal}}": frozenset(Signal), "{{status}}": frozenset(Status)}
"""The names of a panel's series where its legend is this one."""


class Complaint(NamedTuple):
    """Something that is wrong with a dashboard."""

    where: str
    """A panel, a query or a variable; empty for the dashboard itself."""
    what: str


Check: TypeAlias = Callable[[Dashboard], Iterator[Complaint]]


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


def parsed(query: str) -> Expr | str:
    """A query as PromQL; or what is wrong with it."""
    text = query.replace("$__rate_interval", f"{RATE_INTERVAL.seconds}s")
    try:
        return parse(text)
    except ValueError as error:
        return str(error)


def promql(dashboard: Dashboard) -> Iterator[Complaint]:
    """Every query is PromQL."""
    for target in dashboard.targets:
        if isinstance(expr := parsed(target.expr), str):
            yield Complaint(target.where, f"is no PromQL: {expr}")


def _nodes(target: Target) -> Iterator[tuple[Expr, Sequence[Expr]]]:
    """Every part of a query, with those that it stands in, the nearest last; none where it is no PromQL."""
    found: list[tuple[Expr, Sequence[Expr]]] = []
    around: list[Expr] = []

    def enter(expr: Expr) -> None:
        found.append((expr, tuple(around)))
        around.append(expr)

    def leave(_: Expr) -> None:
        around.pop()

    expr = parsed(target.expr)
    if isinstance(expr, Expr):
        walk(expr, enter, leave)
    yield from found


def _selectors(target: Target) -> Iterator[tuple[VectorSelector, Sequence[Expr]]]:
    for expr, around in _nodes(target):
        if isinstance(expr, VectorSelector):
            yield expr, around


def _is_rate(expr: Expr) -> bool:
    return isinstance(expr, Call) and expr.func.name in RATES


def rate_intervals(dashboard: Dashboard) -> Iterator[Complaint]:
    """Rates are taken over as long as a step and a few scrapes take."""
    for target in dashboard.targets:
        for expr, _ in _nodes(target):
            if isinstance(expr, Call) and _is_rate(expr):
                (over,) = expr.args
                if not isinstance(over, MatrixSelector) or over.range != RATE_INTERVAL:
                    yield Complaint(target.where, f"has a {expr.func.name} that is not over [$__rate_interval]")


def counters(dashboard: Dashboard) -> Iterator[Complaint]:
    """Of a counter only its growth is shown, and growth is shown only of counters."""
    for target in dashboard.targets:
        for selector, around in _selectors(target):
            name = selector.name or ""
            is_counter = name in _COUNTERS or name.endswith("_total")
            if is_counter != (len(around) > 1 and _is_rate(around[-2])):
                yield Complaint(target.where, f"does not ask for the growth of {name}, or it is no counter")


def metrics(dashboard: Dashboard) -> Iterator[Complaint]:
    """Only what exists is asked for."""
    for target in dashboard.targets:
        for selector, _ in _selectors(target):
            if selector.name not in METRICS:
                yield Complaint(target.where, f"asks for {selector.name}, which does not exist")


def _matches(matcher: Matcher, name: str) -> bool:
    return (matcher.op, matcher.name, matcher.value) == (MatchOp.Re, name, f"${name}")


def _unmatched(dashboard: Dashboard, name: str) -> Iterator[Complaint]:
    for target in dashboard.targets:
        for selector, _ in _selectors(target):
            if not any(_matches(matcher, name) for matcher in selector.matchers.matchers):
                yield Complaint(target.where, f'asks for series without {name}=~"${name}"')


def job_matchers(dashboard: Dashboard) -> Iterator[Complaint]:
    """Only the chosen jobs are asked for."""
    return _unmatched(dashboard, "job")


def instance_matchers(dashboard: Dashboard) -> Iterator[Complaint]:
    """Only the chosen instances are asked for."""
    return _unmatched(dashboard, "instance")


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
