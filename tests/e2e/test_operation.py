"""Signals and the lifecycle endpoint, as operators use them."""

import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

import pytest
from servers import Exporter, StartExporter, curl, eventually

ONE = "heartbeats: [{name: backup, interval: 1h}]"
TWO = "heartbeats: [{name: backup, interval: 1h}, {name: report, interval: 1h}]"
BAD = "heartbeats: [{name: backup, interval: soon}]"


def connect(exporter: Exporter) -> socket.socket:
    return socket.create_connection(("127.0.0.1", exporter.port), timeout=15)


def refuses(exporter: Exporter) -> bool:
    try:
        connect(exporter).close()
    except ConnectionRefusedError:
        return True
    return False


def head(exporter: Exporter, *headers: str) -> bytes:
    """The head of a ping of its one heartbeat."""
    (url,) = exporter.urls().values()
    return "\r\n".join([f"POST {urlsplit(url).path} HTTP/1.1", "Host: test", *headers, "\r\n"]).encode()


@contextmanager
def begun_ping(exporter: Exporter) -> Iterator[socket.socket]:
    """A connection on which a ping has begun, with the four bytes of its body still to come."""
    with connect(exporter) as connection:
        connection.sendall(head(exporter, "Content-Length: 4", "Expect: 100-continue"))
        assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")
        yield connection


def test_sigterm_answers_the_pings_that_have_come_and_exits_with_0(start_exporter: StartExporter) -> None:
    exporter = start_exporter(ONE)
    ping = head(exporter, "Content-Length: 0")
    with ExitStack() as stack:
        connections = [stack.enter_context(connect(exporter)) for _ in range(30)]
        for connection in connections:
            connection.sendall(ping)
            assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")
        for connection in connections:
            connection.sendall(ping)
        exporter.send(signal.SIGTERM)
        for connection in connections:
            assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")
    assert exporter.wait(within=10) == 0

    exporter.start()
    assert exporter.scrape().each("heartbeat_pings_total", signal="success") == {"backup": 60}


def test_sigterm_still_hears_the_rest_of_a_ping_that_has_begun(start_exporter: StartExporter) -> None:
    exporter = start_exporter(ONE)
    with begun_ping(exporter) as connection:
        exporter.send(signal.SIGTERM)
        eventually("it accepts nothing more", lambda: refuses(exporter), exporter)
        connection.sendall(b"done")
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")
    assert exporter.wait(within=10) == 0


def test_sigterm_does_not_wait_for_a_ping_that_never_ends(start_exporter: StartExporter) -> None:
    exporter = start_exporter(ONE)
    with begun_ping(exporter):
        exporter.send(signal.SIGTERM)
        assert exporter.wait(within=10) == 0


def test_sighup_takes_a_new_configuration_over_and_keeps_what_remains(start_exporter: StartExporter) -> None:
    exporter = start_exporter(ONE)
    curl(exporter.urls()["backup"])
    exporter.configure(TWO)
    exporter.send(signal.SIGHUP)
    eventually("the new heartbeat is shown", lambda: "report" in exporter.scrape().each("heartbeat_info"), exporter)
    curl(exporter.urls()["report"])
    pings = {"backup": 1, "report": 1}
    assert exporter.scrape().each("heartbeat_pings_total", signal="success") == pings


def test_sighup_with_a_bad_file_changes_nothing_and_shows(start_exporter: StartExporter) -> None:
    exporter = start_exporter(ONE)
    url = exporter.urls()["backup"]
    good = exporter.scrape()
    assert good.value("heartbeat_exporter_config_last_reload_successful") == 1
    exporter.configure(BAD)
    exporter.send(signal.SIGHUP)

    def refused() -> bool:
        return exporter.scrape().value("heartbeat_exporter_config_last_reload_successful") == 0

    eventually("the reload fails", refused, exporter)
    bad = exporter.scrape()
    assert bad.of_heartbeats() == good.of_heartbeats()
    loaded_at = "heartbeat_exporter_config_last_reload_success_timestamp_seconds"
    assert bad.value(loaded_at) == good.value(loaded_at)
    curl(url)


def test_the_lifecycle_endpoint_reloads_and_names_what_is_wrong(start_exporter: StartExporter) -> None:
    exporter = start_exporter(ONE, "--web.enable-lifecycle")
    exporter.configure(TWO)
    assert exporter.request("/-/reload", "POST").status == 200
    assert exporter.scrape().each("heartbeat_info").keys() == {"backup", "report"}

    exporter.configure(BAD)
    answer = exporter.request("/-/reload", "POST")
    assert answer.status == 500
    assert 'config.yaml:1: heartbeats.backup.interval: "soon" is not a duration' in answer.text
    assert exporter.scrape().each("heartbeat_info").keys() == {"backup", "report"}


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_the_lifecycle_endpoint_is_off_by_default(start_exporter: StartExporter, method: str) -> None:
    exporter = start_exporter(ONE)
    exporter.configure(TWO)
    assert exporter.request("/-/reload", method).status == 403
    assert exporter.scrape().each("heartbeat_info").keys() == {"backup"}
