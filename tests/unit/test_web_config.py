"""What a web configuration means once it is read."""

import os
import ssl
from pathlib import Path

import pytest
from certificates import Authority
from configs import write

from exporter.web_config import ClientAuth, WebConfig, WebConfigError, load_web_config
from exporter.web_config.context import BadSetting, choose_curve, choose_suites, try_out

HASH = "$2y$10$2UXri9cIDdgeKjBo4Rlpx.U3ZLDV8X1IxKmsfOvhcM5oXQt/mLmXq"


def load(folder: Path, text: str, mode: int = 0o600) -> WebConfig:
    return load_web_config(write(folder, text, "web.yaml", mode))


def problems(folder: Path, text: str) -> list[str]:
    with pytest.raises(WebConfigError) as caught:
        load(folder, text)
    return str(caught.value).replace(f"{folder}/", "").splitlines()


def indented(pem: bytes) -> str:
    return "".join(f"    {line}\n" for line in pem.decode().splitlines())


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(WebConfigError) as caught:
        load_web_config(tmp_path / "somefile")
    assert str(caught.value) == f"{tmp_path}/somefile: cannot be read: No such file or directory"
    assert caught.value.files == (tmp_path / "somefile",)


def test_a_named_pipe_keeps_nobody_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "web.yaml")
    with pytest.raises(WebConfigError, match="is not a file"):
        load_web_config(tmp_path / "web.yaml")


def test_a_file_of_any_size_is_not_read_whole(tmp_path: Path) -> None:
    assert problems(tmp_path, "#" * (1 << 20) + "\n") == ["web.yaml: is too large (at most 1048576 bytes)"]


def test_every_key_arrives(tmp_path: Path) -> None:
    authority = Authority.make(tmp_path)
    authority.issue("server")
    config = load(
        tmp_path,
        f"""
tls_server_config:
  cert_file: server.crt
  key_file: {tmp_path}/server.key
  client_ca_file: ca.pem
  client_auth_type: RequireAndVerifyClientCert
  client_allowed_sans: [one, "0:0:0:0:0:0:0:1"]
  min_version: TLS12
  max_version: TLS12
  prefer_server_cipher_suites: false
  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA]
http_server_config:
  headers: {{X-XSS-Protection: 1, X-Frame-Options: deny, Content-Security-Policy: ""}}
basic_auth_users:
  dave: {HASH}
""",
    )
    assert config.tls is not None
    context = config.tls.context
    assert config.tls.client_auth is ClientAuth.REQUIRE_AND_VERIFY
    assert config.tls.allowed_sans == {"one", "::1"}
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert (context.minimum_version, context.maximum_version) == (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2)
    assert not context.options & ssl.Options.OP_CIPHER_SERVER_PREFERENCE
    assert [cipher["name"] for cipher in context.get_ciphers() if cipher["protocol"] != "TLSv1.3"] == [
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-AES128-SHA",
    ]
    assert config.headers == (("X-XSS-Protection", "1"), ("X-Frame-Options", "deny"))
    assert config.users == {"dave": HASH.encode()}
    assert set(config.files) == {tmp_path / name for name in ("web.yaml", "server.crt", "server.key", "ca.pem")}
    assert config.warnings == ()


def test_without_a_client_auth_type_no_certificate_is_asked_for(tmp_path: Path) -> None:
    Authority.make(tmp_path).issue("server")
    config = load(tmp_path, "tls_server_config: {cert_file: server.crt, key_file: server.key}")
    assert config.tls is not None
    assert config.tls.client_auth is ClientAuth.NONE
    assert config.tls.context.verify_mode is ssl.CERT_NONE
    assert config.tls.context.options & ssl.Options.OP_CIPHER_SERVER_PREFERENCE


def test_certificates_and_keys_may_stand_in_the_file_itself(tmp_path: Path) -> None:
    authority = Authority.make(tmp_path)
    leaf = authority.issue("server")
    text = (
        "tls_server_config:\n"
        f"  cert: |\n{indented(leaf.cert_chain_pems[0].bytes())}"
        f"  key: |\n{indented(leaf.private_key_pem.bytes())}"
        f"  client_ca: |\n{indented(authority.ca.cert_pem.bytes())}"
        "  client_auth_type: VerifyClientCertIfGiven\n"
    )
    config = load(tmp_path, text)
    assert config.tls is not None
    assert config.tls.context.verify_mode is ssl.CERT_OPTIONAL
    assert config.files == (tmp_path / "web.yaml",)


