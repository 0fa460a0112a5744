"""Certificates of authorities, servers and clients, as files beside a web configuration."""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

HOST = "exporter.test"
BEGINNING_OF_TIME = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Authority:
    """A certificate authority with a folder into which it writes."""

    folder: Path
    ca: trustme.CA

    @classmethod
    def make(cls, folder: Path, name: str = "ca") -> "Authority":
        """A new one; its certificate is in ``<name>.pem``."""
        ca = trustme.CA()
        ca.cert_pem.write_to_path(folder / f"{name}.pem")
        return cls(folder, ca)

    def intermediate(self, name: str) -> "Authority":
        """One that this one vouches for; its certificate is in ``<name>.pem``."""
        child = self.ca.create_child_ca()
        child.cert_pem.write_to_path(self.folder / f"{name}.pem")
        return Authority(self.folder, child)

    def issue(
        self, name: str, *sans: str, not_after: datetime | None = None, kind: trustme.KeyType = trustme.KeyType.ECDSA
    ) -> trustme.LeafCert:
        """A certificate and its key, in ``<name>.crt`` and ``<name>.key``; ``not_after``: when it has expired."""
        leaf = self.ca.issue_cert(
            *(sans or (HOST,)),
            not_before=BEGINNING_OF_TIME if not_after is not None else None,
            not_after=not_after,
            key_type=kind,
        )
        write_pair(leaf, self.folder, name)
        return leaf

    def client(self, leaf: trustme.LeafCert | None = None) -> ssl.SSLContext:
        """A client that trusts this authority, and shows that certificate."""
        context = ssl.create_default_context()
        self.ca.configure_trust(context)
        if leaf is not None:
            leaf.configure_cert(context)
        return context


def write_pair(leaf: trustme.LeafCert, folder: Path, name: str) -> None:
    """Write a certificate into ``<name>.crt`` and its key into ``<name>.key``."""
    write_certificate(leaf, folder, name)
    write_key(leaf, folder, name)


def write_certificate(leaf: trustme.LeafCert, folder: Path, name: str) -> None:
    """Write a certificate, and those that vouch for it, into ``<name>.crt``."""
    (folder / f"{name}.crt").write_bytes(b"".join(pem.bytes() for pem in leaf.cert_chain_pems))


def write_key(leaf: trustme.LeafCert, folder: Path, name: str) -> None:
    """Write a certificate's key into ``<name>.key``, for its owner only."""
    leaf.private_key_pem.write_to_path(folder / f"{name}.key")
    (folder / f"{name}.key").chmod(0o600)


def locked(key: bytes, passphrase: bytes) -> bytes:
    """A key, protected by a passphrase."""
    return load_pem_private_key(key, None).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(passphrase)
    )
