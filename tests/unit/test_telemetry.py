import platform

import pytest
from pages import rendered
from prometheus_client import REGISTRY, Metric
from scraping import check_page, samples_of

from exporter.heartbeat import Outage
from exporter.metrics.catalogue import HEARTBEATS, OF_EXPORTER
from exporter.metrics.negotiation import Format
from exporter.metrics.page import Page
from exporter.metrics.telemetry import Rejection, Telemetry

OF_THE_LIBRARY = ("process_", "python_info")


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry(version="1.2.3", revision="abcdef0")


def scrape(telemetry: Telemetry, form: Format = Format.TEXT) -> dict[str, Metric]:
    return check_page(rendered(Page(telemetry.registry), None, form).decode(), form.content_type)


def value(telemetry: Telemetry, name: str, **labels: str) -> float | None:
    return samples_of(scrape(telemetry).values()).get((name, frozenset(labels.items())))


def labels_of(telemetry: Telemetry, family: str, label: str) -> set[str]:
    found = scrape(telemetry).get(family)
    return {sample.labels[label] for sample in found.samples} if found else set()


@pytest.mark.parametrize("form", Format, ids=lambda form: form.name)
def test_what_is_shown_of_the_exporter_is_what_the_catalogue_lists(telemetry: Telemetry, form: Format) -> None:
    telemetry.request_served("metrics", "GET", 200, 0.01)

    families = scrape(telemetry, form)

    shown = {
        family.name + ("_total" if family.type == "counter" else ""): (family.type, family.documentation)
        for family in families.values()
        if not family.name.startswith(OF_THE_LIBRARY)
    }
    assert shown == {
        metric.name: (metric.type.value, metric.help) for metric in OF_EXPORTER if metric is not HEARTBEATS
    }


def test_the_exporters_metrics_carry_the_labels_that_the_catalogue_lists(telemetry: Telemetry) -> None:
    telemetry.request_served("metrics", "GET", 200, 0.01)
    listed = {metric.name.removesuffix("_total"): set(metric.labels) for metric in OF_EXPORTER}

    for name, family in scrape(telemetry).items():
        if not name.startswith(OF_THE_LIBRARY):
            assert {label for sample in family.samples for label in sample.labels} - {"le"} == listed[name]


def test_the_registry_is_its_own(telemetry: Telemetry) -> None:
    telemetry.ping_received()

    assert value(Telemetry("1.2.3", ""), "heartbeat_exporter_pings_received_total") == 0
    assert not [family for family in REGISTRY.collect() if family.name.startswith("heartbeat")]


def test_process_and_python_are_described_but_not_the_garbage_collector(telemetry: Telemetry) -> None:
    families = scrape(telemetry)

    assert {"process_cpu_seconds", "process_resident_memory_bytes", "process_open_fds", "python_info"} <= set(families)
    assert not [name for name in families if name.startswith("python_gc")]


def test_build_info_says_what_runs(telemetry: Telemetry) -> None:
    labels = {"version": "1.2.3", "revision": "abcdef0", "python_version": platform.python_version()}

    assert value(telemetry, "heartbeat_exporter_build_info", **labels) == 1


def test_requests_to_ping_urls_are_counted(telemetry: Telemetry) -> None:
    telemetry.ping_received()
    telemetry.ping_received()

    assert value(telemetry, "heartbeat_exporter_pings_received_total") == 2


def test_every_reason_for_a_rejection_is_there_from_the_start(telemetry: Telemetry) -> None:
    reasons = labels_of(telemetry, "heartbeat_exporter_pings_rejected", "reason")

    assert reasons == {"unknown", "bad_request", "method", "timeout", "store", "overload"}
    assert value(telemetry, "heartbeat_exporter_pings_rejected_total", reason="store") == 0


def test_rejections_are_counted_by_reason(telemetry: Telemetry) -> None:
    telemetry.ping_rejected(Rejection.BAD_REQUEST)

    assert value(telemetry, "heartbeat_exporter_pings_rejected_total", reason="bad_request") == 1
    assert value(telemetry, "heartbeat_exporter_pings_rejected_total", reason="unknown") == 0


