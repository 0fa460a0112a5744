"""Whatever a web configuration holds, it can be used or is refused in lines that hold no secret."""

import json
import re
import time
from pathlib import Path

import pytest
from bounds import examples
from hypothesis import given
from hypothesis import strategies as st

from exporter.web_config import WebConfig, WebConfigError, load_web_config

HASH = "$2b$04$cZ1nPgBq7LwT0vKx8mRdUeYgS5jH3fAa9oQiWbEzNuCtVpXkDyMlO"
SECONDS = 10.0

VALID = f"""tls_server_config:
  cert_file: server.crt
  key_file: server.key
  client_ca_file: ca.crt
  client_auth_type: RequireAndVerifyClientCert
  client_allowed_sans: [job.example]
  min_version: TLS12
  max_version: TLS13
  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]
  curve_preferences: [X25519]
  prefer_server_cipher_suites: true
http_server_config:
  http2: false
  headers:
    Strict-Transport-Security: max-age=31536000
    X-Frame-Options: deny
basic_auth_users:
  alice: {HASH}
"""
WORDS = [
    *(word for word in re.split(r"[][:\s]+", VALID) if word != HASH),
    *(
        "",
        "~",
        "1",
        "yes",
        "[]",
        "{}",
        "[a]",
        "{a: b}",
        "*a",
        "&a b",
        "<<",
        "\0",
        "\n",
        "é",
        "a: b: c",
        '"',
        "/dev/zero",
    ),
    *(
        "TLS10",
        "TLS99",
        "NoClientCert",
        "../../../etc/shadow",
        "X" * 5_000,
        "a\\r\\nX: b",
    ),
]
BROKEN = [
    HASH[:-1],
    HASH + "x",
    HASH.replace("2b", "9z"),
    f"[{HASH}]",
    f"{{{HASH}: 1}}",
    f"'{HASH} '",
    f"!x {HASH}",
    f"&a {HASH}",
]
"""Hashes with slips."""


def outcome(path: Path, data: bytes) -> None:
    """Check that reading these bytes ends in time, and in what it may end in."""
    path.write_bytes(data)
    began = time.process_time()
    try:
        found: WebConfig | WebConfigError = load_web_config(path)
    except WebConfigError as error:
        found = error
    assert time.process_time() - began < SECONDS
    problems = found.problems if isinstance(found, WebConfigError) else found.warnings
    said = [str(problem) for problem in problems]
    assert said or isinstance(found, WebConfig)
    assert all(line.isprintable() and len(line) < 2_000 for line in said), said
    assert HASH[7:19] not in "".join(said)
    if isinstance(found, WebConfig):
        assert HASH not in repr(found)
        for name, value in found.headers:
            assert f"{name}{value}".isprintable(), "a header could become two"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("web") / "web.yaml"


@st.composite
def mutations(draw: st.DrawFn) -> bytes:
    """The valid example with some of its lines changed."""
    lines = VALID.splitlines()
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(lines) - 1))
        indent = lines[at][: len(lines[at]) - len(lines[at].lstrip())]
        key, _, value = lines[at].strip().partition(": ")
        match draw(st.sampled_from(["drop", "repeat", "key", "value", "quoted", "hash"])):
            case "drop":
                lines[at] = ""
            case "repeat":
                lines.insert(at, lines[at])
            case "key":
                lines[at] = f"{indent}{draw(st.sampled_from(WORDS))}: {value}"
            case "value":
                lines[at] = f"{indent}{key}: {draw(st.sampled_from(WORDS))}"
            case "quoted":
                lines[at] = f"{indent}{key}: {json.dumps(draw(st.text(max_size=12)))}"
            case "hash":
                lines.append(f"  bob: {draw(st.sampled_from(BROKEN))}")
    return "\n".join(lines).encode("utf-8", "surrogatepass")


@examples(100)
@given(data=st.binary(max_size=200))
def test_any_bytes(path: Path, data: bytes) -> None:
    outcome(path, data)


@examples(300)
@given(data=mutations())
def test_a_file_with_slips(path: Path, data: bytes) -> None:
    outcome(path, data)
