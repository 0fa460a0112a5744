"""The semantics: what a ping does to a heartbeat's record, and what the record means at a given moment.

Everything here is pure. A `Record` is folded over pings (`Record.after`) and read by `assess`, both of which are told
the time; nothing ticks and nothing is remembered outside the record, so a restart changes no answer. Moments and
durations are whole milliseconds (see `exporter.schedule`).
"""

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, NamedTuple, NewType, TypeAlias

from exporter.schedule import HOUR, MINUTE, SECOND, Duration, Interval, Moment, Schedule

Name = NewType("Name", str)
Token = NewType("Token", str)
RunId = NewType("RunId", str)

NEVER: Moment = 0
"""Stands for "not yet" in a record's timestamps, as 0 does in the metrics."""

METHODS = frozenset({"GET", "HEAD", "POST"})
"""The HTTP methods that can carry a ping."""

EARLY_AT_MOST: Duration = 5 * MINUTE
BEAT_EVERY: Duration = 10 * SECOND
OUTAGE_AFTER: Duration = 30 * SECOND


class Signal(StrEnum):
    """What a ping says."""

    SUCCESS = "success"
    FAIL = "fail"
    START = "start"
    LOG = "log"


class Status(StrEnum):
    """A heartbeat's state in one word; where several hold, the first in this order."""

    PAUSED = "paused"
    OVERDUE = "overdue"
    FAILED = "failed"
    LATE = "late"
    NEW = "new"
    UP = "up"


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """One thing that is expected to check in, as it is declared."""

    name: Name
    schedule: Schedule
    timezone: str = "UTC"
    grace: Duration | None = None
    """None: automatic, see `grace_after`."""
    max_runtime: Duration | None = None
    description: str = ""
    runbook_url: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    """Pairs of label name and value, sorted by name."""
    methods: frozenset[str] = METHODS
    failure_threshold: int = 1
    paused: bool = False
    token: Token | None = field(default=None, repr=False)
    """Its own token; None: derived from the secret, the name and `token_version`."""
    token_version: int = 1

    def grace_after(self, gap: Duration | None) -> Duration:
        """How much later than due is still fine, where ``gap`` is the interval before the due moment (None: long).

        Automatic: an eighth of the gap, at least a minute and at most an hour.
        """
        if self.grace is not None:
            return self.grace
        return HOUR if gap is None else min(max(gap // 8, MINUTE), HOUR)


class Ping(NamedTuple):
    """One request from a job: what it says, and what is kept of it for people."""

    at: Moment
    signal: Signal
    rid: RunId | None = None
    exit_status: int | None = None
    ignored: bool = False
    """Sent with a method that the heartbeat does not count: kept in the history, nothing else changes."""
    method: str = "GET"
    remote: str = ""
    user_agent: str = ""
    body: bytes = b""


class Run(NamedTuple):
    """A run that was started and not closed yet."""

    rid: RunId | None
    started_at: Moment


class Record(NamedTuple):
    """What is remembered of one heartbeat: facts only, all else is derived from them and the heartbeat.

    A tuple, since there is one for every heartbeat and a new one for every ping: dataclasses take several times as long
    to be made from one another.
    """

    armed_at: Moment
    """When the heartbeat was first known, resumed, or last given another schedule."""
    schedule: str
    """Identity of the schedule that it was armed for."""
    paused: bool = False
    """Whether it was paused when it was last adopted."""
    removed_at: Moment | None = None
    """When it left the configuration; None while it is there."""
    answered: Moment = NEVER
    """Check-ins have answered every scheduled moment up to this one."""

    last_seen: Moment = NEVER
    last_success: Moment = NEVER
    last_failure: Moment = NEVER
    last_start: Moment = NEVER

    successes: int = 0
    failures: int = 0
    starts: int = 0
    logs: int = 0
    pings: int = 0
    """All pings, the ignored ones too: the history's numbering."""

    consecutive_failures: int = 0
    run: Run | None = None
    """The newest run, if it is open."""
    awaiting_since: Moment | None = None
    """From when `max_runtime` counts: the first start since the last check-in, or that of the run it left open."""
    last_duration: Duration | None = None
    last_lateness: Duration | None = None
    last_exit_status: int | None = None

    @classmethod
    def armed(cls, heartbeat: Heartbeat, now: Moment) -> "Record":
        """The record of a heartbeat that is known from ``now`` on."""
        return cls(armed_at=now, schedule=heartbeat.schedule.identity, paused=heartbeat.paused)

    def adopted(self, heartbeat: Heartbeat, now: Moment) -> "Record":
        """This record under the heartbeat as it is declared from ``now`` on; itself when nothing changes.

        A heartbeat that comes back, is resumed or gets another schedule is armed anew: it is due at the first
        scheduled moment after ``now``, so no such change makes it overdue at once.
        """
        identity = heartbeat.schedule.identity
        resumed = self.paused and not heartbeat.paused
        if self.removed_at is not None or self.schedule != identity or resumed:
            return self._replace(
                armed_at=now,
                schedule=identity,
                paused=heartbeat.paused,
                removed_at=None,
                answered=NEVER,
                awaiting_since=None,
            )
        return self if self.paused == heartbeat.paused else self._replace(paused=heartbeat.paused)

    def removed(self, now: Moment) -> "Record":
        """This record once its heartbeat has left the configuration; itself when it had left before."""
        return self if self.removed_at is not None else self._replace(removed_at=now)

    def after(self, ping: Ping, heartbeat: Heartbeat) -> "Record":
        """This record once the ping is counted. Timestamps and due never move back."""
        pings = self.pings + 1
        if ping.ignored:
            return self._replace(pings=pings)
        last_seen = max(self.last_seen, ping.at)
        match ping.signal:
            case Signal.LOG:
                return self._replace(pings=pings, last_seen=last_seen, logs=self.logs + 1)
            case Signal.START:
                return self._replace(pings=pings, last_seen=last_seen, **self._started(ping))
            case Signal.SUCCESS:
                return self._replace(
                    pings=pings,
                    last_seen=last_seen,
                    last_success=max(self.last_success, ping.at),
                    successes=self.successes + 1,
                    consecutive_failures=0,
                    **self._checked_in(ping, heartbeat),
                )
            case Signal.FAIL:
                return self._replace(
                    pings=pings,
                    last_seen=last_seen,
                    last_failure=max(self.last_failure, ping.at),
                    failures=self.failures + 1,
                    consecutive_failures=self.consecutive_failures + 1,
                    **self._checked_in(ping, heartbeat),
                )

    def _started(self, ping: Ping) -> dict[str, Any]:
        """The fields that a start changes, beside those that every ping does."""
        # The same run announced twice (a client that repeats a request whose answer was lost) began the first time.
        repeated = self.run is not None and ping.rid is not None and ping.rid == self.run.rid
        return {
            "last_start": max(self.last_start, ping.at),
            "starts": self.starts + 1,
            "run": self.run if repeated else Run(ping.rid, ping.at),
            # The first start, not the latest: a job that starts, crashes and starts again must become overdue.
            "awaiting_since": ping.at if self.awaiting_since is None else self.awaiting_since,
        }

    def _checked_in(self, ping: Ping, heartbeat: Heartbeat) -> dict[str, Any]:
        """The fields that a check-in of either kind changes, beside those that every ping does."""
        run, duration = self.run, self.last_duration
        if run is not None and ping.rid in (None, run.rid):
            duration = max(0, ping.at - run.started_at)
            run = None
        answered, lateness = self._answering(ping.at, heartbeat)
        # While nobody watches, nothing is late: what came after a long pause says nothing about the grace.
        if lateness is None or heartbeat.paused:
            lateness = self.last_lateness
        return {
            "answered": answered,
            "run": run,
            # A run from before the last arming is not awaited: no change of the configuration makes it overdue.
            "awaiting_since": None if run is None or self.awaiting_since is None else run.started_at,
            "last_duration": duration,
            "last_lateness": lateness,
            "last_exit_status": self.last_exit_status if ping.exit_status is None else ping.exit_status,
        }

    def _answering(self, at: Moment, heartbeat: Heartbeat) -> tuple[Moment, Duration | None]:
        """What is answered after a check-in, and how late that was; None where there is no lateness to speak of."""
        if isinstance(heartbeat.schedule, Interval):
            return max(self.answered, at), at - heartbeat.schedule.due_after(max(self.armed_at, self.answered))
        expected = expect(heartbeat, self)
        if expected.due is None:
            return max(self.answered, at), None
        if at < expected.due - expected.early:
            return self.answered, None  # an extra run
        answered = max(at, expected.due)
        if at >= expected.due + expected.grace:
            # The first run after a missed one may come a little early: were it not to answer its own moment too, a job
            # whose clock is fast would stay one behind, and overdue, for ever.
            following = expect(heartbeat, self._replace(answered=answered))
            if following.due is not None and at >= following.due - following.early:
                return following.due, at - following.due
        return answered, at - expected.due


class Expectation(NamedTuple):
    """What a record leads us to expect, whatever the time is."""

    due: Moment | None
    """When the next check-in is due; None: never again."""
    gap: Duration | None
    """From the scheduled moment before; None: long, or there is none."""
    grace: Duration
    deadline: Moment | None
    """Overdue from then on, outages of ours aside; None: never."""

    @property
    def early(self) -> Duration:
        """By how much a check-in may precede the due moment of a calendar and still answer it, since clocks drift."""
        return min(self.grace, EARLY_AT_MOST) if self.gap is None else min(self.grace, self.gap // 2, EARLY_AT_MOST)


def expect(heartbeat: Heartbeat, record: Record) -> Expectation:
    """What the heartbeat's record leads us to expect next."""
    due = heartbeat.schedule.due_after(max(record.armed_at, record.answered))
    gap = None if due is None else heartbeat.schedule.gap_before(due)
    grace = heartbeat.grace_after(gap)
    if heartbeat.max_runtime is not None and record.awaiting_since is not None:
        deadline: Moment | None = record.awaiting_since + heartbeat.max_runtime
    else:
        deadline = None if due is None else due + grace
    return Expectation(due, gap, grace, deadline)


@dataclass(frozen=True, slots=True)
class Outage:
    """A span in which we could not hear pings, and how long after it jobs are given to call again."""

    start: Moment
    end: Moment
    grace: Duration

    def postpone(self, deadline: Moment) -> Moment:
        """The deadline, moved to the end of the grace if it falls inside the outage or its grace.

        What we were too deaf to hear is no reason to page, and what was overdue before stays overdue. A grace of 0
        switches the moving off.
        """
        # At the start itself we still listened, and may have shown a deadline of that very moment as passed.
        resumed = self.end + self.grace
        return resumed if self.grace and self.start < deadline <= resumed else deadline


@dataclass(frozen=True, slots=True)
class Liveness:
    """Up to when we are known to have listened, and the last span in which we did not."""

    alive_at: Moment | None = None
    outage: Outage | None = None
    heard_until: Moment | None = None
    """The latest moment at which we listened, if the clock has gone back since; None: it is `alive_at`."""

    def at(self, now: Moment, grace: Duration, *, restarted: bool = False) -> "Liveness":
        """The liveness once we are seen to listen at ``now``, where ``grace`` is the configured outage grace.

        Every restart is an outage, and so is a silence of more than OUTAGE_AFTER. One that begins before the grace
        of the last has ended continues it.
        """
        alive_at, last = self.alive_at, self.outage
        if alive_at is None:
            return Liveness(now, last)
        latest = alive_at if self.heard_until is None else self.heard_until
        # Once a clock that went back is right again, what we lived through before is not a silence.
        since = alive_at if latest > now else latest
        if restarted or now - since > OUTAGE_AFTER:
            start = min(since, now)
            if last is not None and start < last.end + grace:
                start = min(start, last.start)
            return Liveness(now, Outage(start, now, grace))
        if now < alive_at and last is not None and last.end > now:
            # The wall clock had jumped ahead and is back: what it skipped is still to come, and we shall hear it.
            return Liveness(now, replace(last, start=min(last.start, now), end=now))
        return Liveness(now, last, latest if latest > now else None)


class Assessment(NamedTuple):
    """What a heartbeat's record means at one moment."""

    status: Status
    due: Moment | None
    """None when never due again, or paused."""
    deadline: Moment | None
    """Overdue from then on; None when there is none, or paused."""
    overdue: bool
    failed: bool
    running: bool


def assess(heartbeat: Heartbeat, record: Record, now: Moment, outage: Outage | None) -> Assessment:
    """What the record means at ``now``, after the given last outage of ours."""
    running = record.run is not None
    if heartbeat.paused:
        return Assessment(Status.PAUSED, None, None, overdue=False, failed=False, running=running)
    expected = expect(heartbeat, record)
    due, deadline = expected.due, expected.deadline
    if deadline is not None and outage is not None:
        deadline = outage.postpone(deadline)
    overdue = deadline is not None and now >= deadline
    failed = record.consecutive_failures >= heartbeat.failure_threshold
    awaited = heartbeat.max_runtime is not None and record.awaiting_since is not None
    if overdue:
        status = Status.OVERDUE
    elif failed:
        status = Status.FAILED
    elif due is not None and due <= now and not awaited:
        status = Status.LATE
    elif record.successes + record.failures == 0:
        status = Status.NEW
    else:
        status = Status.UP
    return Assessment(status, due, deadline, overdue=overdue, failed=failed, running=running)


class Observation(NamedTuple):
    """One heartbeat as it stands at the moment of a survey."""

    heartbeat: Heartbeat
    record: Record
    assessment: Assessment


Block: TypeAlias = tuple[Observation, ...]
"""Some neighbouring heartbeats, as they stand at the same moment."""


@dataclass(frozen=True, slots=True)
class Survey:
    """Every heartbeat as it stands at one moment: whatever shows state is made from the same survey."""

    now: Moment
    blocks: tuple[Block, ...]
    """In the order of the configuration. One in which nothing has changed is the very object that it was before."""
    outage: Outage | None
    """The last outage of ours."""

    @property
    def observations(self) -> list[Observation]:
        """Those of all blocks."""
        return [observation for block in self.blocks for observation in block]
