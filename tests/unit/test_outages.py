"""Spans in which we could not hear pings, and which deadlines they move."""

import pytest
from folding import at, every, lived, moment, start, success

from exporter.heartbeat import BEAT_EVERY, OUTAGE_AFTER, Liveness, Outage, Status, assess
from exporter.schedule import DAY, HOUR, MINUTE, SECOND, Moment

T0 = moment("2026-11-24T09:30+00:00")
GRACE = 5 * MINUTE
RESTART = Outage(T0, T0 + MINUTE, GRACE)


def test_we_note_that_we_listen_often_enough_for_no_outage_to_follow() -> None:
    assert 2 * BEAT_EVERY < OUTAGE_AFTER == 30 * SECOND
    assert BEAT_EVERY == 10 * SECOND


# --- which deadlines move


@pytest.mark.parametrize(
    ("deadline", "moved"),
    [
        (T0 - DAY, T0 - DAY),
        (T0 - 1, T0 - 1),
        (T0, T0),  # we still listened then
        (T0 + 1, T0 + MINUTE + GRACE),
        (T0 + MINUTE, T0 + MINUTE + GRACE),
        (T0 + MINUTE + 1, T0 + MINUTE + GRACE),
        (T0 + MINUTE + GRACE - 1, T0 + MINUTE + GRACE),
        (T0 + MINUTE + GRACE, T0 + MINUTE + GRACE),
        (T0 + MINUTE + GRACE + 1, T0 + MINUTE + GRACE + 1),
        (T0 + DAY, T0 + DAY),
    ],
)
def test_a_deadline_inside_an_outage_or_its_grace_moves_to_the_end_of_that(deadline: Moment, moved: Moment) -> None:
    assert RESTART.postpone(deadline) == moved


@pytest.mark.parametrize("deadline", [T0 - 1, T0, T0 + 1, T0 + MINUTE, T0 + MINUTE + 1])
def test_a_grace_of_0_switches_the_moving_off(deadline: Moment) -> None:
    assert Outage(T0, T0 + MINUTE, 0).postpone(deadline) == deadline


def test_a_job_that_could_not_be_heard_gets_the_grace_to_call_again() -> None:
    job = every("1h", grace=MINUTE)
    record = lived(job, T0 - HOUR - 2 * MINUTE, success(T0 - HOUR - MINUTE + 1))  # a deadline 1 ms into the outage
    before, after = (assess(job, record, T0 + MINUTE + GRACE - late, RESTART) for late in (1, 0))
    assert (before.overdue, before.status) == (False, Status.LATE)
    assert (after.overdue, after.status) == (True, Status.OVERDUE)
    assert before.deadline == after.deadline == T0 + MINUTE + GRACE
    assert before.due == T0 - MINUTE + 1


def test_the_awaited_end_of_a_run_moves_too() -> None:
    job = every("1d", max_runtime=HOUR)
    record = lived(job, T0 - DAY, start(T0 - HOUR + 1))
    assert assess(job, record, T0, RESTART).deadline == T0 + MINUTE + GRACE


@pytest.mark.parametrize("missed", [1, SECOND, 9 * HOUR])
def test_what_was_overdue_before_an_outage_stays_overdue(missed: int) -> None:
    job = every("1h", grace=0)
    record = lived(job, T0 - 9 * DAY, success(T0 - HOUR - missed))
    assert assess(job, record, T0 + MINUTE, RESTART).overdue


def test_what_was_seen_as_overdue_at_the_last_sign_of_life_stays_overdue_after_a_restart() -> None:
    job = every("1h", grace=0)
    record = lived(job, T0 - HOUR, success(T0 - HOUR))
    assert at(job, record, T0).overdue
    liveness = Liveness().at(T0, GRACE).at(T0 + MINUTE, GRACE, restarted=True)
    assert assess(job, record, T0 + MINUTE, liveness.outage).overdue


def test_paused_and_never_due_heartbeats_have_no_deadline_to_move() -> None:
    job = every("1h", paused=True)
    assert assess(job, lived(job, T0 - HOUR), T0 + MINUTE, RESTART).deadline is None


# --- what is an outage


def test_the_first_sign_of_life_is_no_outage() -> None:
    assert Liveness().at(T0, GRACE) == Liveness(T0, None)
    assert Liveness().at(T0, GRACE, restarted=True) == Liveness(T0, None)


@pytest.mark.parametrize("silence", [0, 1, 10 * SECOND, 30 * SECOND])
def test_a_silence_of_up_to_30_seconds_is_none(silence: int) -> None:
    assert Liveness(T0).at(T0 + silence, GRACE) == Liveness(T0 + silence, None)


@pytest.mark.parametrize("silence", [30 * SECOND + 1, HOUR, 9 * DAY])
def test_a_longer_silence_is_one_as_after_a_suspension_or_a_clock_that_jumped_ahead(silence: int) -> None:
    assert Liveness(T0).at(T0 + silence, GRACE) == Liveness(T0 + silence, Outage(T0, T0 + silence, GRACE))


@pytest.mark.parametrize("silence", [0, 1, 10 * SECOND, HOUR])
def test_every_restart_is_one_however_short(silence: int) -> None:
    liveness = Liveness(T0).at(T0 + silence, GRACE, restarted=True)
    assert liveness == Liveness(T0 + silence, Outage(T0, T0 + silence, GRACE))


