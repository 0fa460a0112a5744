"""Tokens and keys: where they come from, and that they are not shown."""

import os
from pathlib import Path

import pytest
from configs import load_text, one, problems, warnings, write

from exporter.config import Config, ConfigError
from exporter.heartbeat import Token

SECRET = "6f0fc1d59b7e4a3a"
OTHER_SECRET = "kD3_-" * 5


def test_a_secret_comes_from_a_file_beside_the_file_that_names_it(tmp_path: Path) -> None:
    write(tmp_path, f"{SECRET}\n\n \t", "secrets/key")
    write(tmp_path, f"{OTHER_SECRET}\n", "jobs/secrets/key")
    write(tmp_path, "heartbeats: [{name: a, interval: 1h, token_file: secrets/key}]", "jobs/a.yaml")
    config = load_text(tmp_path, "pings: {keys: [{key_file: secrets/key}]}\nheartbeat_files: [jobs/*.yaml]")
    assert config.keys == (Token(SECRET),)
    assert [heartbeat.token for heartbeat in config.heartbeats] == [OTHER_SECRET]
    assert config.warnings == ()


def test_a_secret_file_may_be_named_by_its_whole_path(tmp_path: Path) -> None:
    secret = write(tmp_path, SECRET, "elsewhere/key")
    assert one(tmp_path, f"heartbeats: [{{name: a, interval: 1h, token_file: {secret}}}]").token == SECRET


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o601, 0o644])
def test_a_secret_file_that_everybody_has_access_to_is_warned_of(tmp_path: Path, mode: int) -> None:
    write(tmp_path, SECRET, "key", mode)
    (warning,) = warnings(tmp_path, "heartbeats:\n  - {name: a, interval: 1h, token_file: key}")
    assert warning.startswith(
        "config.yaml:2: heartbeats.a.token_file: every user of this machine has access to the file"
    )
    assert f"(mode {mode:04o}; say chmod 0640)" in warning


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o440])
def test_a_secret_file_that_a_group_reads_is_fine(tmp_path: Path, mode: int) -> None:
    write(tmp_path, SECRET, "key", mode)
    assert warnings(tmp_path, "heartbeats: [{name: a, interval: 1h, token_file: key}]") == []


@pytest.mark.parametrize(
    "content", ["", "short", f"{SECRET}/", f"{SECRET} {SECRET}", f" {SECRET}", "x" * 129, "ü" * 16]
)
def test_a_file_without_a_secret_is_an_error_that_does_not_show_it(tmp_path: Path, content: str) -> None:
    write(tmp_path, content, "key")
    assert problems(tmp_path, "heartbeats: [{name: a, interval: 1h, token_file: key}]") == [
        "config.yaml:1: heartbeats.a.token_file: key does not hold 16 to 128 of A-Z, a-z, 0-9, _ and -"
    ]


def test_a_named_pipe_for_a_secret_keeps_nobody_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert problems(tmp_path, "heartbeats: [{name: a, interval: 1h, token_file: pipe}]") == [
        "config.yaml:1: heartbeats.a.token_file: pipe is not a file"
    ]


@pytest.mark.parametrize("length", [16, 128])
def test_secrets_have_16_to_128_characters(tmp_path: Path, length: int) -> None:
    assert one(tmp_path, f"heartbeats: [{{name: a, interval: 1h, token: {'x' * length}}}]").token == "x" * length


@pytest.mark.parametrize(
    "text",
    [
        "pings: {keys: [{key: SECRET/}]}",
        "pings: {keys: [SECRET]}",
        "pings: {keys: SECRET}",
        "pings: {keys: [{key: [SECRET]}]}",
        "pings: {keys: [{key: SECRET, create: SECRET}]}",
        "pings: {keys: [{key: !SECRET SECRET}]}".replace("!SECRET", "!x"),
        "pings: {keys: [{key: SECRET}, {key: SECRET}]}",
        "pings: {keys: [{key_file: SECRET}]}",
        "heartbeats: [{name: a, interval: 1h, token: SECRET.}]",
        "heartbeats: [{name: a, interval: 1h, token: {a: SECRET}}]",
        "heartbeats: [{name: a, interval: 1h, token: SECRET, token_file: SECRET}]",
        "heartbeats: [{name: a, interval: 1h, token_file: SECRET}]",
        "heartbeats: [{name: a, interval: 1h, token: SECRET}, {name: b, interval: 1h, token: SECRET}]",
    ],
)
@pytest.mark.parametrize("secret", [SECRET, "1234567890123456"])
def test_no_error_shows_a_secret(tmp_path: Path, text: str, secret: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_text(tmp_path, text.replace("SECRET", secret))
    assert secret not in f"{caught.value} {caught.value!r}"


def test_the_representation_of_a_key_does_not_show_it() -> None:
    assert SECRET not in repr(Config(keys=(Token(SECRET),)))
