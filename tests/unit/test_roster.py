import re
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from exporter.config import Config, load
from exporter.heartbeat import Name
from exporter.roster import AlikeTokensError, Roster, SecretError, derive_token, ensure_secret, read_secret

SECRET = b"a secret of sixteen bytes or more"


def config_of(tmp_path: Path, text: str) -> Config:
    file = tmp_path / "config.yaml"
    file.write_text(text)
    return load(file)


def test_a_derived_token_is_the_documented_digest_of_secret_name_and_version() -> None:
    # As computed by openssl dgst -sha256 -hmac, head -c 16 and base32.
    assert derive_token(SECRET, Name("db-backup"), 1) == "ixu4ndd2xyyiqvsui7nbw43a5q"


def test_each_name_and_each_version_has_another_token() -> None:
    tokens = {derive_token(SECRET, Name(name), version) for name in ("a", "b") for version in (1, 2)}
    assert len(tokens) == 4
    assert all(re.fullmatch(r"[a-z2-7]{26}", token) for token in tokens)


def test_tokens_and_keys_open_what_they_belong_to(tmp_path: Path) -> None:
    config = config_of(
        tmp_path,
        """
pings: {keys: [{key: shared-key-0123456789}]}
heartbeats:
  - {name: own, interval: 1h, token: own-token-0123456789}
  - {name: derived, interval: 1h}
  - {name: rotated, interval: 1h, token_version: 2}
""",
    )
    roster = Roster(config, SECRET)
    own, derived, rotated = config.heartbeats
    assert roster.with_token("own-token-0123456789") is own
    assert roster.with_token(derive_token(SECRET, Name("derived"), 1)) is derived
    assert roster.with_token(derive_token(SECRET, Name("rotated"), 2)) is rotated
    assert roster.with_token(derive_token(SECRET, Name("rotated"), 1)) is None
    assert roster.with_token(derive_token(SECRET, Name("own"), 1)) is None
    assert roster.with_token("\ud800") is None
    assert roster.has_key("shared-key-0123456789")
    assert not roster.has_key("own-token-0123456789")
    assert roster.named("own") is own
    assert roster.named("foreign") is None
    assert [heartbeat.name for heartbeat, _ in roster.tokens()] == ["own", "derived", "rotated"]


def test_an_own_token_that_is_another_heartbeats_derived_one_is_refused(tmp_path: Path) -> None:
    token = derive_token(SECRET, Name("first"), 1)
    config = config_of(
        tmp_path, f"heartbeats: [{{name: first, interval: 1h}}, {{name: second, interval: 1h, token: {token}}}]"
    )
    with pytest.raises(AlikeTokensError, match="heartbeats first and second have the same token") as caught:
        Roster(config, SECRET)
    assert token not in str(caught.value)


def test_a_secret_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "new" / "ping-secret"
    secret = ensure_secret(path)
    assert len(secret) >= 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert ensure_secret(path) == read_secret(path) == secret
    assert list(path.parent.iterdir()) == [path]


def test_of_many_that_make_a_secret_at_once_all_get_the_same(tmp_path: Path) -> None:
    path = tmp_path / "ping-secret"
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda _: ensure_secret(path), range(32)))) == 1


def test_white_space_at_the_end_of_a_secret_file_is_no_part_of_it(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(SECRET + b" \r\n")
    assert read_secret(path) == SECRET


def test_a_secret_that_cannot_be_used_is_refused_with_the_reason(tmp_path: Path) -> None:
    short = tmp_path / "short"
    short.write_text("fifteen-bytes--\n")
    with pytest.raises(SecretError, match=r"short is too short: at least 16 bytes are needed"):
        read_secret(short)
    with pytest.raises(SecretError, match=r"missing cannot be read: No such file or directory"):
        read_secret(tmp_path / "missing")
    with pytest.raises(SecretError, match=r"cannot be written to .*: Not a directory|File exists"):
        ensure_secret(short / "below" / "ping-secret")
