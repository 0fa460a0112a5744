"""Encryption, clients' certificates and headers as a web configuration asks for them, over real connections."""

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import TypeAlias

import pytest
import trustme
from certificates import HOST, Authority, write_certificate, write_key, write_pair
from configs import write
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from structlog.testing import capture_logs

from exporter.web.security import Security, Verdict
from exporter.web_config import WebConfigError

pytestmark = pytest.mark.each_loop

TLS = "cert_file: server.crt, key_file: server.key"
MUTUAL = f"{TLS}, client_ca_file: ca.pem, client_auth_type: RequireAndVerifyClientCert"
HASH = "$2y$10$2UXri9cIDdgeKjBo4Rlpx.U3ZLDV8X1IxKmsfOvhcM5oXQt/mLmXq"
USERS = f"basic_auth_users: {{dave: {HASH}}}\n"


def configure(folder: Path, tls: str, more: str = "") -> Path:
    """Write a web configuration; ``tls``: what stands in its section."""
    return write(folder, f"{f'tls_server_config: {{{tls}}}' if tls else ''}\n{more}", "web.yaml")


@asynccontextmanager
async def served(security: Security) -> AsyncIterator[int]:
    """A port on loopback, where each connection has the context of its moment, and is told whether it is admitted."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        encryption = writer.get_extra_info("ssl_object")
        if security.admits(encryption and encryption.getpeercert()):
            await reader.readline()
            writer.write(b"in")
        writer.close()

    async def accept(connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        with suppress(OSError, ssl.SSLError):
            await loop.connect_accepted_socket(
                lambda: asyncio.StreamReaderProtocol(reader, answer), connection, ssl=security.tls()
            )

    async def accept_all() -> None:
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            while True:
                connection, _ = await loop.sock_accept(listening)
                group.create_task(accept(connection))

    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        accepting = asyncio.create_task(accept_all())
        try:
            yield listening.getsockname()[1]
        finally:
            accepting.cancel()
            with suppress(asyncio.CancelledError):
                await accepting


async def connect(port: int, client: ssl.SSLContext | None, host: str = HOST) -> bool:
    """Whether a client is let in."""
    try:
        async with asyncio.timeout(10):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=client, server_hostname=host if client else None
            )
            writer.write(b"hello\n")
            answer = await reader.read()
            writer.close()
            with suppress(OSError, ssl.SSLError):
                await writer.wait_closed()
    except (OSError, ssl.SSLError):
        return False
    return answer == b"in"


Open: TypeAlias = Callable[[Path | None], Security]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """An authority that has given the server its certificate."""
    made = Authority.make(tmp_path)
    made.issue("server")
    return made


@pytest.fixture
def opened() -> Iterator[Open]:
    """Opens what a file asks for, and closes it when the test is over."""
    everything: list[Security] = []

    def open_(path: Path | None) -> Security:
        everything.append(Security.open(path))
        return everything[-1]

    yield open_
    for security in everything:
        security.close()


async def test_without_a_file_everything_is_open(opened: Open) -> None:
    security = opened(None)
    assert security.tls() is None
    assert security.admits(None)
    assert security.headers == ()
    assert await security.authenticate(None) is Verdict.ADMITTED
    async with served(security) as port:
        assert await connect(port, None)
        assert not await connect(port, ssl.create_default_context())


def test_a_bad_file_is_an_error_from_the_first(tmp_path: Path) -> None:
    with pytest.raises(WebConfigError, match="is not a bcrypt hash"):
        Security.open(configure(tmp_path, "", "basic_auth_users: {a: b}"))


def test_the_warnings_of_a_file_are_logged(tmp_path: Path, opened: Open) -> None:
    with capture_logs() as logs:
        opened(configure(tmp_path, ""))
    assert [(entry["event"], entry["log_level"]) for entry in logs] == [("web configuration", "warning")]
    assert "asks for nothing" in logs[0]["problem"]


async def test_a_client_of_tls_is_let_in_and_others_are_not(tmp_path: Path, authority: Authority, opened: Open) -> None:
    old = authority.client()
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        old.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    async with served(opened(configure(tmp_path, TLS))) as port:
        assert await connect(port, authority.client())
        assert not await connect(port, None)
        assert not await connect(port, old)
        assert not await connect(port, ssl.create_default_context()), "a client that does not trust the authority"


@pytest.mark.parametrize(
    ("setting", "client_version", "let_in"),
    [
        ("min_version: TLS13", ssl.TLSVersion.TLSv1_2, False),
        ("min_version: TLS13", ssl.TLSVersion.TLSv1_3, True),
        ("max_version: TLS12", ssl.TLSVersion.TLSv1_2, True),
        ("max_version: TLS12", ssl.TLSVersion.TLSv1_3, False),
    ],
)
async def test_only_versions_within_the_bounds_are_spoken(
    tmp_path: Path, authority: Authority, opened: Open, setting: str, client_version: ssl.TLSVersion, let_in: bool
) -> None:
    client = authority.client()
    client.minimum_version = client.maximum_version = client_version
    async with served(opened(configure(tmp_path, f"{TLS}, {setting}"))) as port:
        assert await connect(port, client) is let_in


@pytest.mark.parametrize(
    ("suite", "let_in"), [("ECDHE-ECDSA-AES128-GCM-SHA256", True), ("ECDHE-ECDSA-AES256-SHA", False)]
)
async def test_a_client_without_a_common_suite_is_not_let_in(
    tmp_path: Path, authority: Authority, opened: Open, suite: str, let_in: bool
) -> None:
    client = authority.client()
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.set_ciphers(suite)
    suites = "max_version: TLS12, cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]"
    async with served(opened(configure(tmp_path, f"{TLS}, {suites}"))) as port:
        assert await connect(port, client) is let_in


@pytest.mark.parametrize(("curve", "let_in"), [("secp521r1", True), ("secp384r1", False)])
async def test_a_client_without_a_common_curve_is_not_let_in(
    tmp_path: Path, authority: Authority, opened: Open, curve: str, let_in: bool
) -> None:
    client = authority.client()
    client.set_ecdh_curve(curve)
    setting = "min_version: TLS13, curve_preferences: [CurveP521]"
    async with served(opened(configure(tmp_path, f"{TLS}, {setting}"))) as port:
        assert await connect(port, client) is let_in


@pytest.mark.parametrize(
    ("auth", "without"), [("RequireAndVerifyClientCert", False), ("VerifyClientCertIfGiven", True)]
)
async def test_a_client_needs_a_certificate_of_the_authority_if_it_shows_one_or_must(
    tmp_path: Path, authority: Authority, opened: Open, auth: str, without: bool
) -> None:
    known, foreign = authority.issue("client"), trustme.CA().issue_cert(HOST)
    tls = f"{TLS}, client_ca_file: ca.pem, client_auth_type: {auth}"
    async with served(opened(configure(tmp_path, tls))) as port:
        assert await connect(port, authority.client(known))
        assert not await connect(port, authority.client(foreign))
        assert await connect(port, authority.client()) is without


async def test_an_intermediate_authority_vouches_by_itself(tmp_path: Path, authority: Authority, opened: Open) -> None:
    below = authority.intermediate("below")
    tls = MUTUAL.replace("ca.pem", "below.pem")
    async with served(opened(configure(tmp_path, tls))) as port:
        assert await connect(port, authority.client(below.issue("client")))
        assert not await connect(port, authority.client(authority.issue("other")))


@pytest.mark.parametrize("allowed", ["jobs.test", "ops@jobs.test", "192.0.2.7", "2001:db8::7", "2001:DB8:0::7"])
async def test_any_allowed_name_of_a_certificate_suffices(
    tmp_path: Path, authority: Authority, opened: Open, allowed: str
) -> None:
    leaf = authority.issue("client", "jobs.test", "ops@jobs.test", "192.0.2.7", "2001:db8::7")
    tls = f'{MUTUAL}, client_allowed_sans: [one, "{allowed}"]'
    async with served(opened(configure(tmp_path, tls))) as port:
        assert await connect(port, authority.client(leaf))


@pytest.mark.parametrize("allowed", ["bad", "JOBS.test", "*.test", "192.0.2.8", "jobs.test."])
async def test_a_certificate_without_an_allowed_name_does_not_do(
    tmp_path: Path, authority: Authority, opened: Open, allowed: str
) -> None:
    leaf = authority.issue("client", "jobs.test", "192.0.2.7")
    async with served(opened(configure(tmp_path, f'{MUTUAL}, client_allowed_sans: ["{allowed}"]'))) as port:
        assert not await connect(port, authority.client(leaf))


def _with_uri(folder: Path, uri: str) -> ssl.SSLContext:
    """A client that shows a certificate for a URI that it signed itself, and that is also in ``uri.pem``."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2120, 1, 1, tzinfo=UTC))
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.UniformResourceIdentifier(uri), x509.IPAddress(ip_address("192.0.2.9")), x509.DirectoryName(name)]
            ),
            critical=True,
        )
        .sign(key, hashes.SHA256())
    )
    (folder / "uri.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (folder / "uri.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    client = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    client.load_cert_chain(folder / "uri.pem", folder / "uri.key")
    return client


@pytest.mark.parametrize(("allowed", "let_in"), [("spiffe://test/job", True), ("spiffe://test/other", False)])
async def test_a_uri_is_a_name_too_and_a_client_may_vouch_for_itself(
    tmp_path: Path, authority: Authority, opened: Open, allowed: str, let_in: bool
) -> None:
    del authority
    client = _with_uri(tmp_path, "spiffe://test/job")
    tls = f'{MUTUAL.replace("ca.pem", "uri.pem")}, client_allowed_sans: ["{allowed}"]'
    async with served(opened(configure(tmp_path, tls))) as port:
        assert await connect(port, client) is let_in


async def test_where_names_are_listed_nobody_comes_without_a_certificate(
    tmp_path: Path, authority: Authority, opened: Open
) -> None:
    leaf = authority.issue("client", "jobs.test")
    tls = f"{TLS}, client_ca_file: ca.pem, client_auth_type: VerifyClientCertIfGiven, client_allowed_sans: [jobs.test]"
    async with served(opened(configure(tmp_path, tls))) as port:
        assert await connect(port, authority.client(leaf))
        assert not await connect(port, authority.client())


async def test_a_renewed_certificate_is_shown_in_the_next_handshake(
    tmp_path: Path, authority: Authority, opened: Open
) -> None:
    async with served(opened(configure(tmp_path, TLS))) as port:
        assert await connect(port, authority.client())
        assert not await connect(port, authority.client(), "renewed.test")
        write_pair(authority.ca.issue_cert("renewed.test"), tmp_path, "server")
        assert await connect(port, authority.client(), "renewed.test")
        assert not await connect(port, authority.client())


async def test_a_certificate_is_used_once_its_key_has_come_as_well(
    tmp_path: Path, authority: Authority, opened: Open
) -> None:
    renewed = authority.ca.issue_cert("renewed.test")
    with capture_logs() as logs:
        async with served(opened(configure(tmp_path, TLS))) as port:
            write_certificate(renewed, tmp_path, "server")
            assert await connect(port, authority.client())
            assert await connect(port, authority.client())
            write_key(renewed, tmp_path, "server")
            assert await connect(port, authority.client(), "renewed.test")
    refused = [entry for entry in logs if entry["log_level"] == "error"]
    assert [entry["event"] for entry in refused] == ["web configuration refused, the old one stays"], "once per change"
    assert "does not fit the certificate" in refused[0]["problem"]


def test_a_bad_change_is_mended_by_a_file_that_appears(tmp_path: Path, authority: Authority, opened: Open) -> None:
    security = opened(configure(tmp_path, TLS))
    first = security.tls()
    configure(tmp_path, TLS.replace("server", "second"))
    assert security.tls() is first
    authority.issue("second")
    assert security.tls() is not first


def test_a_file_that_was_not_changed_is_not_read_again(tmp_path: Path, authority: Authority, opened: Open) -> None:
    del authority
    security = opened(configure(tmp_path, TLS))
    assert security.tls() is security.tls()


def test_a_file_that_is_replaced_by_one_of_the_same_size_and_time_is_noticed(tmp_path: Path, opened: Open) -> None:
    path = configure(tmp_path, "", "http_server_config: {headers: {X-XSS-Protection: 0}}")
    security = opened(path)
    before = path.stat()
    other = write(tmp_path, path.read_text().replace("0", "1"), "other.yaml")
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)
    assert security.headers == (("X-XSS-Protection", "1"),)