@pytest.mark.parametrize("back", [1, MINUTE, 9 * DAY])
def test_a_clock_that_jumps_back_is_none(back: int) -> None:
    assert Liveness(T0).at(T0 - back, GRACE) == Liveness(T0 - back, None, T0)
    old = Outage(T0 - 20 * DAY, T0 - 19 * DAY, GRACE)
    assert Liveness(T0, old).at(T0 - back, GRACE) == Liveness(T0 - back, old, T0)


def test_a_restart_with_a_clock_that_jumped_back_is_one_without_length() -> None:
    assert Liveness(T0).at(T0 - HOUR, GRACE, restarted=True) == Liveness(T0 - HOUR, Outage(T0 - HOUR, T0 - HOUR, GRACE))


def test_the_last_outage_is_remembered_while_we_listen() -> None:
    assert Liveness(T0 + HOUR, RESTART).at(T0 + HOUR + SECOND, GRACE) == Liveness(T0 + HOUR + SECOND, RESTART)


@pytest.mark.parametrize(
    ("alive_at", "start"),
    [
        (RESTART.end, T0),
        (RESTART.end + GRACE - 1, T0),
        (RESTART.end + GRACE, RESTART.end + GRACE),
        (RESTART.end + HOUR, RESTART.end + HOUR),
    ],
)
@pytest.mark.parametrize("restarted", [False, True])
def test_an_outage_that_begins_before_the_grace_of_the_last_has_ended_continues_it(
    alive_at: Moment, start: Moment, restarted: bool
) -> None:
    now = alive_at + MINUTE
    liveness = Liveness(alive_at, RESTART).at(now, GRACE, restarted=restarted)
    assert liveness == Liveness(now, Outage(start, now, GRACE))


def test_the_grace_of_an_outage_is_the_one_that_is_configured_when_it_ends() -> None:
    assert Liveness(T0 + 2 * HOUR, RESTART).at(T0 + 3 * HOUR, 2 * GRACE).outage == Outage(
        T0 + 2 * HOUR, T0 + 3 * HOUR, 2 * GRACE
    )
    # Also for whether it continues the last one.
    assert Liveness(T0 + 6 * MINUTE, RESTART).at(T0 + HOUR, 2 * GRACE).outage == Outage(T0, T0 + HOUR, 2 * GRACE)


def test_without_a_grace_no_outage_continues_another() -> None:
    last = Outage(T0, T0 + MINUTE, 0)
    assert Liveness(T0 + MINUTE, last).at(T0 + HOUR, 0).outage == Outage(T0 + MINUTE, T0 + HOUR, 0)


def test_a_job_waits_through_restarts_that_follow_each_other() -> None:
    job = every("1h", grace=0)
    record = lived(job, T0 - HOUR, success(T0 - HOUR + MINUTE))
    liveness = Liveness(T0)
    for now in range(T0 + 2 * MINUTE, T0 + HOUR, 4 * MINUTE):
        liveness = liveness.at(now, GRACE, restarted=True)
        assert not assess(job, record, now, liveness.outage).overdue
    assert liveness.alive_at is not None
    assert assess(job, record, liveness.alive_at + GRACE, liveness.outage).overdue


def test_a_clock_that_jumps_ahead_and_back_leaves_an_outage_that_ends_now() -> None:
    ahead = Liveness(T0).at(T0 + DAY, GRACE)
    assert ahead.at(T0 + SECOND, GRACE) == Liveness(T0 + SECOND, Outage(T0, T0 + SECOND, GRACE))
    assert ahead.at(T0 - HOUR, GRACE) == Liveness(T0 - HOUR, Outage(T0 - HOUR, T0 - HOUR, GRACE))


# A clock that went back


def test_what_we_lived_through_before_the_clock_went_back_is_no_outage_once_it_is_right_again() -> None:
    before = Liveness(T0).at(T0 + BEAT_EVERY, GRACE)
    behind = before.at(T0 - HOUR, GRACE).at(T0 - HOUR + BEAT_EVERY, GRACE)
    assert behind == Liveness(T0 - HOUR + BEAT_EVERY, None, T0 + BEAT_EVERY)
    assert behind.at(T0 + 2 * BEAT_EVERY, GRACE) == Liveness(T0 + 2 * BEAT_EVERY)


def test_a_silence_across_the_correction_of_a_clock_is_an_outage_from_when_we_were_last_heard() -> None:
    behind = Liveness(T0).at(T0 - HOUR, GRACE)
    assert behind.at(T0 + MINUTE, GRACE) == Liveness(T0 + MINUTE, Outage(T0, T0 + MINUTE, GRACE))


def test_a_silence_while_the_clock_is_behind_is_an_outage_by_that_clock() -> None:
    behind = Liveness(T0).at(T0 - HOUR, GRACE)
    start, end = T0 - HOUR, T0 - HOUR + MINUTE
    assert behind.at(end, GRACE).outage == Outage(start, end, GRACE)


def test_a_restart_while_the_clock_is_behind_believes_the_clock() -> None:
    restarted = Liveness(T0).at(T0 - HOUR, GRACE).at(T0 - HOUR + MINUTE, GRACE, restarted=True)
    assert restarted == Liveness(T0 - HOUR + MINUTE, Outage(T0 - HOUR, T0 - HOUR + MINUTE, GRACE))
