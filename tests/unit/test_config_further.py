"""Several files: which are read, in which order, and how they are spoken of."""

import os
from pathlib import Path

import pytest
from configs import load_text, one, problems, write

from exporter.config import ConfigError, Problem, load


def test_further_files_come_after_the_main_one_each_once_in_order(tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        write(tmp_path, f"heartbeats: [{{name: {name}, interval: 1h}}]", f"jobs/{name}.yaml")
    (tmp_path / "jobs" / "again.yaml").symlink_to("c.yaml")
    write(tmp_path, "not: read", "jobs/.hidden.yaml")
    config = load_text(
        tmp_path, "heartbeat_files: [jobs/b.yaml, 'jobs/*.yaml', 'j*/?.yaml']\nheartbeats: [{name: main, interval: 1h}]"
    )
    assert [heartbeat.name for heartbeat in config.heartbeats] == ["main", "b", "a", "c"]
    assert config.warnings == ()


def test_the_main_file_is_not_one_of_its_further_files(tmp_path: Path) -> None:
    write(tmp_path, "heartbeats: [{name: b, interval: 1h}]", "more.yaml")
    config = load_text(tmp_path, "heartbeat_files: ['*.yaml']\nheartbeats: [{name: a, interval: 1h}]")
    assert [heartbeat.name for heartbeat in config.heartbeats] == ["a", "b"]


def test_further_files_may_be_named_by_their_whole_path(tmp_path: Path) -> None:
    write(tmp_path, "heartbeats: [{name: b, interval: 1h}]", "jobs/b.yaml")
    assert one(tmp_path, f"heartbeat_files: ['{tmp_path}/jobs/*.yaml']").name == "b"


def test_a_folder_with_signs_of_a_pattern_in_its_name_is_found(tmp_path: Path) -> None:
    write(tmp_path, "heartbeats: [{name: b, interval: 1h}]", "[x]/jobs/b.yaml")
    main = write(tmp_path, "heartbeat_files: ['jobs/*.yaml']", "[x]/config.yaml")
    assert [heartbeat.name for heartbeat in load(main).heartbeats] == ["b"]


def test_a_further_file_that_is_none_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "jobs" / "a.yaml").mkdir(parents=True)
    os.mkfifo(tmp_path / "jobs" / "b.yaml")
    (tmp_path / "jobs" / "c.yaml").symlink_to("c.yaml")
    assert problems(tmp_path, "heartbeat_files: [jobs/*.yaml]") == [
        "jobs/a.yaml: cannot be read: not a file",
        "jobs/b.yaml: cannot be read: not a file",
        "jobs/c.yaml: cannot be read: Too many levels of symbolic links",
    ]


def test_a_missing_file_is_an_error_of_the_file_as_a_whole(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "config.yaml")
    assert caught.value.problems == (
        Problem(str(tmp_path / "config.yaml"), 0, "", "cannot be read: No such file or directory"),
    )
    assert str(caught.value) == f"{tmp_path}/config.yaml: cannot be read: No such file or directory"


def test_a_folder_is_no_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load(tmp_path)


def test_a_path_is_spoken_of_as_it_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "x: 1", "jobs/a.yaml")
    write(tmp_path, "heartbeat_files: ['jobs/*']\ny: 1")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        load(Path("config.yaml"))
    assert [problem.file for problem in caught.value.problems] == ["config.yaml", "jobs/a.yaml"]


def test_errors_are_in_the_order_of_files_and_lines(tmp_path: Path) -> None:
    write(tmp_path, "heartbeats:\n - {name: z}\n - {name: y, interval: x}\n", "z.yaml")
    write(tmp_path, "x: 1\n", "a.yaml")
    places = [
        line.split(" ")[0]
        for line in problems(tmp_path, "heartbeats:\n- {name: a}\n- {nam: b}\nheartbeat_files: [z.yaml, a.yaml]\nx: 1")
    ]
    assert places == [
        "config.yaml:2:",
        "config.yaml:3:",
        "config.yaml:3:",
        "config.yaml:3:",
        "config.yaml:5:",
        "z.yaml:2:",
        "z.yaml:3:",
        "a.yaml:1:",
    ]