@pytest.mark.parametrize("section", [f"basic_auth_users: {{dave: {HASH}}}", "inline"])
def test_a_file_with_secrets_that_everybody_has_access_to_is_warned_of(tmp_path: Path, section: str) -> None:
    if section == "inline":
        leaf = Authority.make(tmp_path).issue("server")
        section = f"tls_server_config:\n  cert_file: server.crt\n  key: |\n{indented(leaf.private_key_pem.bytes())}"
    (warning,) = load(tmp_path, section, 0o644).warnings
    said = "every user of this machine has access to the file (mode 0644; say chmod 0640)"
    assert str(warning) == f"{tmp_path}/web.yaml: {said}"
    assert load(tmp_path, section).warnings == ()


def test_a_file_without_secrets_may_be_read_by_everybody(tmp_path: Path) -> None:
    assert load(tmp_path, "http_server_config: {headers: {X-Frame-Options: deny}}", 0o644).warnings == ()


@pytest.mark.parametrize("curve", ["CurveP256", "CurveP384", "CurveP521", "X25519"])
def test_each_curve_alone_is_offered(tmp_path: Path, curve: str) -> None:
    Authority.make(tmp_path).issue("server")
    text = f"tls_server_config: {{cert_file: server.crt, key_file: server.key, curve_preferences: [{curve}]}}"
    assert load(tmp_path, text).tls is not None


def test_neither_hashes_nor_keys_show(tmp_path: Path) -> None:
    config = load(tmp_path, f"basic_auth_users: {{dave: {HASH}}}")
    assert HASH not in repr(config)


@pytest.mark.parametrize(
    "text",
    [
        f"alice:{HASH}",
        f"tls_server_config: {HASH}",
        f"tls_server_config: {{key: [{HASH}]}}",
        f"tls_server_config: {{key: {HASH}, cert: {HASH}, client_ca: {HASH}}}",
        f"basic_auth_users: {HASH}",
        f"basic_auth_users: {{dave: [{HASH}]}}",
        f"basic_auth_users: {{dave: {HASH}x}}",
        f"basic_auth_users: {{labels: [{HASH}]}}",
        f"basic_auth_users:\n  dave:{HASH}: x\n",
        f"basic_auth_users:\n  dave:{HASH}: 7\n",
        f"dave:{HASH}: x\n",
        f"http_server_config: {HASH}",
        f"http_server_config: {{headers: {HASH}}}",
    ],
)
def test_no_error_repeats_what_may_be_a_secret(tmp_path: Path, text: str) -> None:
    assert not any("2UXri9" in problem for problem in problems(tmp_path, text))


@pytest.mark.parametrize(
    "given", [{"TLS_NEW": "NO-SUCH"}, {"TLS_NEW": "NO-SUCH", "TLS_OLD": "ECDHE-RSA-AES128-GCM-SHA256"}]
)
def test_suites_that_openssl_lacks_are_refused_by_name(given: dict[str, str]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    found = choose_suites(context, given)
    assert [(bad.key, bad.message) for bad in found] == [
        ("cipher_suites", f"TLS_NEW is not offered by {ssl.OPENSSL_VERSION}")
    ]


def test_a_curve_that_openssl_lacks_is_refused_by_name() -> None:
    (bad,) = choose_curve(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), "X25519", "no such curve")
    assert (bad.key, bad.message) == ("curve_preferences", f"X25519 is not offered by {ssl.OPENSSL_VERSION}")


def test_a_version_that_openssl_does_not_serve_after_all_is_refused(tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    Authority.make(tmp_path).issue("server").configure_cert(context)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    try_out(context, ["TLS12"], suites_chosen=False)
    with pytest.raises(BadSetting) as caught:
        try_out(context, ["TLS12", "TLS13"], suites_chosen=False)
    assert caught.value.message.startswith("no client of TLS13 could connect (")
