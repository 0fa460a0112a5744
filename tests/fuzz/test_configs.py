"""Whatever a configuration holds, it is refused in lines without secrets, or yields pages that every reader takes."""

import json
import time
from pathlib import Path

import pytest
from bounds import examples
from hypothesis import given
from hypothesis import strategies as st
from pages import rendered, survey_of
from scraping import PARSERS

from exporter.config import Config, ConfigError, load
from exporter.heartbeat import Observation, Record, assess
from exporter.metrics.page import Page
from exporter.metrics.telemetry import Telemetry

NOW = 1_790_000_000_000
SECRET = "sEcReT_0123456789-q"
SECONDS = 10.0
"""How long any file of the sizes that stand here may take to read."""

VALID = f"""outage_grace: 5m
pings:
  keys:
    - key: {SECRET}key
      create: true
  body_limit: 10000
  trusted_proxies: [10.0.0.0/8]
  created: {{max: 1000, expire_after: 30d}}
defaults:
  timezone: UTC
  grace: auto
  labels: {{team: platform}}
heartbeats:
  - name: db-backup
    description: Nightly dump of the orders database
    cron: "0 3 * * *"
    timezone: Europe/Berlin
    grace: 45m
    max_runtime: 2h
    labels: {{team: storage, severity: critical}}
    runbook_url: https://wiki.example/runbooks/db-backup
    methods: [POST]
    failure_threshold: 1
    paused: false
    token: {SECRET}own
    token_version: 1
"""


def outcome(path: Path, data: bytes) -> Config | ConfigError:
    """What reading these bytes comes to, in time, once its messages have been found to be for people."""
    path.write_bytes(data)
    began = time.process_time()
    try:
        found: Config | ConfigError = load(path)
    except ConfigError as error:
        found = error
    assert time.process_time() - began < SECONDS
    said = [str(each) for each in (found.problems if isinstance(found, ConfigError) else found.warnings)]
    assert all(line.isprintable() and len(line) < 2_000 for line in said), said
    return found


@st.composite
def mutations(draw: st.DrawFn) -> bytes:
    """The valid example with some of its lines or bytes changed; its secrets are left as they are."""
    lines = VALID.splitlines(keepends=True)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(lines) - 1))
        match draw(st.sampled_from(["drop", "repeat", "swap", "indent", "cut", "insert", "value"])):
            case "drop":
                lines[at] = ""
            case "repeat":
                lines[at] *= draw(st.sampled_from([2, 3, 50]))
            case "swap":
                other = draw(st.integers(0, len(lines) - 1))
                lines[at], lines[other] = lines[other], lines[at]
            case "indent":
                lines[at] = draw(st.sampled_from([" ", "\t", "- ", "    ", "? ", ": "])) + lines[at]
            case "cut":
                lines[at] = lines[at].rstrip("\n")
            case "insert":
                where = draw(st.integers(0, len(lines[at])))
                sign = draw(
                    st.sampled_from([*"{}[]:,&*!|>'\"#%@`-?\\\0\x85\u2028\ufeff", "<<: *a", "&a ", "!!str ", "é"])
                )
                lines[at] = lines[at][:where] + sign + lines[at][where:]
            case "value":
                key, colon, _ = lines[at].partition(": ")
                lines[at] = key + colon + json.dumps(draw(st.text(max_size=20))) + "\n"
    return "".join(lines).encode("utf-8", "surrogatepass")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("config") / "config.yaml"


@examples(400)
@given(data=mutations())
def test_a_file_with_slips_is_refused_in_lines_without_its_secrets(path: Path, data: bytes) -> None:
    found = outcome(path, data)
    problems = found.problems if isinstance(found, ConfigError) else found.warnings
    said = "\n".join(map(str, problems))
    assert SECRET not in said
    # One that was cut in two by a slip is still a large part of a secret.
    assert SECRET[:12].lower() not in said.lower()


@pytest.mark.parametrize(
    "text", [f"pings: {{keys: [{{{SECRET}}}]}}", f"heartbeats: [{{name: a, interval: 1h, {SECRET}: x}}]"]
)
def test_a_secret_that_a_slip_made_a_key_is_not_named(path: Path, text: str) -> None:
    found = outcome(path, text.encode())
    assert isinstance(found, ConfigError)
    assert SECRET not in str(found)


