"""The dashboard on one heartbeat: how it fares, how long its runs take, and how much grace it needs."""

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.builders.stat import Panel as StatPanel
from grafana_foundation_sdk.builders.statetimeline import Panel as StateTimelinePanel
from grafana_foundation_sdk.builders.table import Panel as TablePanel
from grafana_foundation_sdk.builders.timeseries import Panel as TimeseriesPanel
from grafana_foundation_sdk.models.common import BigValueColorMode, GraphDrawStyle, LineInterpolation, VisibilityMode

from deploy.grafana.parts import (
    DETAIL,
    NEVER_TEXT,
    STATUS_TEXTS,
    AlertMarks,
    Property,
    Shelf,
    bars,
    begin,
    graph,
    label_variable,
    lay_out,
    lines,
    link,
    now,
    override,
    row_of,
    shown_as,
    single_variable,
    stat,
    steps,
    table,
    timeline,
)
from deploy.grafana.queries import Heartbeats

ONE = Heartbeats('job=~"$job", heartbeat="$heartbeat"')

DASHED: Property = ("custom.lineStyle", {"fill": "dash", "dash": [10, 10]})

NEEDED_SPAN = "30d"
"""How far back the grace is looked into."""


def dashboard() -> Dashboard:
    """The dashboard Heartbeat."""
    begun = begin(
        DETAIL,
        "One job's story: its check-ins, failures and runs, and the grace that it needs.",
        "now-7d",
        [
            label_variable("job", "Job", "heartbeat_overdue", every=".+"),
            single_variable("heartbeat", "Heartbeat", 'heartbeat_overdue{job=~"$job"}'),
        ],
    )
    for name, color, alertname in (
        ("Overdue", "red", "HeartbeatOverdue"),
        ("Failed", "orange", "HeartbeatFailed.*"),
        ("Grace", "blue", "HeartbeatGrace.+"),
    ):
        firing = ONE.greatest("ALERTS", f'alertname=~"{alertname}"', 'alertstate="firing"')
        begun.annotation(AlertMarks(name, color, firing))
    return lay_out(
        begun,
        [
            Shelf(
                "", 4, [(4, panel) for panel in (status(), last_seen(), due(), time_left(), in_a_row(), exit_status())]
            ),
            Shelf("", 5, [(24, status_over_time())]),
            Shelf("Runs", 8, [(12, durations()), (12, check_ins())]),
            Shelf("", 6, [(24, exit_statuses())]),
            Shelf("Is the grace right?", 9, [(16, lateness()), (8, grace())]),
            Shelf("", 5, [(24, declared())]),
        ],
    )


def status() -> StatPanel:
    """Its status now."""
    return (
        stat("Status", "Its status now.", "none", now(ONE.status))
        .mappings(STATUS_TEXTS)
        .color_mode(BigValueColorMode.BACKGROUND_SOLID)
    )


def last_seen() -> StatPanel:
    """When its last ping came."""
    return stat(
        "Last seen",
        "When its last ping of any signal came.",
        "dateTimeFromNow",
        now(f"1000 * {ONE.greatest('heartbeat_last_seen_timestamp_seconds')}"),
    ).mappings(NEVER_TEXT)


def due() -> StatPanel:
    """When its next check-in is due."""
    return stat(
        "Next due",
        "When its next check-in is expected. None while it is paused, and when its calendar has ended.",
        "dateTimeFromNow",
        now(f"1000 * {ONE.greatest('heartbeat_due_timestamp_seconds')}"),
    )


def time_left() -> StatPanel:
    """How long until it is overdue."""
    return stat(
        "Time left",
        "How long until it is overdue; negative for as long as it has been. None while it is paused.",
        "dtdurations",
        now(ONE.time_left),
    ).thresholds(steps({None: "red", 0: "green"}))


def in_a_row() -> StatPanel:
    """How many failures since the last success."""
    return stat(
        "Failures in a row",
        "How many runs have failed since the last success.",
        "short",
        now(ONE.least("heartbeat_consecutive_failures")),
    ).thresholds(steps({None: "green", 1: "orange"}))


def exit_status() -> StatPanel:
    """The exit status that it sent last."""
    return stat(
        "Last exit status",
        "The last exit status that it sent. None if it sends none.",
        "none",
        now(ONE.greatest("heartbeat_last_exit_status")),
    ).thresholds(steps({None: "green", 1: "orange"}))


