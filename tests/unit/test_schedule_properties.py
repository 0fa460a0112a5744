from hypothesis import given, settings
from strategies import calendars, durations, moments, schedules

from exporter.schedule import DAY, HOUR, LONG_GAP, Duration, Moment, Schedule


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
    schedule: Schedule, asked: Moment, more: Duration
) -> None:
    due = schedule.due_after(asked)
    assert due is not None
    assert schedule.due_after(min(asked + more, due - 1)) == due


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
