"""What the dashboards are made of: data source, variables, panels in one style, and their places on the grid."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol, Self, TypeAlias

from grafana_foundation_sdk.builders.common import (
    ReduceDataOptions,
    StackingConfig,
    VizLegendOptions,
    VizTooltipOptions,
)
from grafana_foundation_sdk.builders.dashboard import (
    AdHocVariable,
    Dashboard,
    DashboardLink,
    DatasourceVariable,
    FieldColor,
    QueryVariable,
    Row,
    ThresholdsConfig,
)
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.builders.stat import Panel as StatPanel
from grafana_foundation_sdk.builders.statetimeline import Panel as StateTimelinePanel
from grafana_foundation_sdk.builders.table import Panel as TablePanel
from grafana_foundation_sdk.builders.timeseries import Panel as TimeseriesPanel
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery as Query
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    BigValueTextMode,
    FieldTextAlignment,
    GraphDrawStyle,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from deploy.grafana.queries import CODES
from exporter.heartbeat import Status

DATASOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")

OVERVIEW = "heartbeat-overview"
DETAIL = "heartbeat-detail"
EXPORTER = "heartbeat-exporter"
"""The dashboards' uids. Alerts and people's bookmarks hold them: they never change."""

TITLES = {OVERVIEW: "Heartbeats", DETAIL: "Heartbeat", EXPORTER: "Heartbeat exporter"}

TAG = "heartbeat"
WIDTH = 24
"""Columns of Grafana's grid."""

COLORS = {
    Status.UP: "green",
    Status.NEW: "purple",
    Status.LATE: "yellow",
    Status.FAILED: "orange",
    Status.OVERDUE: "red",
    Status.PAUSED: "blue",
}


class _AlertMarks(models.AnnotationQuery):
    """Marks as Grafana's Prometheus data source reads them: the SDK knows neither this target nor ``titleFormat``."""

    def to_json(self) -> dict[str, object]:
        # Newer versions of Grafana ask by `target`, older ones by `expr`, which the SDK writes.
        return super().to_json() | {"target": {"expr": self.expr, "refId": "Anno"}, "titleFormat": "{{alertname}}"}


class AlertMarks(Builder[models.AnnotationQuery]):
    """Marks in the graphs for as long as alerts fire, titled with the alert's name."""

    def __init__(self, name: str, color: str, expr: str) -> None:
        self._marks = _AlertMarks(name=name, datasource=DATASOURCE, icon_color=color, expr=expr)

    def build(self) -> models.AnnotationQuery:
        return self._marks


class PanelBuilder(Protocol):
    """What all builders of panels share."""

    def id(self, id_val: int) -> Self: ...
    def grid_pos(self, grid_pos: models.GridPos) -> Self: ...
    def build(self) -> models.Panel: ...


class Shelf(NamedTuple):
    """Panels of one height side by side, with a row's title above them or none."""

    title: str
    height: int
    panels: list[tuple[int, PanelBuilder]]
    """Each with its width; together `WIDTH`."""


Property: TypeAlias = tuple[str, object]


def lay_out(dashboard: Dashboard, shelves: Iterable[Shelf]) -> Dashboard:
    """The dashboard with the panels on the grid, numbered in the order in which they are read."""
    number, y = 0, 0
    for shelf in shelves:
        if shelf.title:
            number += 1
            dashboard.with_row(Row(shelf.title).id(number).grid_pos(models.GridPos(h=1, w=WIDTH, x=0, y=y)))
            y += 1
        x = 0
        for width, panel in shelf.panels:
            number += 1
            placed = panel.id(number).grid_pos(models.GridPos(h=shelf.height, w=width, x=x, y=y))
            dashboard.with_panel(_Placed(placed))
            x += width
        y += shelf.height
    return dashboard


class _Placed(Builder[models.Panel]):
    """A panel whose place `Dashboard.with_panel` is not to change."""

    def __init__(self, panel: PanelBuilder) -> None:
        self._panel = panel

    def build(self) -> models.Panel:
        return self._panel.build()