def status_over_time() -> StateTimelinePanel:
    """Its status and its runs over time."""
    return (
        timeline(
            "Status over time",
            "What became of it, and when a run was open. A gap is a time in which no exporter with a working store "
            "was scraped.",
            graph(ONE.status, "status"),
            graph(ONE.least("heartbeat_running"), "run"),
        )
        .mappings(STATUS_TEXTS)
        .override_by_query("B", override(("mappings", shown_as({0: ("–", "transparent"), 1: ("running", "purple")}))))
    )


def durations() -> TimeseriesPanel:
    """How long its runs took."""
    return (
        lines(
            "Duration of runs",
            "How long the last run took whose start and end are known, and how long a run may take. Empty unless the "
            "job sends a start signal.",
            "s",
            graph(ONE.greatest("heartbeat_last_duration_seconds"), "duration"),
            graph(ONE.greatest("heartbeat_max_runtime_seconds"), "max_runtime"),
        )
        .line_interpolation(LineInterpolation.STEP_AFTER)
        .override_by_name("max_runtime", override(DASHED, ("color", {"mode": "fixed", "fixedColor": "red"})))
    )


def check_ins() -> TimeseriesPanel:
    """What it reported over time."""
    return (
        bars(
            "Pings",
            "What it reported, in each interval of the graph: successes and failures, starts and logs.",
            "short",
            graph(f"sum by (signal) ({ONE.pings()})", "{{signal}}"),
        )
        .override_by_name("success", override(("color", {"mode": "fixed", "fixedColor": "green"})))
        .override_by_name("fail", override(("color", {"mode": "fixed", "fixedColor": "orange"})))
    )


def exit_statuses() -> TimeseriesPanel:
    """Its exit statuses over time."""
    return (
        lines(
            "Exit statuses",
            "The last exit status that it had sent at each moment: 0 is success. Empty if it sends none.",
            "none",
            graph(ONE.greatest("heartbeat_last_exit_status"), "exit status"),
        )
        .draw_style(GraphDrawStyle.POINTS)
        .show_points(VisibilityMode.ALWAYS)
        .axis_soft_max(2)
        .decimals(0)
    )


def lateness() -> TimeseriesPanel:
    """How late it was, and how late it may be."""
    return (
        lines(
            "Lateness and grace",
            "How long after its due moment each check-in came (below 0: before it), and the grace: how much later is "
            "still fine. With a max_runtime the grace is for the start of the run, so that is what is shown.",
            "s",
            graph(ONE.lateness, "lateness"),
            graph(ONE.grace, "grace"),
            below_zero=True,
        )
        .line_interpolation(LineInterpolation.STEP_AFTER)
        .axis_soft_min(0)
        .override_by_name("grace", override(DASHED, ("color", {"mode": "fixed", "fixedColor": "red"})))
    )


def grace() -> StatPanel:
    """The grace that it has, and the grace that it would have needed."""
    return stat(
        "Grace needed in the last 30 days",
        "The grace in force, the grace that would have covered every check-in of the last 30 days, and the one that "
        "would have covered it for 19 hours of 20. What is far more than usual was rather a job that had died than "
        "one that was late. A good grace is somewhat more than what was needed.",
        "dtdurations",
        now(ONE.grace, "grace now"),
        now(ONE.needed_grace("max_over_time({})", NEEDED_SPAN), "needed always"),
        now(ONE.needed_grace("quantile_over_time(0.95, {})", NEEDED_SPAN), "needed for 95 %"),
    )


def declared() -> TablePanel:
    """What was declared of it."""
    return table(
        "Declared",
        "What the configuration says of it.",
        {
            "heartbeat": [("displayName", "Heartbeat")],
            "description": [("displayName", "Description")],
            "schedule": [("displayName", "Schedule")],
            "timezone": [("displayName", "Time zone")],
            "team": [("displayName", "Team")],
            "severity": [("displayName", "Severity")],
            "runbook_url": [("displayName", "Runbook"), link("Open the runbook", "${__value.raw}")],
            "job": [("displayName", "Job")],
        },
        row_of(f"topk by (job, heartbeat) (1, {ONE.greatest('heartbeat_info')})"),
    )
