import argparse
from pathlib import Path

import pytest

from exporter.cli import build_parser
from exporter.flags import (
    ListenAddress,
    TcpAddress,
    UnixAddress,
    external_url,
    given,
    listen_address,
    secret_path,
    storage_path,
    web_path,
    web_url,
)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (":10090", TcpAddress(None, 10090)),
        ("127.0.0.1:0", TcpAddress("127.0.0.1", 0)),
        ("localhost:80", TcpAddress("localhost", 80)),
        ("[::1]:10090", TcpAddress("::1", 10090)),
        ("[::]:10090", TcpAddress("::", 10090)),
        ("unix:/run/heartbeat/web.sock", UnixAddress(Path("/run/heartbeat/web.sock"))),
        ("unix:web:1.sock", UnixAddress(Path("web:1.sock"))),
    ],
)
def test_a_listen_address_is_host_and_port_or_a_unix_socket(text: str, address: ListenAddress) -> None:
    assert listen_address(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10090",
        "localhost",
        "::1:10090",
        "host:port",
        "host:65536",
        "host:-1",
        "h:١",
        "unix:",
        "unix:a\0b",
        "/run/x",
    ],
)
def test_what_is_no_listen_address_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=r"is not an address \(examples: :10090"):
        listen_address(text)


def test_a_storage_url_names_a_file_relative_or_absolute() -> None:
    assert storage_path("sqlite:///data/heartbeats.db") == Path("data/heartbeats.db")
    assert storage_path("sqlite:///a%20b.db") == Path("a b.db")
    assert storage_path("sqlite:////var/lib/heartbeats.db") == Path("/var/lib/heartbeats.db")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "data/heartbeats.db",
        "postgresql://user:hunter2@db/heartbeats",
        "sqlite://data.db",
        "sqlite:///",
        "sqlite://",
        "sqlite:///data/",
        "sqlite:///:memory:",
        "sqlite:///data.db?mode=ro",
        "sqlite:///%00",
    ],
)
def test_another_storage_url_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError) as caught:
        storage_path(url)
    assert "example: sqlite:///data/heartbeats.db" in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("text", ["hb.example.org", "ftp://hb.example.org", "https://", "https://h/?a", "https://[h"])
def test_an_external_url_is_http_or_https(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is not an http or https URL"):
        web_url(text)


@pytest.mark.parametrize(
    "text", ["metrics", "/", "", "/a b", "/{x}", "/-/metrics", "/ping/x", "/ping", "/heartbeat", "/api", "//x", "/%"]
)
def test_a_telemetry_path_is_a_path_that_is_free(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        web_path(text)


def addresses(texts: list[str]) -> list[ListenAddress]:
    return [listen_address(text) for text in texts]


@pytest.mark.parametrize(
    ("url", "web", "ping", "base"),
    [
        ("https://hb.example.org/x", [":1"], [":2"], "https://hb.example.org/x"),
        (None, [], [], "http://localhost:10090"),
        (None, [":8080"], [], "http://localhost:8080"),
        (None, ["0.0.0.0:8080"], [], "http://localhost:8080"),
        (None, ["192.0.2.1:8080"], [], "http://192.0.2.1:8080"),
        (None, ["[2001:db8::1]:8080"], [], "http://[2001:db8::1]:8080"),
        (None, [":8080"], ["192.0.2.1:9090", ":9091"], "http://192.0.2.1:9090"),
    ],
)
def test_jobs_reach_us_where_pings_are_served(url: str | None, web: list[str], ping: list[str], base: str) -> None:
    assert external_url(url, addresses(web), addresses(ping), tls=False) == base


def test_jobs_reach_us_by_tls_where_it_is_on() -> None:
    assert external_url(None, addresses([":8080"]), [], tls=True) == "https://localhost:8080"
    assert external_url("http://proxy", addresses([":8080"]), [], tls=True) == "http://proxy"


def test_unix_sockets_are_passed_over_for_an_address_that_jobs_can_call() -> None:
    assert external_url(None, addresses(["unix:/run/web.sock", ":8080"]), [], tls=False) == "http://localhost:8080"
    assert external_url(None, addresses([":8080"]), addresses(["unix:/run/p.sock"]), tls=False) == "http://localhost"


def test_an_empty_value_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEARTBEAT_STORAGE_URL", "")
    empty = ["--web.listen-address=", "--ping.listen-address=", "--web.external-url=", "--ping.secret-file="]
    empty += ["--web.config.file="]
    options = build_parser().parse_args(empty)
    assert (given(options.web_listen), given(options.ping_listen)) == ([], [])
    assert (options.external_url, options.secret_file, options.web_config_file) == (None, None, None)
    assert options.storage == Path("data/heartbeats.db")


def test_the_secret_is_beside_the_database_unless_a_file_is_given() -> None:
    assert secret_path(Path("data/heartbeats.db"), None) == Path("data/ping-secret")
    assert secret_path(Path("data/heartbeats.db"), Path("/run/secret")) == Path("/run/secret")


def test_the_storage_url_comes_from_the_environment_unless_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEARTBEAT_STORAGE_URL", "sqlite:///from-environment.db")
    assert build_parser().parse_args([]).storage == Path("from-environment.db")
    assert build_parser().parse_args(["--storage.url=sqlite:///given.db"]).storage == Path("given.db")


def test_a_storage_url_of_the_environment_does_not_show_in_the_help(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEARTBEAT_STORAGE_URL", "sqlite:///hunter2.db")
    assert "hunter2" not in build_parser().format_help()


def test_abbreviated_flags_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        build_parser().parse_args(["--config=x"])
    assert caught.value.code == 2
    assert "unrecognized arguments: --config=x" in capsys.readouterr().err
