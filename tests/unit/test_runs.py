"""Runs: what a start opens, what a check-in closes, and what is awaited meanwhile."""

import pytest
from folding import at, cron, every, fail, fold, lived, log, moment, overdue_from, start, success

from exporter.heartbeat import Ping, Run, RunId, Status, expect
from exporter.schedule import HOUR, MINUTE, SECOND, Duration

T0 = moment("2026-11-24T09:30+00:00")
M = MINUTE


def test_a_start_marks_the_heartbeat_running_and_is_remembered_with_its_run_id() -> None:
    job = every("1h")
    record = lived(job, T0, start(T0 + M, "a"))
    assert record.run == Run(RunId("a"), T0 + M)
    assert at(job, record, T0 + M).running
    assert at(job, record, T0 + 5 * HOUR).running


def test_a_heartbeat_that_nothing_started_is_not_running() -> None:
    job = every("1h")
    assert not at(job, lived(job, T0, log(T0 + M), success(T0 + 2 * M)), T0 + 3 * M).running


@pytest.mark.parametrize(
    ("pings", "running", "duration"),
    [
        # One run, all combinations of run ids.
        ([start(T0), success(T0 + M)], None, M),
        ([start(T0), fail(T0 + M)], None, M),
        ([start(T0, "a"), success(T0 + M, "a")], None, M),
        ([start(T0, "a"), fail(T0 + M, "a")], None, M),
        ([start(T0, "a"), success(T0 + M)], None, M),
        ([start(T0, "a"), success(T0 + M, "b")], Run(RunId("a"), T0), None),
        ([start(T0, "a"), fail(T0 + M, "b")], Run(RunId("a"), T0), None),
        ([start(T0), success(T0 + M, "b")], Run(None, T0), None),
        # Nothing was started.
        ([success(T0 + M)], None, None),
        ([success(T0 + M, "a")], None, None),
        # A run that was closed is not closed again.
        ([start(T0, "a"), success(T0 + M, "a"), success(T0 + 5 * M, "a")], None, M),
        ([start(T0), success(T0 + M), success(T0 + 5 * M)], None, M),
        # A later start is the newest run.
        ([start(T0, "a"), start(T0 + M, "b")], Run(RunId("b"), T0 + M), None),
        ([start(T0, "a"), start(T0 + M, "b"), success(T0 + 3 * M, "b")], None, 2 * M),
        ([start(T0, "a"), start(T0 + M, "b"), success(T0 + 3 * M, "a")], Run(RunId("b"), T0 + M), None),
        ([start(T0, "a"), start(T0 + M, "b"), success(T0 + 3 * M)], None, 2 * M),
        ([start(T0), start(T0 + M), success(T0 + 3 * M)], None, 2 * M),
        ([start(T0, "a"), start(T0 + M), success(T0 + 3 * M, "a")], Run(None, T0 + M), None),
        # The same start, repeated because its answer was lost, is the same run.
        ([start(T0, "a"), start(T0 + M, "a"), success(T0 + 3 * M, "a")], None, 3 * M),
        # Two runs at once, the first ends first.
        (
            [start(T0, "a"), start(T0 + M, "b"), success(T0 + 2 * M, "a"), success(T0 + 9 * M, "b")],
            None,
            8 * M,
        ),
        # A log closes nothing.
        ([start(T0, "a"), log(T0 + M)], Run(RunId("a"), T0), None),
        # The clock jumped back meanwhile.
        ([start(T0), success(T0 - M)], None, 0),
    ],
)
def test_a_check_in_closes_the_newest_run_if_it_has_its_run_id_or_none(
    pings: list[Ping], running: Run | None, duration: Duration | None
) -> None:
    record = lived(every("1h"), T0, *pings)
    assert record.run == running
    assert record.last_duration == duration


def test_a_check_in_with_another_run_id_is_a_check_in() -> None:
    job = every("1h")
    record = lived(job, T0, start(T0, "a"), success(T0 + 5 * M, "b"))
    assert expect(job, record).due == T0 + 5 * M + HOUR
    assert record.successes == 1


def test_the_last_duration_stays_until_another_run_is_closed() -> None:
    job = every("1h")
    record = lived(job, T0, start(T0), success(T0 + M), success(T0 + 9 * M))
    assert record.last_duration == M
    assert fold(job, record, start(T0 + 10 * M), fail(T0 + 13 * M)).last_duration == 3 * M


