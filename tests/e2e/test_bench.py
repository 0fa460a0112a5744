"""What the bench is made of, as far as it needs neither load nor time; `make bench SHORT=1` runs the whole of it."""

import json
from pathlib import Path

import pytest

from bench import heartbeats
from bench.figures import Curve, Figure, Results, Target, Verdict
from bench.load import Ping, p99, with_the_unsent
from bench.probe import ask, begin
from bench.programs import BenchError, eventually, program
from bench.report import markdown, table, write
from bench.servers import Exporter
from bench.stock import Stock
from exporter.config import load
from exporter.schedule import Cron, Interval

FASTER = Target("ours ÷ theirs", at_least=True, bound=3, aim=10, heartbeats=1000)
SHORTER = Target("how long", at_least=False, bound=20, aim=5, unit="ms")


def figure(target: Target, *values: float, count: int = 1000) -> Figure:
    return Figure(target, count, values, "a note", {"beside": [0.123456789]})


def test_four_heartbeats_in_five_have_an_interval_and_the_others_a_cron_line(tmp_path: Path) -> None:
    made = load(heartbeats.make(tmp_path / "made", 400).config).heartbeats
    assert {heartbeat.name for heartbeat in made} == {f"job-{number:06d}" for number in range(400)}
    kinds = [type(heartbeat.schedule) for heartbeat in made]
    assert (kinds.count(Interval), kinds.count(Cron)) == (320, 80)
    assert {len(heartbeat.labels) for heartbeat in made} == {2}


def test_each_heartbeat_has_its_path(tmp_path: Path) -> None:
    made = heartbeats.make(tmp_path / "made", 50)
    paths = made.paths.read_text().split()
    assert len(set(paths)) == 50
    assert all(path.startswith("/heartbeat/") for path in paths)
    assert set(made.sample(5, seed=1).read_text().split()) < set(paths)


def test_the_other_configuration_differs_in_one_heartbeat_in_a_hundred(tmp_path: Path) -> None:
    made = heartbeats.make(tmp_path / "made", 400)
    before, after = (load(path).heartbeats for path in (made.config, made.changed))
    assert sum(one != other for one, other in zip(before, after, strict=True)) == 4


def test_a_stall_counts_for_the_pings_that_it_kept_from_being_sent() -> None:
    assert with_the_unsent([Ping(0.0, 0.1), Ping(0.0, 0.001)]) == pytest.approx([0.1, 0.08, 0.06, 0.04, 0.02, 0.001])


def test_p99_is_what_99_of_100_do_not_exceed() -> None:
    assert p99(float(number) for number in range(1, 101)) == 99
    assert p99([7.0]) == 7


def test_no_pings_have_no_p99() -> None:
    with pytest.raises(BenchError, match="no ping fell into the span"):
        p99([])


@pytest.mark.parametrize(
    ("seen", "verdict"),
    [
        (figure(FASTER, 9, 11, 10), Verdict.AIM),
        (figure(FASTER, 2, 3, 50), Verdict.TARGET),
        (figure(FASTER, 2, 2, 50), Verdict.MISSED),
        (figure(FASTER, 50, count=200), Verdict.UNJUDGED),
        (figure(SHORTER, 5), Verdict.AIM),
        (figure(SHORTER, 20), Verdict.TARGET),
        (figure(SHORTER, 21, count=7), Verdict.MISSED),
    ],
)
def test_the_median_of_the_rounds_is_judged_if_it_is_of_the_stated_number(seen: Figure, verdict: Verdict) -> None:
    assert seen.verdict(judged=True) is verdict
    assert seen.verdict(judged=False) is Verdict.UNJUDGED


def test_a_result_stands_beside_its_target_and_its_aim(tmp_path: Path) -> None:
    seen = [figure(FASTER, 2, 12, 11), figure(SHORTER, 1234.5)]
    assert table(seen, judged=True).splitlines()[1:3] == [
        "1  ours ÷ theirs       1,000        11            2 to 12      ≥ 3    ≥ 10  aim reached",
        "2  how long            1,000  1,234 ms     1,234 to 1,234  ≤ 20 ms  ≤ 5 ms  missed",
    ]
    told = {"date": "2026-01-02T03:04:05+00:00", "commit": "c0ffee", "machine": {}, "versions": {"python": "3"}}
    told["machine"] = {"cpu": "a", "cores": 2, "memory_gib": 3.9, "kernel": "6", "file_system": "ext4"}
    text = markdown(seen, told, judged=True)
    assert "| 2 | how long | 1,000 | 1,234 ms | 1,234 to 1,234 | ≤ 20 ms | ≤ 5 ms | missed |\n" in text
    assert "Measured 2026-01-02 at commit c0ffee: a, 2 cores, 3.9 GiB, ext4, Linux 6; python 3." in text
    results = Results(seen, [Curve("ping", {1000: [3.0, 1.0, 2.0]})])
    write(results, told, tmp_path, judged=True)
    assert (tmp_path / "results.md").read_text() == text
    written = json.loads((tmp_path / "results.json").read_text())
    assert written["figures"][0]["rounds"] == [2, 12, 11]
    assert written["figures"][0]["details"] == {"beside": [0.12346]}
    assert written["seconds_per_ping"][0]["points"] == [{"size": 1000, "median": 2, "rounds": [3, 1, 2]}]


def test_a_missing_program_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BenchError, match=r"^wrk is missing; install it with: apt-get install wrk$"):
        program("wrk")


def test_the_stock_encoder_writes_our_page_or_says_where_it_does_not(tmp_path: Path) -> None:
    with Exporter(tmp_path / "exporter", heartbeats.make(tmp_path / "made", 20)) as exporter:
        _, page = exporter.get("/metrics")
    path = tmp_path / "page.txt"
    path.write_bytes(page)
    with Stock(path) as stock:
        assert stock.encode().plain > 0
    path.write_bytes(page.replace(b"heartbeat_overdue{", b"heartbeat_overdue {", 1))
    with pytest.raises(BenchError, match=r"line \d+ of our page is b'heartbeat_overdue \{"):
        Stock(path)


def test_the_probe_tells_for_how_long_the_event_loop_was_held(tmp_path: Path) -> None:
    report = tmp_path / "holds.json"
    with Exporter(tmp_path / "exporter", heartbeats.make(tmp_path / "made", 20), probe=report) as exporter:
        begin(exporter, report)
        eventually("it was called", lambda: begin(exporter, report).callbacks > 1, within=10)
        eventually("a scrape", lambda: exporter.get("/metrics")[0] == 200, within=10)
        holds = ask(exporter, report)
    assert holds.callbacks
    assert 0 < holds.p999 <= holds.longest < 5
    assert 0 < holds.longest_cpu < 5
