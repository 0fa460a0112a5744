from dataclasses import replace
from decimal import Decimal

import pages
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pages import rendered
from prometheus_client import CollectorRegistry
from scraping import check_page, samples_of
from stock import ENCODERS, OfOurOwn, StockPage

from exporter.heartbeat import (
    Assessment,
    Heartbeat,
    Name,
    Observation,
    Outage,
    Record,
    Run,
    Status,
    Survey,
    assess,
)
from exporter.metrics.catalogue import OF_HEARTBEATS
from exporter.metrics.negotiation import Format
from exporter.metrics.page import Page
from exporter.metrics.telemetry import Telemetry
from exporter.schedule import HOUR, MINUTE, Interval, OnCalendar

NOW = 1732440000123

BACKUP = Heartbeat(
    Name("db-backup"),
    Interval(24 * HOUR),
    description="Nightly dump",
    labels=(("severity", "critical"), ("team", "storage")),
)
SEEN = Record(
    armed_at=NOW - 72 * HOUR,
    schedule=BACKUP.schedule.identity,
    answered=NOW - HOUR,
    last_seen=NOW,
    last_success=NOW - HOUR,
    last_start=NOW,
    successes=1234567,
    starts=2,
    run=Run(None, NOW),
    last_duration=61500,
    last_lateness=-250,
)
CLEANUP = Heartbeat(
    Name("clean.up_2"),
    OnCalendar("Mon..Fri 08:00\nSat 10:00", "UTC"),
    description='Says "hello\\world"\nand 再见',
    labels=(("a", ""), ("z", "\r\0\u2028\U0001f600")),
)
UNHEARD = Record(armed_at=NOW, schedule=CLEANUP.schedule.identity)


def observe(heartbeat: Heartbeat, record: Record, now: int = NOW) -> Observation:
    return Observation(heartbeat, record, assess(heartbeat, record, now, None))


def survey_of(*observations: Observation) -> Survey:
    return pages.survey_of(NOW, *observations)


def samples(page: bytes, form: Format = Format.TEXT) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return samples_of(check_page(page.decode(), form.content_type).values())


TWO = survey_of(observe(BACKUP, SEEN), observe(CLEANUP, UNHEARD))

FORMATS = pytest.mark.parametrize("form", Format, ids=lambda form: form.name)


@pytest.fixture
def page() -> Page:
    return Page(OfOurOwn())


@FORMATS
@pytest.mark.parametrize("survey", [TWO, survey_of(), None], ids=["two", "none", "store down"])
def test_the_page_is_what_the_stock_encoder_would_write(page: Page, survey: Survey | None, form: Format) -> None:
    text = rendered(page, survey, form)

    assert text == ENCODERS[form](StockPage(survey))
    check_page(text.decode(), form.content_type)


def test_a_heartbeats_lines_look_as_prometheus_writes_them(page: Page) -> None:
    text = rendered(page, survey_of(observe(BACKUP, SEEN)), Format.TEXT).decode()

    check_page(text, Format.TEXT.content_type)
    lines = text.split("\n")
    labels = 'heartbeat="db-backup",severity="critical",team="storage"'
    assert f"heartbeat_last_seen_timestamp_seconds{{{labels}}} 1.732440000123e+09" in lines
    assert f"heartbeat_last_failure_timestamp_seconds{{{labels}}} 0.0" in lines
    assert f"heartbeat_last_duration_seconds{{{labels}}} 61.5" in lines
    assert f"heartbeat_last_lateness_seconds{{{labels}}} -0.25" in lines
    assert f"heartbeat_running{{{labels}}} 1.0" in lines
    signal = 'heartbeat="db-backup",severity="critical",signal="success",team="storage"'
    assert f"heartbeat_pings_total{{{signal}}} 1.234567e+06" in lines