def begin(uid: str, description: str, since: str, variables: list[Builder[models.VariableModel]]) -> Dashboard:
    """A dashboard without panels yet, that shows the time since ``since`` and links to the other two."""
    dashboard = (
        Dashboard(TITLES[uid])
        .uid(uid)
        .description(description)
        .tags([TAG])
        .readonly()
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .time(since, "now")
        .refresh("1m")
        .timezone("browser")
        .variables([DatasourceVariable("datasource").label("Data source").type("prometheus"), *variables])
    )
    for other, title in TITLES.items():
        if other != uid:
            # Not all variables: the dashboard of one heartbeat does not know what to do with all of them.
            url = f"/d/{other}?${{datasource:queryparam}}&${{job:queryparam}}"
            dashboard.link(DashboardLink(title).type(models.DashboardLinkType.LINK).url(url).keep_time(True))
    return dashboard


def label_variable(name: str, label: str, metric: str, *, every: str = "") -> QueryVariable:
    """A variable with the values that a label has on a metric; several may be chosen, and all are at first.

    ``every`` is the expression that stands for all of them: ``.*`` where series may lack the label. Without one it is
    the values themselves, which is right where queries ask for what other jobs have as well.
    """
    variable = single_variable(name, label, metric).multi(True).include_all(True)
    if every:
        variable = variable.all_value(every)
    return variable.current(models.VariableOption(selected=True, text="All", value="$__all"))


def single_variable(name: str, label: str, metric: str) -> QueryVariable:
    """A variable with the values that a label has on a metric, of which one is chosen."""
    return (
        QueryVariable(name)
        .label(label)
        .datasource(DATASOURCE)
        .query(f"label_values({metric}, {name})")
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
    )


def own_labels() -> AdHocVariable:
    """A filter by whatever labels the heartbeats have."""
    return AdHocVariable("filters").label("Other labels").datasource(DATASOURCE)


def graph(expr: str, legend: str = "") -> Dataquery:
    """A query over the time that the dashboard shows."""
    return Dataquery().datasource(DATASOURCE).expr(expr).range().legend_format(legend or "__auto")


def now(expr: str, legend: str = "") -> Dataquery:
    """A query for how things are now, one value per series."""
    return Dataquery().datasource(DATASOURCE).expr(expr).instant().legend_format(legend or "__auto")


def row_of(expr: str) -> Dataquery:
    """A query for how things are now, as a table's rows: a column for each label and one for the value."""
    return now(expr).format(PromQueryFormat.TABLE)


def named(queries: Iterable[Dataquery]) -> list[Builder[Query]]:
    """The queries with the names A, B, C and so on."""
    return [query.ref_id(chr(ord("A") + position)) for position, query in enumerate(queries)]


def stat(title: str, description: str, unit: str, *queries: Dataquery) -> StatPanel:
    """Numbers as they are now."""
    return (
        StatPanel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .targets(named(queries))
        .unit(unit)
        .thresholds(steps({None: "text"}))
        .graph_mode(BigValueGraphMode.NONE)
        .color_mode(BigValueColorMode.VALUE)
        .text_mode(BigValueTextMode.VALUE_AND_NAME if len(queries) > 1 else BigValueTextMode.VALUE)
        .reduce_options(ReduceDataOptions().calcs(["lastNotNull"]).values(False).fields(""))
        .no_value("–")
    )


def _legend() -> VizLegendOptions:
    below = VizLegendOptions().display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM)
    return below.show_legend(True).calcs([])


def lines(title: str, description: str, unit: str, *queries: Dataquery, below_zero: bool = False) -> TimeseriesPanel:
    """Values over time, as lines; what lies below zero is cut off unless asked for."""
    panel = TimeseriesPanel() if below_zero else TimeseriesPanel().min(0)
    return (
        panel.title(title)
        .description(description)
        .datasource(DATASOURCE)
        .targets(named(queries))
        .unit(unit)
        .line_width(1)
        .fill_opacity(10)
        .show_points(VisibilityMode.NEVER)
        .legend(_legend())
        .tooltip(VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))
    )