def doubling(levels: int) -> str:
    """A list of lists, each holding the one before it nine times: nine to the power of the levels."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, levels)]
    return "\n".join(lines)


LARGE = {
    "a billion laughs": doubling(9),
    "merges of merges": "\n".join(
        ["a0: &a0 {x: 1}", *(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}], y{n}: 1}}" for n in range(1, 40))]
    ),
    "lists deep in each other": "heartbeats: " + "[" * 50_000,
    "lists deep in each other that close": "heartbeats: " + "[" * 5_000 + "]" * 5_000,
    "mappings deep in each other": "{a: " * 20_000,
    "blocks deep in each other": "\n".join(" " * n + "a:" for n in range(1_500)),
    "a huge text": "heartbeats: [{name: " + "a" * 3_000_000 + "}]",
    "a huge key": "a" * 500_000 + ": 1",
    "a huge number": "heartbeats: [{name: a, interval: 1h, failure_threshold: " + "9" * 100_000 + "}]",
    "a huge duration": "heartbeats: [{name: a, interval: " + "9" * 100_000 + "h}]",
    "many anchors": "\n".join(f"a{n}: &a{n} 1" for n in range(20_000)),
    "many unknown keys": "\n".join(f"a{n}: 1" for n in range(20_000)),
    "many of the same key": "a: 1\n" * 20_000,
    "a long cron line": "heartbeats: [{name: a, cron: '" + "*/1," * 50_000 + "'}]",
    "a cron line with a huge step": "heartbeats: [{name: a, cron: '*/" + "9" * 5_000 + " * * * *'}]",
    "a long calendar": "heartbeats: [{name: a, oncalendar: '" + "1," * 50_000 + "'}]",
    "a label of many signs": "heartbeats: [{name: a, interval: 1h, labels: {team: '" + "x" * 100_000 + "'}}]",
    "a URL of many brackets": "heartbeats: [{name: a, interval: 1h, runbook_url: 'https://" + "[" * 50_000 + "'}]",
}


@pytest.mark.parametrize("what", LARGE)
def test_a_file_that_would_grow_is_refused_in_time(path: Path, what: str) -> None:
    assert isinstance(outcome(path, LARGE[what].encode()), ConfigError)


def test_a_pattern_that_could_match_in_many_ways_is_tried_in_time(path: Path) -> None:
    (path.parent / ("a" * 200)).touch()
    found = outcome(path, ("heartbeat_files: ['" + "*a" * 200 + "b']").encode())
    assert isinstance(found, Config)


texts = st.one_of(
    st.text(max_size=30),
    st.text(alphabet='\\"\n\r\t{}=,# \x00\x7f\x85\u2028\u202e\ufeff\U0001f4a9', max_size=30),
    st.sampled_from(
        ['"} 1\n# EOF\n', "\\", "\\n", '\\"', "x" * 1024, "\U0010ffff", "\ud800", "\x1b]0;x\x07", "{{7*7}}", "</td>"]
    ),
)
names = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,10}", fullmatch=True)
heartbeats = st.fixed_dictionaries(
    {
        "interval": st.sampled_from(["1s", "1h", "1000y", "1d"]),
        "description": texts,
        "labels": st.dictionaries(names, texts, max_size=4),
    },
    optional={
        "runbook_url": st.builds("https://{}/{}".format, st.sampled_from(["x", "[::1]"]), texts),
        "grace": st.sampled_from(["0", "auto", "1000y"]),
        "paused": st.booleans(),
    },
)


@examples(250)
@given(declared=st.lists(heartbeats, min_size=1, max_size=3))
def test_whatever_loads_makes_pages_that_every_reader_takes(path: Path, declared: list[dict[str, object]]) -> None:
    # A lone surrogate goes through JSON as an escape, as one may write it in YAML.
    config = json.dumps({"heartbeats": [{"name": f"job-{n}", **each} for n, each in enumerate(declared)]})
    found = outcome(path, config.encode())
    if isinstance(found, ConfigError):
        return
    observations = [
        Observation(heartbeat, record, assess(heartbeat, record, NOW, None))
        for heartbeat in found.heartbeats
        for record in [Record(armed_at=NOW, schedule=heartbeat.schedule.identity)]
    ]
    page = Page(Telemetry("1", "2").registry)
    for form, check in PARSERS.items():
        text = rendered(page, survey_of(NOW, *observations), form).decode()
        (info,) = [family for family in check(text) if family.name in ("heartbeat", "heartbeat_info")]
        shown = {sample.labels["heartbeat"]: sample.labels for sample in info.samples}
        for heartbeat in found.heartbeats:
            labels = dict(heartbeat.labels) | {
                "description": heartbeat.description,
                "runbook_url": heartbeat.runbook_url,
            }
            assert {name: shown[heartbeat.name][name] for name in labels} == labels


@pytest.mark.parametrize(
    "name", ["<script>", "a b", 'a"', "a\nb", "a/b", "../a", "", "é", "a\0", "-a", "a" * 129, "{{a}}"]
)
def test_a_name_cannot_be_hostile(path: Path, name: str) -> None:
    found = outcome(path, json.dumps({"heartbeats": [{"name": name, "interval": "1h"}]}).encode())
    assert isinstance(found, ConfigError)