def test_label_values_are_escaped_as_prometheus_reads_them(page: Page) -> None:
    text = rendered(page, survey_of(observe(CLEANUP, UNHEARD)), Format.TEXT).decode()

    check_page(text, Format.TEXT.content_type)
    assert (
        'heartbeat_info{a="",description="Says \\"hello\\\\world\\"\\nand 再见",heartbeat="clean.up_2",runbook_url="",'
        'schedule="Mon..Fri 08:00\\nSat 10:00",timezone="UTC",z="\r\0\u2028\U0001f600"} 1.0'
    ) in text.split("\n")


@FORMATS
def test_a_counter_is_announced_as_its_format_wants_it(page: Page, form: Format) -> None:
    announced = {
        Format.TEXT: "# TYPE heartbeat_pings_total counter",
        Format.OPENMETRICS: "# TYPE heartbeat_pings counter",
    }

    text = rendered(page, TWO, form).decode()

    check_page(text, form.content_type)
    assert announced[form] in text.split("\n")


@FORMATS
def test_every_series_of_a_heartbeat_carries_its_name_and_its_own_labels(page: Page, form: Format) -> None:
    found = samples(rendered(page, survey_of(observe(BACKUP, SEEN)), form), form)

    of_heartbeats = [labels for name, labels in found if name in {metric.name for metric in OF_HEARTBEATS}]
    assert len(of_heartbeats) == 17
    wanted = {("heartbeat", "db-backup"), ("severity", "critical"), ("team", "storage")}
    assert all(labels >= wanted for labels in of_heartbeats)


TIMES = st.integers(min_value=-(10**14), max_value=10**14)


@given(TIMES)
def test_milliseconds_become_seconds_without_losing_any(milliseconds: int) -> None:
    record = SEEN._replace(last_lateness=milliseconds)

    text = rendered(
        Page(OfOurOwn()),
        survey_of(observe(BACKUP, record)),
        Format.TEXT,
        frozenset({"heartbeat_last_lateness_seconds"}),
    )

    assert Decimal(text.decode().split()[-1]) * 1000 == milliseconds


HOSTILE = st.text() | st.text(alphabet='\\"n\n\r\0{}=, #\u2028é再\U0001f600')
LABEL_NAMES = st.from_regex(r"[a-z][a-z0-9]{0,6}", fullmatch=True).filter(
    lambda name: name not in {"heartbeat", "signal", "schedule", "timezone", "description", "le", "quantile"}
)
COUNTS = st.integers(min_value=0, max_value=10**9)


def maybe(values: st.SearchStrategy[int]) -> st.SearchStrategy[int | None]:
    return st.none() | values


@st.composite
def observations(draw: st.DrawFn) -> Observation:
    heartbeat = Heartbeat(
        Name(draw(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True))),
        draw(st.builds(Interval, st.integers(1000, 10**12)) | st.just(CLEANUP.schedule)),
        description=draw(HOSTILE),
        runbook_url=draw(HOSTILE),
        labels=tuple(sorted(draw(st.dictionaries(LABEL_NAMES, HOSTILE, max_size=3)).items())),
        paused=draw(st.booleans()),
        max_runtime=draw(maybe(st.integers(0, HOUR))),
    )
    moments = st.integers(min_value=0, max_value=2 * NOW)
    record = Record(
        armed_at=draw(moments),
        schedule=heartbeat.schedule.identity,
        last_seen=draw(moments),
        last_success=draw(moments),
        last_failure=draw(moments),
        last_start=draw(moments),
        successes=draw(COUNTS),
        failures=draw(COUNTS),
        starts=draw(COUNTS),
        logs=draw(COUNTS),
        consecutive_failures=draw(COUNTS),
        awaiting_since=draw(maybe(moments)),
        last_duration=draw(maybe(moments)),
        last_lateness=draw(maybe(TIMES)),
        last_exit_status=draw(maybe(st.integers(0, 255))),
    )
    return Observation(heartbeat, record, assess(heartbeat, record, draw(moments), Outage(NOW, NOW, 5 * MINUTE)))


SURVEYS = st.lists(observations(), max_size=4, unique_by=lambda o: o.heartbeat.name).map(lambda o: survey_of(*o))


