"""A folder of web configurations: each bad one with every error that it brings, each good one with every warning."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from certificates import Authority, locked
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from exporter.web_config import WebConfigError, load_web_config

DATA = Path(__file__).parents[1] / "testdata" / "web_config"
BAD = sorted(DATA.glob("bad/*.yaml"))
GOOD = sorted(DATA.glob("good/*.yaml"))


def _id(path: Path) -> str:
    return path.stem


def _expected(path: Path) -> str:
    """What is said of the file, with paths relative to its folder; nothing is said where there is no such text."""
    text = path.with_suffix(".txt")
    return text.read_text().rstrip("\n") if text.exists() else ""


@pytest.fixture(scope="module")
def pems(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of good and bad certificates and keys."""
    folder = tmp_path_factory.mktemp("pems")
    authority = Authority.make(folder)
    server = authority.issue("server")
    authority.issue("other")
    authority.issue("expired", not_after=datetime(2001, 1, 1, tzinfo=UTC))
    key = server.private_key_pem.bytes()
    (folder / "exposed.key").write_bytes(key)
    (folder / "exposed.key").chmod(0o644)
    (folder / "locked.key").write_bytes(locked(key, b"sesame"))
    (folder / "damaged.key").write_bytes(key.replace(b"\n", b"\nAAAA", 1))
    (folder / "damaged.crt").write_bytes((folder / "server.crt").read_bytes().replace(b"\nMII", b"\nMIIAAAA"))
    (folder / "folder").mkdir()
    (folder / "empty").touch()
    (folder / "junk").write_text("hWkNKCp3fvIx3jKnsaBI\n")
    _write_weak(folder)
    for path in folder.glob("*.key"):
        if path.name != "exposed.key":
            path.chmod(0o600)
    (folder / "empty").chmod(0o600)
    (folder / "junk").chmod(0o600)
    return folder


def _write_weak(folder: Path) -> None:
    """A key that is too short for OpenSSL's usual level of security, with a certificate that it signed itself."""
    key = rsa.generate_private_key(65537, 1024)
    name = x509.Name([])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2120, 1, 1, tzinfo=UTC))
        .sign(key, hashes.SHA256())
    )
    (folder / "weak.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "weak.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


@pytest.fixture
def folder(tmp_path: Path, pems: Path) -> Path:
    return shutil.copytree(pems, tmp_path / "web")


def _placed(path: Path, folder: Path) -> Path:
    copy = folder / path.name
    copy.write_bytes(path.read_bytes())
    copy.chmod(0o600)
    return copy


@pytest.mark.parametrize("path", BAD, ids=_id)
def test_a_bad_file_brings_all_its_errors_and_nothing_else(path: Path, folder: Path) -> None:
    with pytest.raises(WebConfigError) as caught:
        load_web_config(_placed(path, folder))
    assert str(caught.value).replace(f"{folder}/", "") == _expected(path)


@pytest.mark.parametrize("path", GOOD, ids=_id)
def test_a_good_file_brings_all_its_warnings_and_nothing_else(path: Path, folder: Path) -> None:
    warnings = "\n".join(map(str, load_web_config(_placed(path, folder)).warnings))
    assert warnings.replace(f"{folder}/", "") == _expected(path)
