"""What is in PEM files: certificates and private keys.

A reader raises a ValueError that says what is wrong, and nothing of what is in the file.
"""

from __future__ import annotations

import stat
from datetime import datetime, timedelta
from pathlib import Path

from attrs import frozen
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

LONGEST = 1024 * 1024
"""Bytes of such a file: four times what all CAs of an operating system take."""

EXPIRES_SOON = timedelta(days=14)
"""How long before its end somebody is told of a certificate. Those who renew by themselves do it a month ahead: at this
time it did not happen."""

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey
"""The kinds that TLS takes."""


@frozen
class Identity:
    """A certificate with those that lead from it to a CA, and its private key, which no repr shows."""

    chain: tuple[x509.Certificate, ...]
    key: PrivateKey

    @property
    def expires(self) -> datetime:
        """When the certificate expires, in UTC."""
        return self.chain[0].not_valid_after_utc


def read_certificates(path: str) -> tuple[x509.Certificate, ...]:
    """Every certificate in the file, in its order; at least one."""
    try:
        return tuple(x509.load_pem_x509_certificates(_read(path)))
    except _Unreadable:
        raise
    except ValueError:
        raise ValueError("it holds no certificate in PEM, or a broken one") from None


def read_key(path: str) -> PrivateKey:
    """The private key in the file."""
    try:
        key = load_pem_private_key(_read(path), password=None)
    except _Unreadable:
        raise
    except TypeError:
        raise ValueError("the key in it is encrypted: nobody is there to type its passphrase") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("it holds no private key in PEM, or a broken one") from None
    if not isinstance(key, PrivateKey):
        raise ValueError("the key in it is none for TLS")
    return key


def read_identity(certificate_path: str, key_path: str) -> Identity:
    """The certificate with its chain in the one file, its key in the other, or both in one."""
    return matched(read_certificates(certificate_path), read_key(key_path))


def matched(chain: tuple[x509.Certificate, ...], key: PrivateKey) -> Identity:
    """The identity of a certificate and its key. Raises ValueError for another's key."""
    if chain[0].public_key() != key.public_key():
        raise ValueError("the key in it is not that of the certificate, which must be the first one in its file")
    return Identity(chain, key)


def check_private(path: str) -> None:
    """Refuse a key that others can read, as PostgreSQL's library will: root's may be readable for its group."""
    try:
        found = Path(path).stat()
    except (OSError, ValueError):
        return  # reading it says why
    others = stat.S_IRWXO | (stat.S_IWGRP | stat.S_IXGRP if found.st_uid == 0 else stat.S_IRWXG)
    if found.st_mode & others:
        raise ValueError("others than its owner can read it, which PostgreSQL's library refuses: chmod 600")


class _Unreadable(ValueError):
    """There is nothing to look into."""


def _read(path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            content = file.read(LONGEST + 1)
    except (OSError, ValueError) as error:  # ValueError: a path with NUL
        raise _Unreadable(f"it cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if len(content) > LONGEST:
        raise _Unreadable(f"it is longer than {LONGEST} bytes")
    return content
