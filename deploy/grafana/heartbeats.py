"""The dashboard on all heartbeats: how many fare how, which are bad now, and what came before."""

from grafana_foundation_sdk.builders.common import TableSortByFieldState
from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.builders.stat import Panel as StatPanel
from grafana_foundation_sdk.builders.statetimeline import Panel as StateTimelinePanel
from grafana_foundation_sdk.builders.table import Panel as TablePanel
from grafana_foundation_sdk.builders.timeseries import Panel as TimeseriesPanel
from grafana_foundation_sdk.models.common import BigValueColorMode

from deploy.grafana.parts import (
    COLORS,
    FROM_NOW,
    NEVER_TEXT,
    OVERVIEW,
    STATUS_TEXTS,
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
    own_labels,
    row_of,
    stat,
    steps,
    table,
    timeline,
    to_detail,
)
from deploy.grafana.queries import Heartbeats
from exporter.heartbeat import Status

TEAMS = 'job=~"$job", team=~"$team", severity=~"$severity"'
ALL = Heartbeats(f'{TEAMS}, heartbeat=~"$heartbeat"')

COLUMNS = "job, heartbeat, team, severity"
"""The labels that the tables' rows are told apart by. Labels that a heartbeat lacks are empty."""

CHECK_INS = 'signal=~"success|fail"'
FAILS = 'signal="fail"'

WORST_FIRST = (Status.OVERDUE, Status.FAILED, Status.LATE, Status.NEW, Status.UP, Status.PAUSED)


def dashboard() -> Dashboard:
    """The dashboard Heartbeats."""
    variables = [
        label_variable("job", "Job", "heartbeat_overdue", every=".+"),
        label_variable("team", "Team", 'heartbeat_overdue{job=~"$job"}', every=".*"),
        label_variable("severity", "Severity", 'heartbeat_overdue{job=~"$job"}', every=".*"),
        label_variable("heartbeat", "Heartbeat", f"heartbeat_overdue{{{TEAMS}}}", every=".*"),
        own_labels(),
    ]
    begun = begin(
        OVERVIEW,
        "Which jobs have missed their check-in or failed, and how all of them have fared.",
        "now-24h",
        [*variables],
    )
    return lay_out(
        begun,
        [
            Shelf("", 4, [(24, counts())]),
            Shelf("", 9, [(24, bad_now())]),
            Shelf("", 12, [(24, status_over_time())]),
            Shelf("", 8, [(12, statuses_over_time()), (12, check_ins())]),
            Shelf("", 8, [(12, failures()), (12, alerts())]),
        ],
    )


def counts() -> StatPanel:
    """How many heartbeats have each status."""
    panel = stat(
        "Heartbeats by status",
        "How many heartbeats are in each status now. Each is counted once: as paused, overdue, failed, late, new or "
        "up, by the first of these that holds.",
        "short",
        *(now(ALL.count(status), status.value) for status in WORST_FIRST),
    ).color_mode(BigValueColorMode.BACKGROUND_SOLID)
    for status in WORST_FIRST:
        # A colour is for what there is: where nothing is overdue, nothing is red.
        colors = steps({None: "transparent", 1: COLORS[status]}).build()
        panel.override_by_name(status.value, override(("thresholds", colors)))
    return panel


