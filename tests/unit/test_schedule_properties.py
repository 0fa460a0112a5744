from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import calendars, durations, moments, schedules

from exporter.schedule import DAY, HOUR, LONG_GAP, Cron, Duration, Moment, OnCalendar, Schedule


@settings(deadline=None)
@given(schedules(), moments())
def test_due_is_later_than_the_moment_that_was_asked_about(schedule: Schedule, asked: Moment) -> None:
    due = schedule.due_after(asked)
    assert due is not None
    assert due > asked


@settings(deadline=None)
@given(schedules(), moments(), durations(0, 3 * DAY))
def test_due_does_not_go_back_when_a_later_moment_is_asked_about(
    schedule: Schedule, asked: Moment, more: Duration
) -> None:
    earlier, later = schedule.due_after(asked), schedule.due_after(asked + more)
    assert earlier is not None
    assert later is not None
    assert earlier <= later


@settings(deadline=None)
@given(calendars(), moments(), durations(0, 3 * DAY))
def test_no_scheduled_moment_lies_between_what_was_asked_about_and_due(
    schedule: Cron | OnCalendar, asked: Moment, more: Duration
) -> None:
    due = schedule.due_after(asked)
    assert due is not None
    assert replace(schedule).due_after(min(asked + more, due - 1)) == due


@settings(deadline=None)
@given(calendars(), moments(), st.lists(durations(-DAY, DAY), max_size=12))
def test_what_was_asked_before_changes_no_answer(
    schedule: Cron | OnCalendar, asked: Moment, others: list[Duration]
) -> None:
    shared = replace(schedule)
    for moment in (asked, *(asked + by for by in others)):
        due = shared.due_after(moment)
        assert due is not None
        assert due == replace(schedule).due_after(moment)
        assert shared.gap_before(due) == replace(schedule).gap_before(due)


@settings(deadline=None, max_examples=50)
@given(calendars(), moments())
def test_the_gap_is_what_a_walk_from_moment_to_moment_finds(schedule: Schedule, asked: Moment) -> None:
    due = schedule.due_after(asked)
    assert due is not None
    before, walked = None, schedule.due_after(due - LONG_GAP - HOUR)
    while walked is not None and walked < due:
        before, walked = walked, schedule.due_after(walked)
    assert walked == due
    assert schedule.gap_before(due) == (None if before is None or due - before >= LONG_GAP else due - before)
