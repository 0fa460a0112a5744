"""When a check-in is due, how late is too late, what a check-in answers, and the status that follows."""

import pytest
from folding import at, calendar, cron, every, fail, fold, lived, log, moment, overdue_from, shown, start, success

from exporter.heartbeat import Heartbeat, Ping, Record, Signal, Status, expect
from exporter.schedule import DAY, HOUR, LONG_GAP, MINUTE, SECOND, Duration, Moment

T0 = moment("2026-11-24T09:30+00:00")


def clock(time: str) -> Moment:
    """The moment on the day of T0, in UTC."""
    return moment(f"2026-11-24T{time}+00:00")


def next_due(heartbeat: Heartbeat, record: Record) -> str | None:
    return shown(expect(heartbeat, record).due)


# --- never checked in


def test_a_heartbeat_that_never_checked_in_is_due_an_interval_after_it_was_armed() -> None:
    job = every("1h")
    record = lived(job, T0)
    assert expect(job, record).due == T0 + HOUR
    assert overdue_from(job, record, T0 + HOUR + HOUR // 8)


def test_a_heartbeat_that_never_checked_in_is_due_at_the_first_scheduled_moment_after_it_was_armed() -> None:
    job = cron("0 10 * * *")
    assert next_due(job, lived(job, clock("09:59:59.999"))) == "2026-11-24T10:00+00:00"
    assert next_due(job, lived(job, clock("10:00"))) == "2026-11-25T10:00+00:00"


# --- grace


@pytest.mark.parametrize(
    ("job", "grace"),
    [
        (every("1h"), 7 * MINUTE + 30 * SECOND),
        (every("1d"), HOUR),
        (every("8h"), HOUR),
        (every("7h59m59s992ms"), HOUR - 1),
        (every("8m"), MINUTE),
        (every("8m8ms"), MINUTE + 1),
        (every("1m"), MINUTE),
        (every("1s"), MINUTE),
        (every("1y"), HOUR),
        (cron("0 * * * *"), 7 * MINUTE + 30 * SECOND),
        (cron("* * * * *"), MINUTE),
        (cron("*/20 * * * *"), 2 * MINUTE + 30 * SECOND),
        (cron("0 10 * * *"), HOUR),
        (cron("0 6,10 * * *"), 30 * MINUTE),  # the gap before the due moment, not the one after it
        (calendar("10:00"), HOUR),
        (calendar("08:00\n10:00"), 15 * MINUTE),
        (calendar("2026-11-24 10:00"), HOUR),  # no moment before it
        (every("1h", grace=0), 0),
        (every("1h", grace=3 * DAY), 3 * DAY),
        (cron("0 * * * *", grace=1), 1),
    ],
)
def test_grace_is_as_given_or_an_eighth_of_the_gap_from_a_minute_to_an_hour(job: Heartbeat, grace: Duration) -> None:
    expected = expect(job, lived(job, T0))
    assert expected.due is not None
    assert expected.grace == grace
    assert expected.deadline == expected.due + grace


def test_the_automatic_grace_follows_the_gaps_of_an_uneven_calendar() -> None:
    job = cron("0,10 9,13 * * *")
    record = lived(job, clock("09:05"))
    assert overdue_from(job, record, clock("09:11:15"))  # ten minutes after 09:00
    assert overdue_from(job, fold(job, record, success(clock("09:10"))), clock("13:28:45"))  # 3h50m after 09:10


def test_a_long_gap_is_one_with_which_the_automatic_grace_no_longer_grows() -> None:
    job = every("1h")
    assert job.grace_after(LONG_GAP - 8) == HOUR - 1
    assert job.grace_after(LONG_GAP) == job.grace_after(9 * DAY) == job.grace_after(None) == HOUR


# --- check-ins


@pytest.mark.parametrize("signal", [Signal.SUCCESS, Signal.FAIL])
def test_after_a_check_in_a_heartbeat_is_due_an_interval_later(signal: Signal) -> None:
    job = every("1h")
    record = lived(job, T0, Ping(T0 + 20 * MINUTE, signal))
    assert expect(job, record).due == T0 + 80 * MINUTE


@pytest.mark.parametrize("signal", [Signal.START, Signal.LOG])
def test_what_is_no_check_in_moves_no_due_moment(signal: Signal) -> None:
    job = every("1h")
    assert expect(job, lived(job, T0, Ping(T0 + 20 * MINUTE, signal))) == expect(job, lived(job, T0))


@pytest.mark.parametrize(
    ("job", "check_in", "due", "lateness"),
    [
        (cron("0 * * * *"), "09:59:58", "11:00", -2 * SECOND),  # the clock is two seconds fast
        (cron("0 * * * *"), "10:00:00", "11:00", 0),
        (cron("0 * * * *"), "10:20:00", "11:00", 20 * MINUTE),
        (cron("0 * * * *"), "09:55:00", "11:00", -5 * MINUTE),  # five minutes are the most
        (cron("0 * * * *"), "09:54:59.999", "10:00", None),
        (cron("0 10 * * *"), "09:55:00", "10:00 25", -5 * MINUTE),
        (cron("0 10 * * *"), "09:54:59.999", "10:00", None),
        (calendar("2026-11-24 10:00"), "09:55:00", "never", -5 * MINUTE),
        (calendar("2026-11-24 10:00"), "09:54:59.999", "10:00", None),
        (cron("0 * * * *", grace=MINUTE), "09:59:00", "11:00", -MINUTE),  # a grace below that is
        (cron("0 * * * *", grace=MINUTE), "09:58:59.999", "10:00", None),
        (cron("0 10 * * *", grace=MINUTE), "09:58:59.999", "10:00", None),
        (cron("0 * * * *", grace=0), "09:59:59.999", "10:00", None),
        (cron("0 * * * *", grace=0), "10:00:00", "11:00", 0),
        (cron("*/6 * * * *", grace=HOUR), "09:33:00", "09:42", -3 * MINUTE),  # half of a gap below that is
        (cron("*/6 * * * *", grace=HOUR), "09:32:59.999", "09:36", None),
        (calendar("10:00", grace=HOUR), "09:59:58", "10:00 25", -2 * SECOND),
        (cron("0 * * * *"), "09:31:00", "10:00", None),
    ],
)
def test_a_check_in_a_little_early_answers_the_calendars_moment_and_an_earlier_one_is_an_extra_run(
    job: Heartbeat, check_in: str, due: str, lateness: Duration | None
) -> None:
    record = lived(job, T0, success(clock(check_in)))
    time, day = f"{due} 24".split()[:2]
    assert next_due(job, record) == (None if due == "never" else f"2026-11-{day}T{time}+00:00")
    assert record.last_lateness == lateness


def test_a_job_whose_clock_is_two_seconds_fast_does_not_page_an_hour_later() -> None:
    job = cron("0 * * * *")
    record = lived(job, T0, success(clock("09:59:58")))
    assert not at(job, record, clock("11:07:29.999")).overdue
    assert overdue_from(job, record, clock("11:07:30"))


def test_a_job_whose_clock_is_fast_is_not_overdue_for_ever_after_one_missed_run() -> None:
    job = cron("0 * * * *")
    record = lived(job, T0, success(clock("09:59:58")))  # nothing at 11:00
    assert at(job, record, clock("11:59:57")).overdue
    record = fold(job, record, success(clock("11:59:58")))
    assert record.last_lateness == -2 * SECOND
    assert overdue_from(job, record, clock("13:07:30"))


@pytest.mark.parametrize(
    ("check_in", "due", "lateness"),
    [("11:54:59.999", "12:00", 55 * MINUTE - 1), ("11:55:00", "13:00", -5 * MINUTE), ("12:00:00", "13:00", HOUR)],
)
def test_after_a_missed_run_a_check_in_answers_the_next_moment_too_if_it_is_a_little_early_for_it(
    check_in: str, due: str, lateness: Duration
) -> None:
    job = cron("0 * * * *")
    record = lived(job, clock("10:30"), success(clock(check_in)))  # due at 11:00
    assert next_due(job, record) == f"2026-11-24T{due}+00:00"
    assert record.last_lateness == lateness


@pytest.mark.parametrize(("check_in", "due"), [("09:45:00", "09:50"), ("09:47:59.999", "09:50"), ("09:48:00", "10:00")])
def test_a_check_in_that_is_late_but_within_the_grace_answers_no_moment_in_advance(check_in: str, due: str) -> None:
    job = cron("*/10 * * * *", grace=8 * MINUTE)
    record = lived(job, clock("09:35"), success(clock(check_in)))  # due at 09:40, missed from 09:48 on
    assert next_due(job, record) == f"2026-11-24T{due}+00:00"


def test_one_check_in_answers_all_scheduled_moments_before_it() -> None:
    job = cron("0 * * * *")
    record = lived(job, T0, success(clock("15:20")))
    assert next_due(job, record) == "2026-11-24T16:00+00:00"
    assert record.last_lateness == 5 * HOUR + 20 * MINUTE


def test_an_extra_run_keeps_the_lateness_of_the_last_regular_one() -> None:
    job = cron("0 10 * * *")
    record = lived(job, T0, success(clock("10:03")), success(clock("17:00")))
    assert record.last_lateness == 3 * MINUTE
    assert record.last_success == clock("17:00")
    assert next_due(job, record) == "2026-11-25T10:00+00:00"


def test_a_second_check_in_for_the_same_moment_is_an_extra_run() -> None:
    job = cron("0 * * * *")
    record = lived(job, T0, success(clock("09:59:58")), success(clock("10:00:03")))
    assert next_due(job, record) == "2026-11-24T11:00+00:00"
    assert record.last_lateness == -2 * SECOND


@pytest.mark.parametrize("after", [-20 * MINUTE, 0, 20 * MINUTE])
def test_the_lateness_of_an_interval_is_negative_where_the_check_in_was_early(after: Duration) -> None:
    job = every("1h")
    record = lived(job, T0, success(T0 + MINUTE), success(T0 + MINUTE + HOUR + after))
    assert record.last_lateness == after


def test_a_calendar_whose_moments_have_passed_is_never_due_late_or_overdue() -> None:
    job = calendar("2026-11-24 10:00")
    record = lived(job, T0, success(clock("10:05")))
    assert record.last_lateness == 5 * MINUTE
    assert expect(job, record).due is expect(job, record).deadline is None
    assert at(job, record, T0 + 1000 * DAY).status is Status.UP
    assert fold(job, record, success(clock("11:00"))).last_lateness == 5 * MINUTE


def test_a_clock_that_jumped_back_brings_no_past_moment_of_a_calendar_back() -> None:
    job = calendar("2026-11-24 10:00")
    assert next_due(job, lived(job, T0, success(clock("10:05")), success(clock("09:31")))) is None


def test_a_clock_that_jumped_back_moves_neither_last_seen_nor_due_back() -> None:
    job = every("1h")
    record = lived(job, T0, success(T0 + HOUR))
    later = fold(job, record, fail(T0), success(T0 + 1), start(T0 + 2), log(T0 + 3))
    assert later.last_seen == record.last_seen
    assert later.last_success == record.last_success
    assert expect(job, later).due == expect(job, record).due


def test_a_check_in_from_before_the_arming_moves_due_no_further_back() -> None:
    job = every("1h")
    assert expect(job, lived(job, T0, success(T0 - HOUR))).due == T0 + HOUR


# --- what is noted of a ping


def test_each_signal_is_noted_and_counted_as_itself() -> None:
    job = every("1h")
    record = lived(job, T0, success(T0 + 1), fail(T0 + 2), start(T0 + 3), log(T0 + 4), success(T0 + 5))
    assert (record.successes, record.failures, record.starts, record.logs, record.pings) == (2, 1, 1, 1, 5)
    assert record.last_seen == T0 + 5
    assert (record.last_success, record.last_failure, record.last_start) == (T0 + 5, T0 + 2, T0 + 3)


def test_a_log_changes_nothing_but_last_seen_and_its_count() -> None:
    job = every("1h")
    record = lived(job, T0, start(T0 + 1, "a"), fail(T0 + 2, "b", 3))
    assert fold(job, record, log(T0 + 9)) == record._replace(last_seen=T0 + 9, logs=1, pings=3)


@pytest.mark.parametrize("signal", Signal)
def test_an_ignored_ping_only_takes_a_number_in_the_history(signal: Signal) -> None:
    job = every("1h")
    record = lived(job, T0, start(T0 + 1))
    assert fold(job, record, Ping(T0 + 2, signal, exit_status=3, ignored=True)) == record._replace(pings=2)


def test_the_last_exit_status_stays_until_another_is_sent() -> None:
    job = every("1h")
    record = lived(job, T0, success(T0 + 1))
    assert record.last_exit_status is None
    record = fold(job, record, fail(T0 + 2, exit_status=137), success(T0 + 3))
    assert record.last_exit_status == 137
    assert fold(job, record, success(T0 + 4, exit_status=0)).last_exit_status == 0


# --- failed


def test_a_fail_is_a_check_in_so_the_heartbeat_is_failed_and_not_overdue() -> None:
    job = every("1h")
    record = lived(job, T0, fail(T0 + HOUR))
    now = at(job, record, T0 + 2 * HOUR - 1)
    assert (now.failed, now.overdue, now.status) == (True, False, Status.FAILED)


@pytest.mark.parametrize(
    ("threshold", "fails", "failed"), [(1, 0, False), (1, 1, True), (3, 2, False), (3, 3, True), (3, 4, True)]
)
def test_a_heartbeat_is_failed_once_as_many_check_ins_in_a_row_were(threshold: int, fails: int, failed: bool) -> None:
    job = every("1h", failure_threshold=threshold)
    record = lived(job, T0, success(T0), *(fail(T0 + 1 + n) for n in range(fails)))
    assert record.consecutive_failures == fails
    assert at(job, record, T0 + 10).failed is failed


def test_starts_and_logs_do_not_interrupt_fails_in_a_row_and_a_success_does() -> None:
    job = every("1h", failure_threshold=2)
    record = lived(job, T0, fail(T0 + 1), start(T0 + 2), log(T0 + 3), fail(T0 + 4))
    assert at(job, record, T0 + 5).failed
    record = fold(job, record, success(T0 + 6), fail(T0 + 7))
    assert record.consecutive_failures == 1
    assert not at(job, record, T0 + 8).failed


# --- status


@pytest.mark.parametrize(
    ("paused", "pings", "now", "status"),
    [
        (True, [fail(T0)], T0 + 9 * HOUR, Status.PAUSED),  # also overdue and failed
        (False, [fail(T0)], T0 + 9 * HOUR, Status.OVERDUE),  # also failed
        (False, [], T0 + 9 * HOUR, Status.OVERDUE),  # also new
        (False, [fail(T0)], T0 + HOUR, Status.FAILED),  # also late
        (False, [success(T0)], T0 + HOUR, Status.LATE),
        (False, [], T0 + HOUR, Status.LATE),  # also new
        (False, [], T0 + HOUR - 1, Status.NEW),
        (False, [start(T0), log(T0)], T0 + HOUR - 1, Status.NEW),
        (False, [success(T0)], T0 + HOUR - 1, Status.UP),
        (False, [fail(T0), success(T0)], T0, Status.UP),
    ],
)
def test_the_status_is_the_first_that_holds(paused: bool, pings: list[Ping], now: Moment, status: Status) -> None:
    job = every("1h", paused=paused)
    assert at(job, lived(job, T0, *pings), now).status is status


def test_the_statuses_are_declared_in_the_order_in_which_they_go_before_each_other() -> None:
    assert [str(status) for status in Status] == ["paused", "overdue", "failed", "late", "new", "up"]


def test_a_check_in_is_late_from_due_until_the_deadline() -> None:
    job = every("1h", grace=MINUTE)
    record = lived(job, T0, success(T0))
    assert [at(job, record, T0 + HOUR + after).status for after in (-1, 0, MINUTE - 1, MINUTE)] == [
        Status.UP,
        Status.LATE,
        Status.LATE,
        Status.OVERDUE,
    ]


def test_without_grace_a_heartbeat_is_overdue_when_it_is_due() -> None:
    job = every("1h", grace=0)
    assert overdue_from(job, lived(job, T0, success(T0)), T0 + HOUR)
