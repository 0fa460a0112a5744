"""What a configuration means once its files are read."""

import gc
import re
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

import pytest
from configs import load_text, one, problems, warnings, write

from exporter.config import Config, load
from exporter.heartbeat import METHODS, Heartbeat, Name, Token
from exporter.schedule import DAY, HOUR, MINUTE, Cron, Interval, OnCalendar

ROOT = Path(__file__).parents[2]
SECRET = "6f0fc1d59b7e4a3a"
OTHER_SECRET = "kD3_-" * 5


def test_a_heartbeat_has_the_documented_defaults(tmp_path: Path) -> None:
    assert one(tmp_path, "heartbeats: [{name: a, interval: 60m}]") == Heartbeat(
        name=Name("a"),
        schedule=Interval(HOUR),
        timezone="UTC",
        grace=None,
        max_runtime=None,
        description="",
        runbook_url="",
        labels=(),
        methods=METHODS,
        failure_threshold=1,
        paused=False,
        token=None,
        token_version=1,
    )


def test_a_file_has_the_documented_defaults(tmp_path: Path) -> None:
    config = load_text(tmp_path, "heartbeats: []")
    assert replace(config, warnings=()) == Config(
        heartbeats=(),
        outage_grace=5 * MINUTE,
        keys=(),
        body_limit=10_000,
        history=100,
        trusted_proxies=(),
    )


def test_every_option_of_a_heartbeat_arrives(tmp_path: Path) -> None:
    text = f"""
heartbeats:
  - name: db-backup
    description: Nightly dump
    cron: "0 3 * * *"
    timezone: Europe/Berlin
    grace: 45m
    max_runtime: 2h
    labels: {{team: storage, severity: critical}}
    runbook_url: https://wiki.example/runbooks/db-backup
    methods: [post]
    failure_threshold: 3
    paused: true
    token: {SECRET}
    token_version: 2
"""
    assert one(tmp_path, text) == Heartbeat(
        name=Name("db-backup"),
        schedule=Cron("0 3 * * *", "Europe/Berlin"),
        timezone="Europe/Berlin",
        grace=45 * MINUTE,
        max_runtime=2 * HOUR,
        description="Nightly dump",
        runbook_url="https://wiki.example/runbooks/db-backup",
        labels=(("severity", "critical"), ("team", "storage")),
        methods=frozenset({"POST"}),
        failure_threshold=3,
        paused=True,
        token=Token(SECRET),
        token_version=2,
    )


def test_every_option_of_the_file_arrives(tmp_path: Path) -> None:
    config = load_text(
        tmp_path,
        f"""
outage_grace: 0
pings:
  keys: [{{key: {SECRET}}}, {{key: {OTHER_SECRET}, create: true}}]
  body_limit: 1
  history: 2
  trusted_proxies: [10.0.0.0/8, 192.0.2.7, "2001:db8::/32"]
  created: {{max: 3, expire_after: 4d}}
""",
    )
    assert replace(config, warnings=()) == Config(
        heartbeats=(),
        outage_grace=0,
        keys=(Token(SECRET), Token(OTHER_SECRET)),
        body_limit=1,
        history=2,
        trusted_proxies=(IPv4Network("10.0.0.0/8"), IPv4Network("192.0.2.7/32"), IPv6Network("2001:db8::/32")),
    )


DEFAULTS = """
defaults:
  description: A job
  cron: "0 3 * * *"
  timezone: Europe/Berlin
  grace: 45m
  max_runtime: 2h
  labels: {team: platform, tier: one}
  runbook_url: https://wiki.example/
  methods: [POST]
  failure_threshold: 3
  paused: true
  token_version: 2
"""


def test_defaults_hold_for_what_a_heartbeat_does_not_say(tmp_path: Path) -> None:
    assert one(tmp_path, DEFAULTS + "heartbeats: [{name: a}]") == Heartbeat(
        name=Name("a"),
        schedule=Cron("0 3 * * *", "Europe/Berlin"),
        timezone="Europe/Berlin",
        grace=45 * MINUTE,
        max_runtime=2 * HOUR,
        description="A job",
        runbook_url="https://wiki.example/",
        labels=(("team", "platform"), ("tier", "one")),
        methods=frozenset({"POST"}),
        failure_threshold=3,
        paused=True,
        token_version=2,
    )