async def test_headers_and_users_are_reread(tmp_path: Path, opened: Open) -> None:
    path = configure(tmp_path, "", "http_server_config: {headers: {X-Frame-Options: deny}}")
    security = opened(path)
    assert security.headers == (("X-Frame-Options", "deny"),)
    assert await security.authenticate(None) is Verdict.ADMITTED
    configure(tmp_path, "", USERS)
    assert not list(security.headers)
    assert await security.authenticate(None) is Verdict.REFUSED


@pytest.mark.parametrize(
    ("before", "after", "lost"),
    [
        ((TLS, ""), ("", ""), "TLS"),
        ((TLS, USERS), (TLS, ""), "all users"),
        ((MUTUAL, ""), (TLS, ""), "the verification of clients' certificates, or a part of it"),
        (
            (MUTUAL, ""),
            (MUTUAL.replace("RequireAndVerifyClientCert", "VerifyClientCertIfGiven"), ""),
            "the verification of clients' certificates, or a part of it",
        ),
        ((f"{MUTUAL}, client_allowed_sans: [a]", ""), (MUTUAL, ""), "client_allowed_sans"),
    ],
)
def test_a_protection_is_not_taken_away_by_a_change(
    tmp_path: Path,
    authority: Authority,
    opened: Open,
    before: tuple[str, str],
    after: tuple[str, str],
    lost: str,
) -> None:
    del authority
    security = opened(configure(tmp_path, *before))
    first = security.tls()
    with capture_logs() as logs:
        configure(tmp_path, *after)
        assert security.tls() is first
        assert security.tls() is first
    assert [(entry["log_level"], entry["problem"]) for entry in logs] == [
        ("error", f"{tmp_path}/web.yaml: takes away {lost}, which needs a restart")
    ]
    configure(tmp_path, *before)
    assert security.tls() is not first, "it is read again"


def test_protections_are_switched_on_and_tightened_by_a_change(
    tmp_path: Path, authority: Authority, opened: Open
) -> None:
    del authority
    security = opened(configure(tmp_path, ""))
    assert security.tls() is None
    configure(tmp_path, TLS)
    assert security.tls() is not None
    configure(tmp_path, f"{MUTUAL}, client_allowed_sans: [a]")
    assert not security.admits(None)


async def test_a_file_that_vanishes_for_a_moment_changes_nothing(tmp_path: Path, opened: Open) -> None:
    path = configure(tmp_path, "", USERS)
    security = opened(path)
    path.rename(tmp_path / "away")
    assert await security.authenticate(None) is Verdict.REFUSED
    (tmp_path / "away").rename(path)
    assert await security.authenticate(None) is Verdict.REFUSED
