"""Declared, paused, resumed, changed, gone and back: from when on a heartbeat is watched."""

from dataclasses import replace

import pytest
from folding import at, calendar, cron, every, fail, fold, lived, log, moment, overdue_from, start, success

from exporter.heartbeat import Heartbeat, Record, Status, expect
from exporter.schedule import DAY, HOUR, MINUTE

T0 = moment("2026-11-24T09:30+00:00")
LATER = T0 + 10 * DAY


def test_an_armed_record_knows_nothing_but_what_it_was_armed_for() -> None:
    job = every("60m", paused=True)
    assert Record.armed(job, T0) == Record(armed_at=T0, schedule="interval 1h", paused=True)


def test_a_job_that_was_declared_and_never_deployed_becomes_overdue() -> None:
    job = cron("0 10 * * *")
    assert overdue_from(job, lived(job, T0), moment("2026-11-24T11:00+00:00"))


def test_a_record_of_an_unchanged_heartbeat_is_itself() -> None:
    job = every("1h", grace=MINUTE)
    record = lived(job, T0, fail(T0 + 1), start(T0 + 2))
    assert record.adopted(job, LATER) is record


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (every("60m"), every("1h")),
        (every("1h"), every("1h", timezone="Europe/Berlin")),  # elapsed time is the same everywhere
        (every("1h"), every("1h", grace=0, max_runtime=1, failure_threshold=9, labels=(("a", "b"),), token_version=2)),
        (cron("0 3 * * MON"), cron("0  3 * * mon")),
        (cron("@daily"), cron("0 0 * * *")),
        (calendar("Mon 08:00"), calendar(" mon  08:00 ")),
    ],
)
def test_what_is_no_other_schedule_arms_nothing_anew(before: Heartbeat, after: Heartbeat) -> None:
    record = lived(before, T0, success(T0 + MINUTE), start(T0 + 2 * MINUTE))
    assert record.adopted(after, LATER) is record
    assert at(after, record, LATER).overdue


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (every("1h"), every("2h")),
        (every("1d"), every("1s")),
        (every("1h"), cron("0 * * * *")),
        (cron("0 3 * * *"), cron("0 4 * * *")),
        (cron("0 3 * * *"), cron("0 3 * * *", "Europe/Berlin")),
        (cron("0 3 * * *"), calendar("03:00")),
        (calendar("03:00"), calendar("03:00", "Europe/Berlin")),
        (calendar("03:00"), calendar("03:00\n04:00")),
    ],
)
def test_another_schedule_or_time_zone_arms_anew_so_that_nothing_is_overdue_at_once(
    before: Heartbeat, after: Heartbeat
) -> None:
    record = lived(before, T0, fail(T0 + MINUTE), start(T0 + 2 * MINUTE, "a"))
    changed = record.adopted(after, LATER)
    assert changed == record._replace(armed_at=LATER, schedule=after.schedule.identity, answered=0, awaiting_since=None)
    assert expect(after, changed).due == after.schedule.due_after(LATER)
    assert not at(after, changed, LATER).overdue


def test_another_schedule_gives_a_started_run_no_end_that_has_passed() -> None:
    job = every("1d", max_runtime=MINUTE)
    record = lived(every("1h"), T0, success(T0), start(T0 + MINUTE, "a")).adopted(job, LATER)
    assert overdue_from(job, record, LATER + DAY + HOUR)
    assert at(job, record, LATER).running
    # Neither does a check-in that leaves this run open.
    record = fold(job, record, success(LATER + HOUR, "b"))
    assert overdue_from(job, record, LATER + HOUR + DAY + HOUR)
    # What starts from now on is awaited.
    record = fold(job, record, start(LATER + 2 * HOUR, "c"))
    assert overdue_from(job, record, LATER + 2 * HOUR + MINUTE)


def test_a_paused_heartbeat_is_never_overdue_or_failed_and_has_no_due_moment() -> None:
    job = every("1h")
    paused = replace(job, paused=True)
    record = lived(job, T0, fail(T0 + 1), start(T0 + 2)).adopted(paused, T0 + 3)
    now = at(paused, record, LATER)
    assert (now.status, now.overdue, now.failed, now.running) == (Status.PAUSED, False, False, True)
    assert now.due is now.deadline is None