def bars(title: str, description: str, unit: str, *queries: Dataquery) -> TimeseriesPanel:
    """Counts over time, as bars on top of one another."""
    return (
        lines(title, description, unit, *queries)
        .interval("1m")  # with a finer step, $__rate_interval spans several and a ping stands in each of them
        .draw_style(GraphDrawStyle.BARS)
        .fill_opacity(80)
        .stacking(StackingConfig().mode(StackingMode.NORMAL).group("A"))
    )


def timeline(title: str, description: str, *queries: Dataquery) -> StateTimelinePanel:
    """States over time, a strip for each series."""
    return (
        StateTimelinePanel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .targets(named(queries))
        .unit("none")
        .color_scheme(FieldColor().mode(models.FieldColorModeId.THRESHOLDS))
        .show_value(VisibilityMode.NEVER)
        .line_width(0)
        .fill_opacity(70)
        .merge_values(True)
        .legend(_legend())
        .tooltip(VizTooltipOptions().mode(TooltipDisplayMode.SINGLE).sort(SortOrder.NONE))
    )


def table(title: str, description: str, columns: Mapping[str, list[Property]], *queries: Dataquery) -> TablePanel:
    """The queries' rows, those of the same labels as one, with these columns in this order.

    A column is named as Grafana names the field: a label's name, or ``Value #A`` for the value of the first of several
    queries and ``Value`` for that of a single one. What is not named is not shown.
    """
    order = {name: position for position, name in enumerate(columns)}
    panel = (
        TablePanel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .targets(named(queries))
        .unit("none")
        .align(FieldTextAlignment.AUTO)
        .no_value("–")
        .with_transformation(models.DataTransformerConfig(id_val="merge", options={}))
        .with_transformation(
            models.DataTransformerConfig(id_val="filterFieldsByName", options={"include": {"names": list(columns)}})
        )
        .with_transformation(
            models.DataTransformerConfig(
                id_val="organize", options={"excludeByName": {}, "indexByName": order, "renameByName": {}}
            )
        )
    )
    for name, properties in columns.items():
        panel.override_by_name(name, override(*properties))
    return panel


def override(*properties: Property) -> list[models.DynamicConfigValue]:
    """Properties of a field that differ from the panel's."""
    return [models.DynamicConfigValue(id_val=name, value=value) for name, value in properties]


def link(title: str, url: str) -> Property:
    """A link on a field's values."""
    return "links", [{"title": title, "url": url}]


def to_detail(heartbeat: str, job: str) -> Property:
    """A link on a field's values to the dashboard of a heartbeat, where these stand for its name and its job."""
    filters = f"var-datasource=${{datasource}}&var-job={job}&var-heartbeat={heartbeat}"
    return link("Show this heartbeat", f"/d/{DETAIL}?{filters}&${{__url_time_range}}")


def steps(colors: Mapping[float | None, str]) -> ThresholdsConfig:
    """Colours by the value from which on they hold; the first from None on."""
    thresholds = [models.Threshold(value=value, color=color) for value, color in colors.items()]
    return ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(thresholds)


def shown_as(texts: Mapping[int, tuple[str, str]]) -> list[models.ValueMapping]:
    """Numbers shown as texts, each in its colour."""
    options = {
        str(number): models.ValueMappingResult(text=text, color=color, index=position)
        for position, (number, (text, color)) in enumerate(texts.items())
    }
    return [models.ValueMap(options=options)]


STATUS_TEXTS = shown_as({code: (status.value, COLORS[status]) for status, code in CODES.items()})
"""Numbers of `CODES` as words."""

NEVER_TEXT = shown_as({0: ("never", "text")})
"""For moments, where 0 stands for never."""

FROM_NOW: Property = ("unit", "dateTimeFromNow")
"""A moment in milliseconds, shown as words: 3 hours ago."""
