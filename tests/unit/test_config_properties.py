"""Whatever a file holds, reading it ends in a configuration or in errors that say where they are."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporter.config import Config, ConfigError, load
from exporter.config.document import LOADERS, Document

KEYS = [
    *("outage_grace", "pings", "keys", "key", "key_file", "create", "body_limit", "history", "trusted_proxies"),
    *("created", "max", "expire_after", "defaults", "heartbeat_files", "heartbeats", "name", "description", "interval"),
    *("cron", "oncalendar", "timezone", "grace", "max_runtime", "labels", "runbook_url", "methods"),
    *("failure_threshold", "paused", "token", "token_file", "token_version", "<<", "job", "[key]"),
]
SCALARS = [
    *(
        "a",
        "b",
        "start",
        "7",
        "1h",
        "0",
        "auto",
        "90",
        "1:30",
        "010",
        "1.5",
        "yes",
        "~",
        "",
        "2026-01-31",
        "UTC",
        "GET",
    ),
    *(
        "Europe/Berlin",
        "* * * * *",
        "0 3 * * *",
        "@daily",
        "daily",
        "Mon..Fri 08:00",
        "*-02-31",
        "x" * 20,
        "10.0.0.0/8",
    ),
    *(
        "10.0.0.1/8",
        "https://wiki.example/",
        "https://[",
        "*.yaml",
        "*/" * 250,
        "[",
        "../../../../../dev/zero",
        "ü" * 99,
    ),
]
SHARED = [
    ".inf",
    "0x1F",
    "!!binary x",
    "!x y",
    "=",
    '"\\0"',
    '"\\ud800"',
    "*a",
    "&a 1h",
    "&a {name: a}",
    "&a [*a]",
    "<<",
]

flow = st.recursive(
    st.sampled_from(SCALARS).map(json.dumps)
    | st.sampled_from([*SCALARS, *SHARED])
    | st.text(max_size=8).map(json.dumps),
    lambda inner: (
        st.lists(inner, max_size=4).map(lambda items: f"[{', '.join(items)}]")
        | st.lists(st.tuples(st.sampled_from(KEYS) | inner, inner), max_size=6).map(
            lambda pairs: "{" + ", ".join(f"{key}: {value}" for key, value in pairs) + "}"
        )
    ),
    max_leaves=25,
)


def mapping(*keys: str) -> st.SearchStrategy[str]:
    """A mapping with some of the keys, in which anything may stand."""
    pairs = st.lists(st.tuples(st.sampled_from(keys), flow), max_size=7, unique_by=lambda pair: pair[0])
    return pairs.map(lambda pairs: "{" + ", ".join(f"{key}: {value}" for key, value in pairs) + "}")


options = mapping(*KEYS[KEYS.index("name") :])
plausible = st.tuples(options, st.lists(options, max_size=4), mapping(*KEYS[2:12])).map(
    lambda parts: f"defaults: {parts[0]}\nheartbeats: [{', '.join(parts[1])}]\npings: {parts[2]}\n"
)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("config") / "config.yaml"


def outcome(path: Path) -> Config | ConfigError:
    try:
        return load(path)
    except ConfigError as error:
        return error


def lines_in(text: str) -> int:
    """As YAML counts lines."""
    return len(re.split("\r\n|[\n\r\x85\u2028\u2029]", text))


def holds(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    found = outcome(path)
    if isinstance(found, Config):
        assert len({heartbeat.name for heartbeat in found.heartbeats}) == len(found.heartbeats)
        return
    assert found.problems
    for problem in found.problems:
        assert problem.file == str(path)
        assert 0 <= problem.line <= lines_in(data.decode("utf-8", "replace"))
        assert problem.message.isprintable()
        # Neither our own stand-ins for odd values nor pydantic's words are for people.
        assert not re.search(r"Unread|Input should|pydantic|type=", problem.message)


within_bounds = settings(
    max_examples=150, deadline=5_000, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)


@within_bounds
@given(data=st.binary(max_size=200))
def test_any_bytes(path: Path, data: bytes) -> None:
    holds(path, data)


@within_bounds
@given(text=st.text(max_size=200))
def test_any_text(path: Path, text: str) -> None:
    holds(path, text.encode("utf-8", "replace"))


@within_bounds
@given(text=st.text(alphabet="ab:-,[]{}&*<!?|>'\"\\#%@` \n\t01", max_size=80))
def test_any_heap_of_yaml_signs(path: Path, text: str) -> None:
    holds(path, text.encode())


@within_bounds
@given(text=flow)
def test_any_structure(path: Path, text: str) -> None:
    holds(path, text.encode("utf-8", "replace"))


@within_bounds
@given(text=plausible)
def test_any_plausible_structure(path: Path, text: str) -> None:
    holds(path, text.encode("utf-8", "replace"))


@within_bounds
@given(text=flow | st.text(alphabet="ab:-,[]{}&*!?|>'\"\\# \n\t01", max_size=80))
def test_the_parser_in_python_is_no_less_careful(text: str) -> None:
    document = Document.parse("c.yaml", text.encode("utf-8", "replace"), LOADERS[-1])
    assert all(problem.line <= lines_in(text) for problem in document.problems)