def test_being_paused_arms_nothing_anew() -> None:
    job = every("1h")
    record = lived(job, T0, success(T0 + 1))
    assert record.adopted(replace(job, paused=True), LATER) == record._replace(paused=True)


def test_pings_of_a_paused_heartbeat_are_recorded_and_counted_and_do_not_resume_it() -> None:
    job = every("1h", paused=True)
    record = lived(job, T0, start(T0 + 1), success(T0 + MINUTE, exit_status=0), fail(T0 + HOUR), log(T0 + 2 * HOUR))
    assert (record.starts, record.successes, record.failures, record.logs) == (1, 1, 1, 1)
    assert (record.last_seen, record.last_success, record.last_failure) == (T0 + 2 * HOUR, T0 + MINUTE, T0 + HOUR)
    assert record.last_duration == MINUTE - 1
    assert record.paused
    assert at(job, record, T0 + 2 * HOUR).status is Status.PAUSED


@pytest.mark.parametrize("job", [every("1h"), cron("0 * * * *")])
def test_what_comes_while_paused_is_not_late(job: Heartbeat) -> None:
    paused = replace(job, paused=True)
    record = lived(job, T0, success(T0 + HOUR)).adopted(paused, T0 + HOUR)
    assert fold(paused, record, success(LATER)).last_lateness == record.last_lateness
    assert lived(paused, T0, success(LATER)).last_lateness is None


@pytest.mark.parametrize("job", [every("1h"), cron("0 * * * *"), every("1h", max_runtime=MINUTE)])
def test_a_resumed_heartbeat_is_due_at_the_first_scheduled_moment_after_that(job: Heartbeat) -> None:
    paused = replace(job, paused=True)
    record = lived(job, T0, success(T0 + MINUTE)).adopted(paused, T0 + HOUR)
    record = fold(paused, record, start(T0 + 2 * HOUR))
    resumed = record.adopted(job, LATER)
    assert resumed == record._replace(paused=False, armed_at=LATER, answered=0, awaiting_since=None)
    assert expect(job, resumed).due == job.schedule.due_after(LATER)
    assert not at(job, resumed, LATER).overdue


def test_a_heartbeat_that_was_declared_as_paused_is_armed_when_it_is_resumed() -> None:
    job = every("1h")
    record = lived(replace(job, paused=True), T0).adopted(job, LATER)
    assert record == lived(job, LATER)


def test_a_heartbeat_that_stays_paused_under_another_schedule_is_resumed_later() -> None:
    job = every("2h")
    record = lived(every("1h", paused=True), T0).adopted(replace(job, paused=True), T0 + DAY)
    assert record.paused
    assert expect(job, record.adopted(job, LATER)).due == LATER + 2 * HOUR


def test_a_heartbeat_that_left_is_marked_from_when_it_did() -> None:
    record = lived(every("1h"), T0, success(T0 + 1))
    assert record.removed(LATER) == record._replace(removed_at=LATER)
    assert record.removed(LATER).removed(LATER + DAY) == record.removed(LATER)


@pytest.mark.parametrize("paused", [False, True])
def test_a_heartbeat_that_comes_back_keeps_its_record_and_is_armed_anew(paused: bool) -> None:
    job = every("1h", paused=paused)
    record = lived(job, T0, success(T0 + 1), start(T0 + 2), fail(T0 + MINUTE), start(T0 + 2 * MINUTE))
    back = record.removed(T0 + HOUR).adopted(job, LATER)
    assert back == record._replace(armed_at=LATER, answered=0, awaiting_since=None)
    assert expect(job, back).due == LATER + HOUR


def test_a_heartbeat_that_comes_back_paused_is_paused() -> None:
    record = lived(every("1h"), T0).removed(T0 + HOUR).adopted(every("1h", paused=True), LATER)
    assert record.paused
    assert record.removed_at is None