@pytest.mark.parametrize(
    ("own", "key", "value"),
    [
        ('description: ""', "description", ""),
        ("interval: 1d", "schedule", Interval(DAY)),
        ("oncalendar: daily", "schedule", OnCalendar("daily", "Europe/Berlin")),
        ("timezone: America/New_York", "schedule", Cron("0 3 * * *", "America/New_York")),
        ("timezone: America/New_York", "timezone", "America/New_York"),
        ("grace: auto", "grace", None),
        ("grace: 0", "grace", 0),
        ("max_runtime: 1m", "max_runtime", MINUTE),
        ("labels: {tier: two}", "labels", (("team", "platform"), ("tier", "two"))),
        ('labels: {tier: ""}', "labels", (("team", "platform"),)),
        ("methods: [GET, HEAD, POST]", "methods", METHODS),
        ("failure_threshold: 1", "failure_threshold", 1),
        ("paused: false", "paused", False),
        ("token_version: 1", "token_version", 1),
    ],
)
def test_what_a_heartbeat_says_goes_before_defaults(tmp_path: Path, own: str, key: str, value: object) -> None:
    heartbeat = one(tmp_path, f"{DEFAULTS}heartbeats:\n  - name: a\n    {own}\n")
    assert getattr(heartbeat, key) == value


def test_the_time_zone_is_merged_before_the_schedule_is_read(tmp_path: Path) -> None:
    text = "defaults: {timezone: Asia/Tokyo}\nheartbeats: [{name: a, cron: '0 9 * * *'}]"
    assert one(tmp_path, text).schedule == Cron("0 9 * * *", "Asia/Tokyo")


def test_label_values_are_any_text(tmp_path: Path) -> None:
    text = 'heartbeats: [{name: a, interval: 1h, labels: {l: "grüße\\n\\"世界\\" \\u2713"}}]'
    assert one(tmp_path, text).labels == (("l", 'grüße\n"世界" ✓'),)


def test_a_bad_list_does_not_hide_a_bad_heartbeat_elsewhere(tmp_path: Path) -> None:
    text = "defaults: 5\npings: []\nheartbeats:\n- x\n- {name: a, interval: 1h, grace: x, labels: 5}\n- {name: b}"
    assert [": ".join(line.split(": ")[:2]) for line in problems(tmp_path, text)] == [
        "config.yaml:1: defaults",
        "config.yaml:2: pings",
        "config.yaml:4: heartbeats[0]",
        "config.yaml:5: heartbeats.a.grace",
        "config.yaml:5: heartbeats.a.labels",
        "config.yaml:6: heartbeats.b",
    ]


def test_what_an_alias_brings_twice_is_judged_in_each_place(tmp_path: Path) -> None:
    text = "heartbeats:\n- &a\n  name: a\n  interval: x\n- *a\n- <<: *a\n  interval: 1h\n"
    assert problems(tmp_path, text) == [
        'config.yaml:3: heartbeats.a.name: "a" is also the name of the heartbeat at config.yaml:3',
        'config.yaml:3: heartbeats.a.name: "a" is also the name of the heartbeat at config.yaml:3',
        'config.yaml:4: heartbeats.a.interval: "x" is not a duration (examples: 90s, 10m, 1h30m)',
        'config.yaml:4: heartbeats.a.interval: "x" is not a duration (examples: 90s, 10m, 1h30m)',
    ]


def test_an_error_is_not_taken_out_of_what_shares_it(tmp_path: Path) -> None:
    text = "defaults: &d {name: a, interval: 1h}\nheartbeats: [*d]"
    assert problems(tmp_path, text) == [
        "config.yaml:1: defaults.name: cannot have a default: each heartbeat has its own"
    ]


@pytest.mark.parametrize("key", ["[key]", "labels", "0", "", "\u2028"])
def test_a_key_of_any_spelling_is_merely_unknown(tmp_path: Path, key: str) -> None:
    quoted = f'"{key}"'.replace("\u2028", "\\u2028")
    (line,) = problems(tmp_path, f"{quoted}: 1")
    assert " is not a known key" in line