@settings(max_examples=40, deadline=None)
@given(SURVEYS, st.sampled_from(Format))
def test_whatever_is_observed_the_page_is_the_stock_encoders_and_can_be_read(survey: Survey, form: Format) -> None:
    text = rendered(Page(OfOurOwn()), survey, form)

    assert text == ENCODERS[form](StockPage(survey))
    families = check_page(text.decode(), form.content_type)
    read = [sample.labels for sample in families["heartbeat_info"].samples] if survey.observations else []
    assert read == [
        {
            "heartbeat": heartbeat.name,
            "schedule": heartbeat.schedule.text,
            "timezone": heartbeat.timezone,
            "description": heartbeat.description,
            "runbook_url": heartbeat.runbook_url,
            **dict(heartbeat.labels),
        }
        for heartbeat, _, _ in survey.observations
    ]


def test_every_status_is_counted_also_where_there_are_none(page: Page) -> None:
    overdue = Assessment(Status.OVERDUE, None, None, overdue=True, failed=False, running=False)
    survey = survey_of(*(Observation(replace(BACKUP, name=Name(name)), SEEN, overdue) for name in ("a", "b")))

    counted = {
        dict(labels)["status"]: value
        for (name, labels), value in samples(rendered(page, survey, Format.TEXT)).items()
        if name == "heartbeat_exporter_heartbeats"
    }

    assert counted == {"paused": 0, "overdue": 2, "failed": 0, "late": 0, "new": 0, "up": 0}


@FORMATS
def test_while_the_store_is_down_nothing_is_said_of_heartbeats(page: Page, form: Format) -> None:
    rendered(page, TWO, form)

    families = check_page(rendered(page, None, form).decode(), form.content_type)

    assert set(families) == {"own_level", "own_events", "own_wait_seconds"}


@FORMATS
@pytest.mark.parametrize("survey", [TWO, None], ids=["store up", "store down"])
@pytest.mark.parametrize(
    "names",
    [
        {"heartbeat_overdue"},
        {"heartbeat_overdue", "heartbeat_info", "heartbeat_exporter_heartbeats", "own_level"},
        {"heartbeat_pings_total", "own_events_total"},
        {"heartbeat_pings", "own_events"},
        {"own_wait_seconds_bucket"},
        {"own_wait_seconds_sum", "own_wait_seconds_count"},
        {"heartbeat_last_exit_status"},
        {"no_such_name", ""},
    ],
    ids=sorted,
)
def test_names_select_samples_as_prometheus_client_does(
    page: Page, survey: Survey | None, form: Format, names: set[str]
) -> None:
    registry = CollectorRegistry(auto_describe=True)
    registry.register(StockPage(survey))

    assert rendered(page, survey, form, frozenset(names)) == ENCODERS[form](registry.restricted_registry(names))


def test_the_names_of_the_process_can_be_selected_too() -> None:
    page = Page(Telemetry("1.2.3", "abc").registry)

    text = rendered(page, TWO, Format.TEXT, frozenset({"process_start_time_seconds", "python_info"}))

    assert {name for name, _ in samples(text)} == {"process_start_time_seconds", "python_info"}


def test_the_times_at_which_counters_began_are_no_series() -> None:
    page = Page(Telemetry("1.2.3", "abc").registry)

    assert not [name for name, _ in samples(rendered(page, TWO, Format.TEXT)) if name.endswith("_created")]


@pytest.mark.parametrize(
    "changed",
    [
        replace(BACKUP, labels=(("team", "database"),)),
        replace(BACKUP, description="Hourly dump"),
        replace(BACKUP, schedule=Interval(HOUR)),
        replace(BACKUP, timezone="Europe/Berlin"),
    ],
    ids=["labels", "description", "schedule", "timezone"],
)
def test_a_heartbeat_that_is_declared_anew_shows_so_in_the_next_page(page: Page, changed: Heartbeat) -> None:
    rendered(page, TWO, Format.TEXT)
    survey = survey_of(observe(changed, SEEN))

    text = rendered(page, survey, Format.TEXT)

    assert text == ENCODERS[Format.TEXT](StockPage(survey))
