from collections import Counter
from dataclasses import replace

from folding import fold, lived
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import T0, durations, graces, heartbeats, lives, moments, pings

from exporter.heartbeat import NEVER, Heartbeat, Liveness, Outage, Ping, Record, Signal, assess, expect
from exporter.schedule import DAY, MINUTE, Duration, Moment


def outages() -> st.SearchStrategy[Outage | None]:
    some = st.builds(
        lambda begin, length, grace: Outage(T0 + begin, T0 + begin + length, grace),
        durations(-DAY, 3 * DAY),
        durations(0, DAY),
        durations(0, 10 * MINUTE),
    )
    return st.none() | some


@settings(deadline=None)
@given(heartbeats(), lives(), pings())
def test_a_ping_never_moves_due_or_last_seen_backwards(job: Heartbeat, earlier: list[Ping], ping: Ping) -> None:
    record = lived(job, T0, *earlier)
    then = record.after(ping, job)
    assert then.last_seen >= record.last_seen
    before, after = expect(job, record).due, expect(job, then).due
    assert before is not None
    assert after is not None
    assert after >= before


@settings(deadline=None)
@given(heartbeats(), lives(), outages(), durations(0, 9 * DAY), durations(0, 9 * DAY))
def test_what_is_overdue_stays_so_until_a_ping_comes(
    job: Heartbeat, past: list[Ping], outage: Outage | None, wait: Duration, more: Duration
) -> None:
    record = lived(job, T0, *past)
    now = assess(job, record, T0 + wait, outage)
    then = assess(job, record, T0 + wait + more, outage)
    assert then.overdue >= now.overdue
    assert (then.due, then.deadline, then.failed, then.running) == (now.due, now.deadline, now.failed, now.running)


@settings(deadline=None)
@given(heartbeats(), lives())
def test_timestamps_are_the_greatest_of_their_kind_and_counters_the_number_in_any_order(
    job: Heartbeat, past: list[Ping]
) -> None:
    record = lived(job, T0, *past)
    counted = [ping for ping in past if not ping.ignored]

    def latest(*signals: Signal) -> Moment:
        return max((ping.at for ping in counted if ping.signal in signals), default=NEVER)

    assert record.last_seen == latest(*Signal)
    assert record.last_success == latest(Signal.SUCCESS)
    assert record.last_failure == latest(Signal.FAIL)
    assert record.last_start == latest(Signal.START)
    of = Counter(ping.signal for ping in counted)
    assert (record.successes, record.failures) == (of[Signal.SUCCESS], of[Signal.FAIL])
    assert (record.starts, record.logs) == (of[Signal.START], of[Signal.LOG])
    assert record.pings == len(past)


@settings(deadline=None)
@given(heartbeats(), lives())
def test_fails_in_a_row_are_those_since_the_last_success(job: Heartbeat, past: list[Ping]) -> None:
    signals = [ping.signal for ping in past if not ping.ignored and ping.signal in (Signal.SUCCESS, Signal.FAIL)]
    since = signals[::-1].index(Signal.SUCCESS) if Signal.SUCCESS in signals else len(signals)
    assert lived(job, T0, *past).consecutive_failures == since


@settings(deadline=None)
@given(heartbeats(grace=0), lives(), graces(), graces(), durations(0, 9 * DAY))
def test_a_longer_grace_is_never_overdue_earlier(
    job: Heartbeat, past: list[Ping], one: Duration, other: Duration, wait: Duration
) -> None:
    short, long = (replace(job, grace=grace) for grace in sorted((one, other)))
    sooner, later = expect(short, lived(short, T0, *past)), expect(long, lived(long, T0, *past))
    assert sooner.due is not None
    assert later.due is not None
    assert sooner.due <= later.due
    assert sooner.deadline is not None
    assert later.deadline is not None
    assert sooner.deadline <= later.deadline
    overdue = [assess(each, lived(each, T0, *past), T0 + wait, None).overdue for each in (short, long)]
    assert overdue[0] >= overdue[1]


@settings(deadline=None)
@given(heartbeats(), moments())
def test_nothing_is_overdue_when_it_is_armed(job: Heartbeat, now: Moment) -> None:
    assert not assess(job, Record.armed(job, now), now, None).overdue


@settings(deadline=None)
@given(heartbeats(), heartbeats(), lives(), durations(0, 9 * DAY), st.sampled_from(["schedule", "resumed", "back"]))
def test_nothing_is_overdue_when_it_is_armed_anew(
    before: Heartbeat, job: Heartbeat, past: list[Ping], wait: Duration, why: str
) -> None:
    now = T0 + wait
    match why:
        case "schedule":
            record = lived(before, T0, *past).adopted(job, now)
            if before.schedule.identity == job.schedule.identity:
                return
        case "resumed":
            record = lived(replace(job, paused=True), T0, *past).adopted(job, now)
        case _:
            record = lived(job, T0, *past).removed(T0).adopted(job, now)
    assert not assess(job, record, now, None).overdue
    assert record.adopted(job, now + 1) is record


@settings(deadline=None)
@given(heartbeats(), lives(), durations(0, 9 * DAY))
def test_no_check_in_leaves_a_heartbeat_overdue_that_has_no_other_run_open(
    job: Heartbeat, past: list[Ping], wait: Duration
) -> None:
    now = max([T0 + wait, *(ping.at for ping in past)])
    record = fold(job, lived(job, T0, *past), Ping(now, Signal.SUCCESS))
    assert record.run is None
    assert not assess(job, record, now, None).overdue


@settings(deadline=None)
@given(moments(), durations(0, DAY), graces(), moments(), durations(0, DAY))
def test_an_outage_moves_deadlines_later_and_keeps_their_order(
    begin: Moment, length: Duration, grace: Duration, deadline: Moment, more: Duration
) -> None:
    outage = Outage(begin, begin + length, grace)
    assert outage.postpone(deadline) >= deadline
    assert outage.postpone(deadline) <= outage.postpone(deadline + more)
    inside = outage.start + min(more, length)
    assert outage.postpone(inside) <= outage.postpone(inside + more)
    assert outage.postpone(outage.postpone(inside)) == outage.postpone(inside)


STEPS = st.lists(
    st.tuples(st.one_of(durations(0, 20 * MINUTE), st.sampled_from([0, 5 * MINUTE])), st.booleans()), max_size=30
)


@settings(deadline=None)
@given(heartbeats(), STEPS, durations(0, 10 * MINUTE))
def test_what_was_seen_as_overdue_stays_so_through_every_later_outage(
    job: Heartbeat, steps: list[tuple[Duration, bool]], grace: Duration
) -> None:
    record, now, liveness, seen = Record.armed(job, T0), T0, Liveness(T0), False
    for step, restarted in steps:
        now += step
        liveness = liveness.at(now, grace, restarted=restarted)
        overdue = assess(job, record, now, liveness.outage).overdue
        assert overdue >= seen
        seen = overdue


@settings(deadline=None)
@given(
    st.lists(st.tuples(durations(-DAY, DAY) | durations(0, MINUTE), st.booleans()), max_size=20), durations(0, MINUTE)
)
def test_the_last_outage_lies_in_the_past_whatever_the_clock_does(
    steps: list[tuple[Duration, bool]], grace: Duration
) -> None:
    now, liveness = T0, Liveness()
    for step, restarted in steps:
        now += step
        liveness = liveness.at(now, grace, restarted=restarted)
        assert liveness.alive_at == now
        if liveness.outage is not None:
            assert liveness.outage.start <= liveness.outage.end <= now