def test_requests_are_timed_by_handler_method_and_code(telemetry: Telemetry) -> None:
    for seconds in (0.004, 0.3):
        telemetry.request_served("ping", "POST", 200, seconds)
    telemetry.request_served("ping", "POST", 404, 0.001)

    name, labels = "heartbeat_exporter_http_request_duration_seconds", {"handler": "ping", "method": "POST"}
    assert value(telemetry, f"{name}_count", **labels, code="200") == 2
    assert value(telemetry, f"{name}_sum", **labels, code="200") == pytest.approx(0.304)
    assert value(telemetry, f"{name}_bucket", **labels, code="200", le="0.005") == 1
    assert value(telemetry, f"{name}_count", **labels, code="404") == 1


def test_clients_cannot_make_series_by_inventing_methods(telemetry: Telemetry) -> None:
    for method in ("GET", "OPTIONS", "BREW", "get", "PROPFIND", ""):
        telemetry.request_served("metrics", method, 405, 0.001)

    methods = labels_of(telemetry, "heartbeat_exporter_http_request_duration_seconds", "method")
    assert methods == {"GET", "OPTIONS", "other"}


def test_a_commit_is_measured_in_time_and_in_pings(telemetry: Telemetry) -> None:
    telemetry.commit_done(3, 0.002)

    assert value(telemetry, "heartbeat_exporter_store_commit_pings_sum") == 3
    assert value(telemetry, "heartbeat_exporter_store_commit_pings_bucket", le="2.0") == 0
    assert value(telemetry, "heartbeat_exporter_store_commit_pings_bucket", le="4.0") == 1
    assert value(telemetry, "heartbeat_exporter_store_commit_duration_seconds_sum") == 0.002
    assert value(telemetry, "heartbeat_exporter_store_commit_duration_seconds_bucket", le="0.001") == 0
    assert value(telemetry, "heartbeat_exporter_store_commit_duration_seconds_bucket", le="0.0025") == 1


@pytest.mark.parametrize(
    ("family", "least", "most"),
    [
        ("heartbeat_exporter_http_request_duration_seconds", 0.001, 10),
        ("heartbeat_exporter_store_commit_duration_seconds", 0.0005, 5),
        ("heartbeat_exporter_store_commit_pings", 1, 4096),
    ],
)
def test_buckets_reach_from_the_best_to_the_worst_that_matters(
    telemetry: Telemetry, family: str, least: float, most: float
) -> None:
    telemetry.request_served("metrics", "GET", 200, 0.01)

    bounds = sorted(float(sample.labels["le"]) for sample in scrape(telemetry)[family].samples if "le" in sample.labels)

    assert (bounds[0], bounds[-2], bounds[-1]) == (least, most, float("inf"))


def test_the_store_is_down_until_it_is_said_to_be_up(telemetry: Telemetry) -> None:
    shown = [value(telemetry, "heartbeat_exporter_store_up")]
    for up in (True, False):
        telemetry.store_up(up)
        shown.append(value(telemetry, "heartbeat_exporter_store_up"))

    assert shown == [0, 1, 0]


def test_a_bad_configuration_shows_and_leaves_the_time_of_the_last_good_one(telemetry: Telemetry) -> None:
    telemetry.config_loaded(True, 1732440000123)
    telemetry.config_loaded(False, 1732440999000)

    name = "heartbeat_exporter_config_last_reload_success"
    assert value(telemetry, f"{name}ful") == 0
    assert value(telemetry, f"{name}_timestamp_seconds") == 1732440000.123


def test_a_good_configuration_moves_the_time(telemetry: Telemetry) -> None:
    telemetry.config_loaded(True, 1000)
    telemetry.config_loaded(True, 2000)

    assert value(telemetry, "heartbeat_exporter_config_last_reload_successful") == 1
    assert value(telemetry, "heartbeat_exporter_config_last_reload_success_timestamp_seconds") == 2


@pytest.mark.parametrize(("outage", "start", "end"), [(None, 0, 0), (Outage(1500, 2500, 300_000), 1.5, 2.5)])
def test_the_last_outage_is_shown_by_its_ends(
    telemetry: Telemetry, outage: Outage | None, start: float, end: float
) -> None:
    telemetry.outage_noted(outage)

    assert value(telemetry, "heartbeat_exporter_last_outage_start_timestamp_seconds") == start
    assert value(telemetry, "heartbeat_exporter_last_outage_end_timestamp_seconds") == end