def test_without_a_max_runtime_starts_move_no_deadline() -> None:
    job = every("1h")
    record = lived(job, T0, success(T0))
    started = fold(job, record, start(T0 + 10 * M), start(T0 + 2 * HOUR, "a"))
    assert expect(job, started) == expect(job, record)


def test_with_a_max_runtime_the_end_of_a_started_run_is_awaited() -> None:
    job = every("1h", max_runtime=20 * M)
    record = lived(job, T0, success(T0), start(T0 + 55 * M))
    assert expect(job, record).due == T0 + HOUR
    assert expect(job, record).deadline == T0 + 75 * M
    assert overdue_from(job, record, T0 + 75 * M)


def test_with_a_max_runtime_a_run_may_also_have_to_end_before_due() -> None:
    job = every("1d", max_runtime=20 * M)
    assert overdue_from(job, lived(job, T0, success(T0), start(T0 + M)), T0 + 21 * M)


def test_with_a_max_runtime_and_no_start_the_check_in_is_awaited() -> None:
    job = every("1h", max_runtime=20 * M, grace=M)
    assert overdue_from(job, lived(job, T0, success(T0)), T0 + 61 * M)
    record = lived(job, T0, start(T0), success(T0 + 10 * M))
    assert overdue_from(job, record, T0 + 71 * M)


@pytest.mark.parametrize(("first", "second"), [(None, None), ("a", "b"), ("a", "a"), ("a", None)])
def test_a_job_that_starts_crashes_and_starts_again_becomes_overdue(first: str | None, second: str | None) -> None:
    job = every("1h", max_runtime=20 * M)
    record = lived(job, T0, success(T0), start(T0 + 10 * M, first), start(T0 + 25 * M, second))
    assert overdue_from(job, record, T0 + 30 * M)
    record = fold(job, record, start(T0 + 31 * M, "c"))
    assert at(job, record, T0 + 31 * M).overdue


def test_the_first_start_of_an_overdue_job_ends_its_being_overdue() -> None:
    job = cron("0 10 * * *", max_runtime=2 * HOUR)
    record = lived(job, T0)
    began = moment("2026-11-24T12:34+00:00")
    assert at(job, record, began).overdue
    record = fold(job, record, start(began))
    assert not at(job, record, began).overdue
    assert overdue_from(job, record, began + 2 * HOUR)


@pytest.mark.parametrize("check_in", [success(T0 + 40 * M), fail(T0 + 40 * M), success(T0 + 40 * M, "b")])
def test_a_check_in_of_a_job_that_crashed_ends_its_being_overdue(check_in: Ping) -> None:
    job = every("1h", max_runtime=20 * M)
    record = lived(job, T0, success(T0), start(T0 + 10 * M, "a"), start(T0 + 35 * M, "b"))
    assert at(job, record, T0 + 35 * M).overdue
    record = fold(job, record, check_in)
    assert not at(job, record, T0 + 40 * M).overdue
    assert expect(job, record).deadline == T0 + 100 * M + HOUR // 8


def test_the_run_that_a_check_in_leaves_open_is_awaited_from_its_own_start() -> None:
    job = every("1h", max_runtime=20 * M)
    record = lived(job, T0, start(T0, "a"), start(T0 + 10 * M, "b"), success(T0 + 15 * M, "a"))
    assert overdue_from(job, record, T0 + 30 * M)
    record = fold(job, record, start(T0 + 25 * M, "c"))
    assert overdue_from(job, record, T0 + 30 * M)
    record = fold(job, record, success(T0 + 28 * M, "c"))
    assert overdue_from(job, record, T0 + 88 * M + HOUR // 8)


def test_a_job_is_not_late_while_a_run_with_a_max_runtime_is_open() -> None:
    job, unlimited = every("1h", max_runtime=20 * M), every("1h")
    pings = [success(T0), start(T0 + 55 * M)]
    assert at(job, lived(job, T0, *pings), T0 + 61 * M).status is Status.UP
    assert at(unlimited, lived(unlimited, T0, *pings), T0 + 61 * M).status is Status.LATE
    started = lived(job, T0, start(T0 + 55 * M))
    assert at(job, started, T0 + 61 * M).status is Status.NEW


def test_the_check_in_and_not_the_start_answers_the_calendars_moment() -> None:
    job = cron("0 * * * *", max_runtime=2 * HOUR)
    ten = moment("2026-11-24T10:00+00:00")
    record = lived(job, T0, start(ten - 2 * SECOND), success(ten + 65 * M))
    assert record.last_lateness == 65 * M
    assert expect(job, record).due == ten + 2 * HOUR
