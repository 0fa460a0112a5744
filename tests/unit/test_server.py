"""The exporter as a whole, in this process: start, probes, reload, restart, stop."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from running import LOOPBACK, Clock, Running, exporter_in, make_settings, until
from structlog.testing import capture_logs

from exporter.flags import TcpAddress
from exporter.metrics.negotiation import Format
from exporter.schedule import Moment
from exporter.server import StartError, running

HOUR = 3600
NOON = 1_790_000_000_000
CONFIG = "heartbeats: [{name: backup, interval: 1h, grace: 5m}]"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Running]:
    async with exporter_in(tmp_path, CONFIG) as running:
        yield running


async def get(server: Running, path: str, method: str = "GET") -> tuple[int, str]:
    async with server.client.request(method, path) as answer:
        return answer.status, await answer.text()


async def test_probes_say_that_it_serves(server: Running) -> None:
    assert await get(server, "/-/healthy") == (200, "healthy\n")
    assert await get(server, "/-/ready") == (200, "ready\n")


@pytest.mark.parametrize("path", ["/nothing", "/metrics/x", "/-/nothing", "/api/v1/heartbeats", "/heartbeats"])
async def test_unknown_paths_are_not_found(server: Running, path: str) -> None:
    assert await get(server, path) == (404, "not found\n")


@pytest.mark.parametrize(
    ("path", "method", "allowed"),
    [
        ("/metrics", "POST", "GET, HEAD"),
        ("/", "DELETE", "GET, HEAD"),
        ("/-/healthy", "PUT", "GET, HEAD"),
        ("/-/ready", "POST", "GET, HEAD"),
        ("/-/reload", "GET", "POST, PUT"),
    ],
)
async def test_wrong_methods_are_refused_with_the_right_ones(
    server: Running, path: str, method: str, allowed: str
) -> None:
    async with server.client.request(method, path) as answer:
        assert (answer.status, answer.headers["Allow"]) == (405, allowed)


async def test_head_answers_as_get_does_without_the_body(server: Running) -> None:
    for path in ("/", "/metrics", "/-/healthy", "/-/ready"):
        async with server.client.head(path) as answer:
            assert (answer.status, await answer.read()) == (200, b"")


async def test_requests_are_measured_by_what_served_them(server: Running) -> None:
    await get(server, "/-/healthy")
    await get(server, "/secret-0123456789abcdef")
    page = await server.metrics()
    prefix = "heartbeat_exporter_http_request_duration_seconds_count"
    assert f'{prefix}{{code="200",handler="healthy",method="GET"}} 1.0' in page
    assert f'{prefix}{{code="404",handler="none",method="GET"}} 1.0' in page
    assert "0123456789abcdef" not in page


async def test_the_metrics_come_zipped_and_as_openmetrics_to_those_who_ask(server: Running) -> None:
    headers = {"Accept": "application/openmetrics-text", "Accept-Encoding": "gzip"}
    async with server.client.get("/metrics", headers=headers) as answer:
        assert answer.headers["Content-Type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
        assert answer.headers["Content-Encoding"] == "gzip"
        assert answer.headers["Vary"] == "Accept, Accept-Encoding"
    assert (await server.metrics(form=Format.OPENMETRICS)).endswith("# EOF\n")


async def test_metrics_can_be_selected_by_name(server: Running) -> None:
    page = await server.metrics("/metrics?name[]=heartbeat_overdue&name[]=python_info")
    samples = [line.split("{")[0] for line in page.splitlines() if not line.startswith("#")]
    assert samples == ["heartbeat_overdue", "python_info"]


async def test_the_telemetry_path_can_be_another(tmp_path: Path) -> None:
    async with exporter_in(tmp_path, CONFIG, telemetry_path="/probe") as server:
        assert "heartbeat_overdue" in await server.metrics("/probe")
        assert (await get(server, "/metrics"))[0] == 404
        assert '<a href="/probe">' in (await get(server, "/"))[1]


async def test_the_page_shows_every_heartbeat_worst_first(tmp_path: Path) -> None:
    clock = Clock(NOON)
    config = """heartbeats:
  - {name: a-fine, interval: 1d}
  - {name: b-overdue, interval: 1h}
  - {name: c-paused, interval: 1h, paused: true}