def bad_now() -> TablePanel:
    """What is overdue or failed."""
    in_row = f"max by ({COLUMNS})"
    return table(
        "Overdue and failed now",
        "Heartbeats that have missed their check-in or reported failures, the worst first: overdue before failed, "
        "then those that have been so for longest. A name leads to the heartbeat's own dashboard.",
        {
            "Value #A": [
                ("displayName", "Status"),
                ("mappings", STATUS_TEXTS),
                ("custom.cellOptions", {"type": "color-background"}),
                ("custom.width", 90),
            ],
            "heartbeat": [
                ("displayName", "Heartbeat"),
                to_detail("${__value.raw}", "${__data.fields.job}"),
            ],
            "Value #B": [("displayName", "Since"), FROM_NOW],
            "Value #C": [("displayName", "Last seen"), FROM_NOW, ("mappings", NEVER_TEXT)],
            "Value #D": [("displayName", "Failures in a row")],
            "team": [("displayName", "Team")],
            "severity": [("displayName", "Severity")],
            "description": [("displayName", "Description")],
            "runbook_url": [("displayName", "Runbook"), link("Open the runbook", "${__value.raw}")],
            "job": [("displayName", "Job")],
        },
        row_of(f"{in_row} (({ALL.status}) and {ALL.bad})"),
        row_of(f"1000 * {in_row} ({ALL.bad_since})"),
        row_of(f"1000 * {in_row} ({ALL.greatest('heartbeat_last_seen_timestamp_seconds')} and {ALL.bad})"),
        row_of(f"{in_row} ({ALL.least('heartbeat_consecutive_failures')} and {ALL.bad})"),
        # One of several descriptions, where replicas have read different files.
        row_of(
            f"topk by ({COLUMNS}) (1, max by ({COLUMNS}, description, runbook_url) "
            f"({ALL.series('heartbeat_info')} and on (job, heartbeat) {ALL.bad}))"
        ),
    ).sort_by(
        [
            TableSortByFieldState().display_name("Status").desc(True),
            TableSortByFieldState().display_name("Since").desc(False),
        ]
    )


def status_over_time() -> StateTimelinePanel:
    """The status of each heartbeat over time."""
    return (
        timeline(
            "Status over time",
            "What became of each heartbeat. A gap is a time in which no exporter with a working store was scraped. "
            "A strip's tooltip leads to the heartbeat's own dashboard.",
            graph(ALL.status, "{{heartbeat}}"),
        )
        .mappings(STATUS_TEXTS)
        .per_page(25)
        .override_by_query("A", override(to_detail("${__field.labels.heartbeat}", "${__field.labels.job}")))
    )


def statuses_over_time() -> TimeseriesPanel:
    """How many heartbeats had each status over time."""
    panel = lines(
        "Heartbeats that need attention",
        "How many heartbeats were overdue, failed and late. Late is not missed yet: the grace is running.",
        "short",
        *(graph(count, status.value) for status, count in ALL.counts_over_time.items()),
    )
    for status in ALL.counts_over_time:
        panel.override_by_name(status.value, override(("color", {"mode": "fixed", "fixedColor": COLORS[status]})))
    return panel.decimals(0)


def check_ins() -> TimeseriesPanel:
    """How many jobs checked in over time."""
    return (
        bars(
            "Check-ins",
            "Runs that ended, as the jobs reported them, in each interval of the graph.",
            "short",
            graph(f"sum by (signal) ({ALL.pings(CHECK_INS)})", "{{signal}}"),
        )
        .override_by_name("success", override(("color", {"mode": "fixed", "fixedColor": "green"})))
        .override_by_name("fail", override(("color", {"mode": "fixed", "fixedColor": "orange"})))
    )


def failures() -> TimeseriesPanel:
    """Which jobs failed over time."""
    return bars(
        "Failures by heartbeat",
        "Failed runs of the ten heartbeats that failed most, in each interval of the graph.",
        "short",
        graph(f"topk(10, sum by (heartbeat) ({ALL.pings(FAILS)}) > 0)", "{{heartbeat}}"),
    )


def alerts() -> TablePanel:
    """The alerts that fire."""
    firing = ALL.series("ALERTS", 'alertname=~"Heartbeat.+"', 'alertname!="HeartbeatPipelineWatchdog"')
    since = firing.replace("ALERTS", "ALERTS_FOR_STATE", 1)
    firing = firing.replace("{", '{alertstate="firing", ', 1)
    return table(
        "Alerts firing",
        "The alerts of the rules that come with the exporter, the latest first; the watchdog, which always fires, is "
        "left out. It takes the rules to be loaded in this Prometheus.",
        {
            "alertname": [("displayName", "Alert")],
            "heartbeat": [("displayName", "Heartbeat"), to_detail("${__value.raw}", "${__data.fields.job}")],
            "Value": [("displayName", "Since"), FROM_NOW],
            "severity": [("displayName", "Severity")],
            "team": [("displayName", "Team")],
            "job": [("displayName", "Job")],
        },
        row_of(f"1000 * max by (alertname, {COLUMNS}) ({since} and ignoring (alertstate) {firing})"),
    ).sort_by([TableSortByFieldState().display_name("Since").desc(True)])
