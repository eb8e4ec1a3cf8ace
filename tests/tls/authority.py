"""A certificate authority of the tests' own, and the files that operators make of its certificates."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from dialer.tls.pem import Identity, read_identity

HERE = ("127.0.0.1", "dialer.example")
"""What the certificates are for unless a test says otherwise."""

A_MONTH = timedelta(days=30)


class Authority:
    """Issues certificates into `folder`."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self._folder = folder
        self._ca = trustme.CA()
        self.pem = self._ca.cert_pem.bytes()
        """The authority's own certificate."""
        self.file = str(folder / f"{name}.pem")
        """The path of a file with it."""
        replace(Path(self.file), self.pem)

    def issue(self, name: str = "own", *hosts: str, valid_for: timedelta = A_MONTH) -> tuple[str, str]:
        """The paths of a new certificate and its key; what had these names is replaced, as by a renewal."""
        leaf = self._ca.issue_cert(*(hosts or HERE), not_after=datetime.now(UTC) + valid_for)
        certificate, key = self._folder / f"{name}.crt", self._folder / f"{name}.key"
        replace(certificate, b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
        replace(key, leaf.private_key_pem.bytes())
        return str(certificate), str(key)

    def identity(self, name: str = "own", *hosts: str) -> Identity:
        """A new certificate with its key, read from such files."""
        return read_identity(*self.issue(name, *hosts))


def replace(file: Path, content: bytes) -> None:
    """Put a whole file, which only its owner may read, in the place of another, as those who renew certificates do."""
    new = file.with_suffix(".new")
    new.touch(mode=0o600)
    new.write_bytes(content)
    new.replace(file)


def age(*files: str) -> None:
    """Make it certain that files look changed, however coarse the clock of the file system is."""
    for file in files:
        found = os.stat(file)
        os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns + 1_000_000_000))


def weak(folder: Path) -> tuple[str, str]:
    """A self-signed certificate and its key, of a length that nobody trusts any more."""
    key = rsa.generate_private_key(65537, 1024)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "weak")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + A_MONTH)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    replace(folder / "weak.crt", signed)
    replace(folder / "weak.key", private)
    return str(folder / "weak.crt"), str(folder / "weak.key")