"""
    async with exporter_in(tmp_path, config, clock) as server:
        clock.advance(2 * HOUR)
        assert (await get(server, server.ping_path("a-fine") + "/start"))[0] == 200
        status, page = await get(server, "/")
    assert status == 200
    assert sorted(("a-fine", "b-overdue", "c-paused"), key=page.index) == ["c-paused", "b-overdue", "a-fine"]
    assert "new, running" in page
    assert "https://hb.example.org" in page
    assert "2026-09-21 16:13:20Z" in page
    assert "never" in page


async def test_a_page_without_heartbeats_says_so(tmp_path: Path) -> None:
    async with exporter_in(tmp_path, "heartbeats: []") as server:
        status, page = await get(server, "/")
    assert status == 200
    assert "No heartbeat is declared" in page


async def test_a_reload_takes_over_what_the_file_says_now(server: Running) -> None:
    await get(server, server.ping_path("backup"))
    server.settings.config_file.write_text(CONFIG.replace("]", ", {name: sync, interval: 1d}]"))
    assert await get(server, "/-/reload", "POST") == (200, "reloaded\n")
    assert (await get(server, server.ping_path("sync")))[0] == 200
    assert await server.sample('heartbeat_pings_total{heartbeat="backup",signal="success"}') == 1
    assert await server.sample('heartbeat_pings_total{heartbeat="sync",signal="success"}') == 1


async def test_a_reload_gives_what_is_due_already_its_new_grace(server: Running) -> None:
    deadline = 'heartbeat_deadline_timestamp_seconds{heartbeat="backup"}'
    before = await server.sample(deadline)
    server.settings.config_file.write_text(CONFIG.replace("5m", "9m"))
    assert (await get(server, "/-/reload", "POST"))[0] == 200
    assert await server.sample(deadline) == before + 240


async def test_a_reload_keeps_what_was_worked_out_for_heartbeats_that_stay_the_same(server: Running) -> None:
    (before,) = server.exporter._monitor.roster.config.heartbeats
    server.settings.config_file.write_text(CONFIG.replace("]", ", {name: sync, interval: 1d}]"))
    assert (await get(server, "/-/reload", "POST"))[0] == 200
    after, _ = server.exporter._monitor.roster.config.heartbeats
    assert after is before


async def test_a_heartbeat_that_leaves_the_file_leaves_the_metrics_at_once(server: Running) -> None:
    path = server.ping_path("backup")
    await get(server, path)
    server.settings.config_file.write_text("heartbeats: [{name: sync, interval: 1d}]")
    assert (await get(server, "/-/reload", "PUT"))[0] == 200
    assert 'heartbeat="backup"' not in await server.metrics()
    assert await get(server, path) == (404, "not found")
    server.settings.config_file.write_text(CONFIG)
    assert (await get(server, "/-/reload", "POST"))[0] == 200
    assert await server.sample('heartbeat_pings_total{heartbeat="backup",signal="success"}') == 1


async def test_a_bad_file_changes_nothing_and_shows(server: Running) -> None:
    loaded_at = await server.sample("heartbeat_exporter_config_last_reload_success_timestamp_seconds")
    path = server.ping_path("backup")
    server.settings.config_file.write_text("heartbeats:\n  - {name: backup, interval: soon}\n  - {name: sync}\n")
    status, message = await get(server, "/-/reload", "POST")
    assert status == 500
    assert 'config.yaml:2: heartbeats.backup.interval: "soon" is not a duration' in message
    assert "config.yaml:3: heartbeats.sync" in message
    assert await server.sample("heartbeat_exporter_config_last_reload_successful") == 0
    assert await server.sample("heartbeat_exporter_config_last_reload_success_timestamp_seconds") == loaded_at
    assert (await get(server, path))[0] == 200
    server.settings.config_file.write_text(CONFIG)
    assert (await get(server, "/-/reload", "POST"))[0] == 200
    assert await server.sample("heartbeat_exporter_config_last_reload_successful") == 1


async def test_a_reload_over_http_must_be_allowed(tmp_path: Path) -> None:
    async with exporter_in(tmp_path, CONFIG, enable_lifecycle=False) as server:
        status, message = await get(server, "/-/reload", "POST")
        assert status == 403
        assert "--web.enable-lifecycle" in message


async def test_a_restart_keeps_what_is_known_and_is_an_outage(tmp_path: Path) -> None:
    clock = Clock(NOON)
    async with exporter_in(tmp_path, CONFIG, clock) as server:
        assert await server.sample("heartbeat_exporter_last_outage_start_timestamp_seconds") == 0
        for path in ("/start", "/3", ""):
            assert (await get(server, server.ping_path("backup") + path))[0] == 200
        before = [line for line in (await server.metrics()).splitlines() if line.startswith("heartbeat_last")]
        assert before
    clock.advance(600)
    async with exporter_in(tmp_path, CONFIG, clock) as server:
        after = [line for line in (await server.metrics()).splitlines() if line.startswith("heartbeat_last")]
        assert after == before
        assert await server.sample("heartbeat_exporter_last_outage_start_timestamp_seconds") == NOON / 1000
        assert await server.sample("heartbeat_exporter_last_outage_end_timestamp_seconds") == NOON / 1000 + 600
        assert "Last outage of this exporter" in (await get(server, "/"))[1]


async def test_to_stop_is_to_note_up_to_when_we_listened_and_to_start_is_an_outage_however_short(
    tmp_path: Path,
) -> None:
    clock = Clock(NOON)
    async with exporter_in(tmp_path, CONFIG, clock):
        clock.advance(5)
    clock.advance(1)
    async with exporter_in(tmp_path, CONFIG, clock) as server:
        assert await server.sample("heartbeat_exporter_last_outage_start_timestamp_seconds") == NOON / 1000 + 5
        assert await server.sample("heartbeat_exporter_last_outage_end_timestamp_seconds") == NOON / 1000 + 6


async def test_a_silence_is_an_outage_as_soon_as_somebody_looks(tmp_path: Path) -> None:
    clock = Clock(NOON)
    async with exporter_in(tmp_path, CONFIG, clock) as server:
        clock.advance(30)
        await server.metrics()
        assert await server.sample("heartbeat_exporter_last_outage_end_timestamp_seconds") == 0
        clock.advance(0.001)
        await server.metrics()
        assert await server.sample("heartbeat_exporter_last_outage_end_timestamp_seconds") == clock.now / 1000


async def test_a_slow_look_at_the_heartbeats_takes_nothing_back_that_a_later_one_showed(tmp_path: Path) -> None:
    clock = Clock(NOON)
    async with exporter_in(tmp_path, "heartbeats: [{name: backup, interval: 60s, grace: 5s}]", clock) as server:
        await server.pass_time(clock, 60)
        monitor = server.exporter._monitor
        later, earlier = await asyncio.gather(monitor.survey(NOON + 66_500), monitor.survey(NOON + 65_500))
        assert later.observations[0].assessment.overdue
        assert earlier.observations[0].assessment.overdue
        assert (await monitor._store.liveness(0)).alive_at == NOON + 66_500


async def test_a_deadline_that_fell_into_our_downtime_pages_only_after_the_outage_grace(tmp_path: Path) -> None:
    clock = Clock(NOON)
    async with exporter_in(tmp_path, CONFIG, clock) as server:
        await get(server, server.ping_path("backup"))
    clock.advance(2 * HOUR)
    overdue = 'heartbeat_overdue{heartbeat="backup"}'
    async with exporter_in(tmp_path, CONFIG, clock) as server:
        assert await server.sample(overdue) == 0
        await server.pass_time(clock, 299.999)
        assert await server.sample(overdue) == 0
        await server.pass_time(clock, 0.001)
        assert await server.sample(overdue) == 1


async def test_what_was_overdue_before_our_downtime_is_overdue_after_it(tmp_path: Path) -> None:
    clock = Clock(NOON)
    overdue = 'heartbeat_overdue{heartbeat="backup"}'
    async with exporter_in(tmp_path, CONFIG, clock) as server:
        await server.pass_time(clock, 3900)
        assert await server.sample(overdue) == 1
    clock.advance(600)
    async with exporter_in(tmp_path, CONFIG, clock) as server:
        assert await server.sample(overdue) == 1


@pytest.mark.parametrize("path", ["/metrics", "/"])
async def test_a_suspended_process_does_not_page_for_what_it_slept_through(tmp_path: Path, path: str) -> None:
    clock = Clock(NOON)
    async with exporter_in(tmp_path, CONFIG, clock) as server:
        clock.advance(2 * HOUR)  # and not one beat
        assert (await get(server, path))[0] == 200  # the first look comes before the next beat
        assert await server.sample('heartbeat_overdue{heartbeat="backup"}') == 0
        assert await server.sample("heartbeat_exporter_last_outage_end_timestamp_seconds") == clock.now / 1000


async def test_a_deadline_that_was_shown_as_passed_is_never_inside_a_later_outage(tmp_path: Path) -> None:
    clock = Clock(NOON)
    overdue = 'heartbeat_overdue{heartbeat="backup"}'
    async with exporter_in(tmp_path, "heartbeats: [{name: backup, interval: 5s, grace: 1s}]", clock) as server:
        clock.advance(6)  # before the first beat
        assert await server.sample(overdue) == 1
        alive_at = (await server.exporter._monitor._store.liveness(0)).alive_at
        assert alive_at is not None
        assert alive_at >= NOON + 6_000


async def test_the_beat_goes_on_while_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exporter.server.BEAT_SECONDS", 0.02)
    monkeypatch.setattr("exporter.server.RETRY_SECONDS", 0.01)
    async with exporter_in(tmp_path, CONFIG) as server:

        async def alive_at() -> Moment | None:
            return (await server.exporter._monitor._store.liveness(0)).alive_at

        first = await alive_at()

        async def later() -> bool:
            return await alive_at() != first

        beating = asyncio.ensure_future(server.exporter.keep_beating())
        await until(later)
        beating.cancel()


async def test_a_start_that_fails_says_why_and_leaves_nothing_open(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = TcpAddress("127.0.0.1", taken.getsockname()[1])
        settings = make_settings(tmp_path, CONFIG, web_listen=(LOOPBACK, address))
        with pytest.raises(StartError, match=rf"cannot listen on {address}: .*[Aa]ddress already in use"):
            async with running(settings):
                raise AssertionError
    async with exporter_in(tmp_path, CONFIG) as server:  # the database is free again
        assert (await get(server, "/-/ready"))[0] == 200


@pytest.mark.parametrize(
    ("config", "changes", "reason"),
    [
        ("heartbeats: [{name: x}]", {}, "config.yaml:1: heartbeats.x: "),
        (CONFIG, {"secret_file": Path("/nonexistent/secret")}, "the ping secret in /nonexistent/secret cannot be read"),
    ],
)
async def test_a_start_with_bad_input_is_refused_with_the_reason(
    tmp_path: Path, config: str, changes: dict[str, object], reason: str
) -> None:
    with pytest.raises(StartError) as caught:
        async with running(make_settings(tmp_path, config, **changes)):
            raise AssertionError
    assert reason in str(caught.value)


@pytest.mark.parametrize("host", ["foo..bar", "x" * 64])
async def test_a_host_name_that_cannot_be_one_is_refused(tmp_path: Path, host: str) -> None:
    settings = make_settings(tmp_path, CONFIG, web_listen=(TcpAddress(host, 0),))
    with pytest.raises(StartError, match=f"cannot listen on {host}:0: "):
        async with running(settings):
            raise AssertionError


async def test_a_storage_path_that_cannot_be_is_refused(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, CONFIG, storage=tmp_path / ("x" * 300) / "heartbeats.db")
    with pytest.raises(StartError, match="File name too long"):
        async with running(settings):
            raise AssertionError


async def test_a_second_exporter_on_the_same_database_is_refused(server: Running) -> None:
    with pytest.raises(StartError, match=r"heartbeats\.db"):
        async with running(server.settings):
            raise AssertionError


async def test_a_secret_that_was_lost_is_not_replaced_in_silence(tmp_path: Path) -> None:
    async with exporter_in(tmp_path, CONFIG) as server:
        before = server.ping_path("backup")
    (tmp_path / "data" / "ping-secret").unlink()
    with capture_logs() as logs:
        async with exporter_in(tmp_path, CONFIG) as server:
            assert server.ping_path("backup") != before
    assert "the ping secret was lost" in logs[0]["event"]


async def test_a_secret_file_that_is_given_is_used(tmp_path: Path) -> None:
    secret = tmp_path / "given"
    secret.write_text("0123456789abcdef\n")
    async with exporter_in(tmp_path, CONFIG, secret_file=secret):
        assert not (tmp_path / "data" / "ping-secret").exists()


async def test_a_secret_that_is_deleted_while_it_is_used_is_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporter.server.RETRY_SECONDS", 0.01)
    monkeypatch.setattr("exporter.server.BEAT_SECONDS", 0)
    async with exporter_in(tmp_path, CONFIG) as server:
        path = tmp_path / "data" / "ping-secret"
        before = path.read_bytes()
        path.unlink()
        beating = asyncio.ensure_future(server.exporter.keep_beating())

        async def is_back() -> bool:
            return path.exists()

        await until(is_back)
        beating.cancel()
        assert path.read_bytes() == before
        assert path.stat().st_mode & 0o777 == 0o600


async def test_a_secret_that_everybody_may_read_is_warned_of(tmp_path: Path) -> None:
    secret = tmp_path / "given"
    secret.write_text("0123456789abcdef\n")
    secret.chmod(0o644)
    with capture_logs() as logs:
        async with exporter_in(tmp_path, CONFIG, secret_file=secret):
            pass
    (warning,) = (entry for entry in logs if entry["event"] == "the ping secret is exposed")
    assert warning["problem"].startswith("every user of this machine has access to the file (mode 0644;")


async def test_a_start_with_a_bad_database_makes_no_secret(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, CONFIG)
    settings.storage.parent.mkdir()
    settings.storage.write_text("no database" * 100)
    with pytest.raises(StartError, match="is damaged"):
        async with running(settings):
            raise AssertionError
    assert [file.name for file in settings.storage.parent.iterdir()] == ["heartbeats.db"]