def test_a_label_of_any_spelling_is_merely_no_label(tmp_path: Path) -> None:
    text = 'heartbeats:\n- name: a\n  interval: 1h\n  labels:\n    "[key]": 5\n    labels: 5\n'
    name, *values = problems(tmp_path, text)
    assert name.startswith('config.yaml:5: heartbeats.a.labels["[key]"]: "[key]" is not a label name')
    assert values == [
        'config.yaml:5: heartbeats.a.labels["[key]"]: 5 is a number in YAML; quote it: "5"',
        'config.yaml:6: heartbeats.a.labels.labels: 5 is a number in YAML; quote it: "5"',
    ]


@pytest.mark.parametrize(
    ("key", "most"),
    [("description", 1024), ("cron", 256), ("oncalendar", 1024), ("timezone", 64), ("runbook_url", 2048)],
)
def test_texts_have_a_bound(tmp_path: Path, key: str, most: int) -> None:
    text = f"heartbeats:\n- name: a\n  {key}: {'x' * (most + 1)}\n"
    assert f"config.yaml:3: heartbeats.a.{key}: is too long (at most {most} characters)" in problems(tmp_path, text)


def test_labels_have_a_bound(tmp_path: Path) -> None:
    labels = "".join(f"    l{i}: x\n" for i in range(65))
    text = f"heartbeats:\n- name: a\n  interval: 1h\n  labels:\n{labels}"
    assert problems(tmp_path, text) == ["config.yaml:4: heartbeats.a.labels: has too many entries (at most 64)"]


@pytest.mark.parametrize(
    "key", ["interval", "grace", "max_runtime", "name", "token", "runbook_url", "timezone", "cron"]
)
@pytest.mark.parametrize("value", ["9" * 100_000, "9" * 100_000 + "s", "x" * 100_000, "[" * 40 + "]" * 40])
def test_an_error_about_something_huge_is_short(tmp_path: Path, key: str, value: str) -> None:
    lines = problems(tmp_path, f"heartbeats:\n- {key}: {value}\n")
    assert max(map(len, lines)) < 400


@pytest.mark.parametrize(
    ("schedule", "grace", "warned"),
    [
        ("interval: 10m", "10m", False),
        ("interval: 10m", "10m1s", True),
        ("cron: '0 3 * * *'", "1d", False),
        ("cron: '0 3 * * *'", "25h", True),
        ("cron: '0 3 * * 1-5'", "25h", True),
        ("oncalendar: 'Mon 03:00'", "1w", False),
        ("oncalendar: 'Mon,Tue 03:00'", "25h", True),
        ("oncalendar: '2024-02-01'", "1000w", False),
        ("oncalendar: '2020-02-01'", "1000w", False),
        ("interval: 10m", "auto", False),
    ],
)
def test_a_grace_longer_than_the_shortest_interval_is_warned_of(
    tmp_path: Path, schedule: str, grace: str, warned: bool
) -> None:
    said = warnings(tmp_path, f"heartbeats: [{{name: a, {schedule}, grace: {grace}}}]")
    assert [line.startswith("config.yaml:1: heartbeats.a.grace: ") for line in said] == [True] * warned


def test_the_example_loads_without_a_warning() -> None:
    config = load(ROOT / "config.yaml")
    assert config.warnings == ()
    assert len(config.heartbeats) == 4


def test_every_option_at_rest_in_the_example_can_be_woken(tmp_path: Path) -> None:
    text = (ROOT / "config.yaml").read_text()
    woken, count = re.subn(r"(?m)^(\s*)# (\s*(?:- )?[a-z_]+:)", r"\1\2", text)
    write(tmp_path, SECRET, "secrets/ping-key")
    write(tmp_path, OTHER_SECRET, "secrets/renewal")
    (warning,) = warnings(tmp_path, woken)
    assert warning.endswith('heartbeat_files[0]: no further file matches "heartbeats.d/*.yaml"')
    assert count == 14


def test_the_garbage_collector_works_again_after_reading(tmp_path: Path) -> None:
    assert gc.isenabled()
    problems(tmp_path, "x: 1")
    assert gc.isenabled()
    gc.disable()
    try:
        load_text(tmp_path, "")
        assert not gc.isenabled()
    finally:
        gc.enable()
