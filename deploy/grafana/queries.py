"""What the dashboards ask of Prometheus about heartbeats, in PromQL.

Every answer has one series per heartbeat however many replicas there are: of their series the most recently informed
one counts, as in the alert rules. Selectors carry the dashboard's filter, which is made of its variables.
"""

from dataclasses import dataclass

from exporter.heartbeat import Status

CODES = {
    Status.UP: 0,
    Status.NEW: 1,
    Status.LATE: 2,
    Status.FAILED: 3,
    Status.OVERDUE: 4,
    Status.PAUSED: 5,
}
"""The number that stands for a status in a query's answer."""


@dataclass(frozen=True)
class Heartbeats:
    """The heartbeats that a dashboard's filter lets through."""

    matchers: str
    """Label matchers, as they stand between the braces of a selector."""

    def series(self, name: str, *more: str) -> str:
        """A selector of one metric, with further matchers."""
        return f"{name}{{{', '.join([self.matchers, *more])}}}"

    def greatest(self, name: str, *more: str) -> str:
        """Of the replicas the greatest: for moments and counts, which only grow."""
        return f"max without (instance, pod) ({self.series(name, *more)})"

    def least(self, name: str) -> str:
        """Of the replicas the least: for what a ping ends, so one that has not heard it says nothing."""
        return f"min without (instance, pod) ({self.series(name)})"

    @property
    def status(self) -> str:
        """The status of each as a number of `CODES`: the first that holds, in the order of the contract."""
        conditions = {
            Status.PAUSED: f"{self.least('heartbeat_paused')} == 1",
            Status.OVERDUE: f"{self.least('heartbeat_overdue')} == 1",
            Status.FAILED: f"{self.least('heartbeat_failed')} == 1",
            Status.LATE: self.past_due,
            Status.NEW: f"{self._check_ins_ever} == 0",
            Status.UP: self.greatest("heartbeat_last_seen_timestamp_seconds"),
        }
        return " or ".join(f"0 * ({condition}) + {CODES[status]}" for status, condition in conditions.items())

    @property
    def past_due(self) -> str:
        """Those whose due moment has passed, unless a run with a `max_runtime` is open."""
        awaited = f"{self.least('heartbeat_running')} == 1 and {self.greatest('heartbeat_max_runtime_seconds')}"
        return f"time() >= {self.greatest('heartbeat_due_timestamp_seconds')} unless ({awaited})"

    @property
    def _check_ins_ever(self) -> str:
        successes, failures = (
            self.greatest(f"heartbeat_last_{signal}_timestamp_seconds") for signal in ("success", "failure")
        )
        return f"{successes} + {failures}"

    def count(self, status: Status) -> str:
        """How many have the status now; 0 where none has."""
        return f"sum(({self.status}) == bool {CODES[status]})"

    @property
    def counts_over_time(self) -> dict[Status, str]:
        """How many need attention, by status; cheaper than `count`, which is too much for a graph of thousands."""
        overdue, failed = self.least("heartbeat_overdue"), self.least("heartbeat_failed")
        well = f"({overdue} + {failed} == 0)"
        return {
            Status.OVERDUE: f"sum({overdue})",
            Status.FAILED: f"sum({failed} * (1 - {overdue}))",
            Status.LATE: f"count(({self.past_due}) and {well}) or 0 * count({overdue})",
        }

    @property
    def bad(self) -> str:
        """Those that are overdue or failed."""
        return f"({self.least('heartbeat_overdue')} == 1 or {self.least('heartbeat_failed')} == 1)"

    @property
    def bad_since(self) -> str:
        """Since when, as Unix time: the deadline of an overdue one; else when the alert on the failure began, or the
        last failure where no rule is loaded.
        """
        failed = f"{self.least('heartbeat_failed')} == 1"
        alert = 'max by (job, heartbeat) (ALERTS_FOR_STATE{job=~"$job", alertname="HeartbeatFailed"})'
        return " or ".join(
            (
                f"({self.greatest('heartbeat_deadline_timestamp_seconds')} and {self.least('heartbeat_overdue')} == 1)",
                f"(0 * ({failed}) + on (job, heartbeat) group_left () {alert})",
                f"({self.greatest('heartbeat_last_failure_timestamp_seconds')} and {failed})",
            )
        )

    @property
    def time_left(self) -> str:
        """Seconds until the deadline, negative once it has passed."""
        return f"{self.greatest('heartbeat_deadline_timestamp_seconds')} - time()"

    @property
    def grace(self) -> str:
        """The grace in force, in seconds; nothing while a run with a `max_runtime` is open, as that counts then."""
        deadline, due = (self.greatest(f"heartbeat_{moment}_timestamp_seconds") for moment in ("deadline", "due"))
        running = f"{self.least('heartbeat_running')} == 1"
        return f"{deadline} - {due} unless ({running} and {self.greatest('heartbeat_max_runtime_seconds')})"

    @property
    def lateness(self) -> str:
        """How late the last check-in was, in seconds; with a `max_runtime` how late its run had started, for it is the
        start that the grace is for.
        """
        late, took, limit = self._lateness_parts
        return f"({late} - {took} and {limit}) or {late}"

    def needed_grace(self, over_time: str, span: str) -> str:
        """The lateness of a span through a function over time, in which ``{}`` stands for it; never below 0."""
        late, took, limit = self._lateness_parts
        starts = over_time.format(f"({late} - {took} and {limit})[{span}:5m]")
        # Without a max_runtime the samples themselves are read; a subquery sees one in five minutes.
        check_ins = over_time.format(f"{self.series('heartbeat_last_lateness_seconds')}[{span}]")
        return f"clamp_min({starts} or max without (instance, pod) ({check_ins}), 0)"

    @property
    def _lateness_parts(self) -> tuple[str, str, str]:
        return (
            self.greatest("heartbeat_last_lateness_seconds"),
            self.greatest("heartbeat_last_duration_seconds"),
            self.greatest("heartbeat_max_runtime_seconds"),
        )

    def pings(self, *more: str) -> str:
        """How many pings came in each interval of a graph, by heartbeat and signal."""
        selector = self.series("heartbeat_pings_total", *more)
        return f"max without (instance, pod) (increase({selector}[$__rate_interval]))"
