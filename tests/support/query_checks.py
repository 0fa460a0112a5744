"""What the queries of a dashboard must not be without: those rules of Grafana's dashboard-linter, and further ones."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import yaml
from dashboards import Complaint, Dashboard, Target
from promql_parser import Call, Expr, Matcher, MatchOp, MatrixSelector, VectorSelector, parse, walk

from deploy.generate import RULES
from exporter.metrics.catalogue import OF_EXPORTER, OF_HEARTBEATS, Type

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
