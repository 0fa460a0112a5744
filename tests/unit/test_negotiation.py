import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.metrics.negotiation import Format, accepts_gzip, choose_format

PROMETHEUS_2_5 = "application/openmetrics-text; version=0.0.1,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
PROMETHEUS_2_42 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_2_53 = (
    "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PROMETHEUS_2_53_WITH_NATIVE_HISTOGRAMS = (
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.5,"
    "application/openmetrics-text;version=1.0.0;q=0.4,application/openmetrics-text;version=0.0.1;q=0.3,"
    "text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PROMETHEUS_3_ESCAPING_UNDERSCORES = (
    "application/openmetrics-text;version=1.0.0;escaping=underscores;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=underscores;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PROMETHEUS_3_TEXT_ONLY = "text/plain;version=0.0.4;q=0.6,*/*;q=0.5"
FIREFOX = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (PROMETHEUS_2_5, Format.TEXT),
        (PROMETHEUS_2_42, Format.OPENMETRICS),
        (PROMETHEUS_2_53, Format.OPENMETRICS),
        (PROMETHEUS_2_53_WITH_NATIVE_HISTOGRAMS, Format.OPENMETRICS),
        (PROMETHEUS_3, Format.OPENMETRICS),
        (PROMETHEUS_3_ESCAPING_UNDERSCORES, Format.OPENMETRICS),
        (PROMETHEUS_3_TEXT_ONLY, Format.TEXT),
        (FIREFOX, Format.TEXT),
        ("*/*", Format.TEXT),
    ],
)
def test_the_clients_in_the_field_get_the_best_format_that_they_know(accept: str, chosen: Format) -> None:
    assert choose_format(accept) is chosen


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("application/openmetrics-text", Format.OPENMETRICS),
        ("application/openmetrics-text;version=1.0.0", Format.OPENMETRICS),
        ('application/openmetrics-text;version="1.0.0"', Format.OPENMETRICS),
        ("application/openmetrics-text; version=1.0.0; charset=utf-8", Format.OPENMETRICS),
        ("application/openmetrics-text;version=0.0.1", Format.TEXT),
        ("application/openmetrics-text;version=2.0.0", Format.TEXT),
        ("application/openmetrics-text;version=2.0.0,application/openmetrics-text;version=1.0.0", Format.OPENMETRICS),
    ],
)
def test_openmetrics_is_served_in_the_version_that_we_write(accept: str, chosen: Format) -> None:
    assert choose_format(accept) is chosen


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("application/openmetrics-text;q=0.5,text/plain;q=0.4", Format.OPENMETRICS),
        ("application/openmetrics-text;q=0.4,text/plain;q=0.5", Format.TEXT),
        ("application/openmetrics-text;q=0.5,*/*;q=0.9", Format.TEXT),
        ("application/openmetrics-text;q=0.001", Format.OPENMETRICS),
        ("application/openmetrics-text;q=0", Format.TEXT),
        ("application/openmetrics-text;q=0.000,*/*", Format.TEXT),
        ("text/plain;q=0,*/*", Format.OPENMETRICS),
        ("application/openmetrics-text;q=0.3,application/openmetrics-text;q=0.6,text/plain;q=0.5", Format.OPENMETRICS),
    ],
)
def test_the_greater_quality_wins(accept: str, chosen: Format) -> None:
    assert choose_format(accept) is chosen


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("application/openmetrics-text,text/plain", Format.OPENMETRICS),
        ("text/plain,application/openmetrics-text", Format.OPENMETRICS),
        ("application/openmetrics-text,*/*", Format.OPENMETRICS),
        ("application/*,text/*", Format.OPENMETRICS),
        ("application/*,text/plain", Format.TEXT),
        ("text/plain,*/*", Format.TEXT),
    ],
)
def test_of_two_equally_liked_openmetrics_wins_if_it_is_named_at_least_as_exactly(accept: str, chosen: Format) -> None:
    assert choose_format(accept) is chosen


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("application/*", Format.OPENMETRICS),
        ("application/*;q=0.2,text/*;q=0.8", Format.TEXT),
        ("application/*,application/openmetrics-text;q=0", Format.TEXT),
        ("text/*", Format.TEXT),
        ("text/plain;q=0.5,*/*;q=0.9", Format.TEXT),
    ],
)
def test_a_range_of_types_names_what_is_in_it(accept: str, chosen: Format) -> None:
    assert choose_format(accept) is chosen


@pytest.mark.parametrize(
    "accept",
    [
        "Application/OpenMetrics-Text;Version=1.0.0;Q=0.9,TEXT/PLAIN;q=0.1",
        "  application/openmetrics-text ; version = 1.0.0 ; q = 0.9 ,\ttext/plain ; q=0.1 ",
        ",,application/openmetrics-text;version=1.0.0;;q=0.9,",
    ],
)
def test_case_and_spaces_do_not_matter(accept: str) -> None:
    assert choose_format(accept) is Format.OPENMETRICS


@pytest.mark.parametrize(
    "accept",
    [
        None,
        "",
        " ",
        ",;,=;",
        "image/png",
        "application/json;q=1",
        "application/openmetrics-text;q=high",
        "application/openmetrics-text;q=nan",
        "application/openmetrics-text;q=1.5",
        "application/openmetrics-text;q=-1",
        "application/openmetrics-text;q=",
        "openmetrics",
        "\x00\xff;q=\xff",
    ],
)
def test_whoever_asks_for_nothing_that_we_have_gets_text(accept: str | None) -> None:
    assert choose_format(accept) is Format.TEXT


@given(st.text() | st.text(alphabet="aplictonx-/*,;=q.0159 \"'"))
def test_no_header_is_an_error(header: str) -> None:
    assert choose_format(header) in Format
    assert accepts_gzip(header) in (True, False)


@pytest.mark.parametrize(
    ("form", "content_type"),
    [
        (Format.TEXT, "text/plain; version=0.0.4; charset=utf-8"),
        (Format.OPENMETRICS, "application/openmetrics-text; version=1.0.0; charset=utf-8"),
    ],
)
def test_a_format_is_announced_as_prometheus_knows_it(form: Format, content_type: str) -> None:
    assert form.content_type == content_type


@pytest.mark.parametrize(
    ("accept_encoding", "accepted"),
    [
        (None, False),
        ("", False),
        ("gzip", True),
        ("GZIP", True),
        ("x-gzip", True),
        ("deflate, gzip;q=1.0, *;q=0.5", True),
        ("gzip, deflate, br, zstd", True),
        ("*", True),
        ("gzip;q=0.001", True),
        ("gzip;q=0", False),
        ("gzip;q=0.0, *", False),
        ("*;q=0", False),
        ("identity", False),
        ("identity, gzip;q=0.5", False),
        ("identity;q=0.5, gzip", True),
        ("identity;q=0, *", True),
        ("deflate", False),
        ("gzip;q=much", False),
        ("gzipped", False),
    ],
)
def test_an_answer_is_compressed_for_those_who_like_gzip_at_least_as_much(
    accept_encoding: str | None, accepted: bool
) -> None:
    assert accepts_gzip(accept_encoding) is accepted
