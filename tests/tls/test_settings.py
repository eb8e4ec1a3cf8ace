"""What the variables for TLS may say: the files are looked into before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, x25519
from hamcrest import assert_that, contains_string, equal_to, has_entries, has_properties, is_not, none, starts_with
from psycopg2.extensions import parse_dsn

from dialer.environment import SettingsError, load
from dialer.settings import Settings
from tests.tls.authority import Authority

REAL = {"ESL_IP": "fs.example", "VOICE_CONNECTOR": "https://vc.example", "DB_URL": "db.example"}


def settings(**environ: str) -> Settings:
    return load({**REAL, **environ}, host_name="dialer-1")


def refusal(**environ: str) -> str:
    with pytest.raises(SettingsError) as caught:
        settings(**environ)
    assert_that(str(caught.value).isprintable())
    return str(caught.value)


def private(key: ec.EllipticCurvePrivateKey | x25519.X25519PrivateKey, passphrase: bytes | None = None) -> bytes:
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase:
        encryption = serialization.BestAvailableEncryption(passphrase)
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


@pytest.mark.parametrize("side", ["HTTP", "VC", "DB"])
def test_a_certificate_and_its_key_are_taken(authority: Authority, side: str) -> None:
    certificate, key = authority.issue()
    made = settings(**{f"{side}_TLS_CERT": certificate, f"{side}_TLS_KEY": key})
    name = side.lower()
    assert_that(made, has_properties({f"{name}_tls_cert": certificate, f"{name}_tls_key": key}))


@pytest.mark.parametrize("side", ["HTTP", "VC", "DB"])
def test_a_certificate_and_its_key_may_be_in_one_file(authority: Authority, tmp_path: Path, side: str) -> None:
    certificate, key = authority.issue()
    both = tmp_path / "both.pem"
    both.touch(mode=0o600)
    both.write_bytes(Path(key).read_bytes() + Path(certificate).read_bytes())
    settings(**{f"{side}_TLS_CERT": str(both), f"{side}_TLS_KEY": str(both)})


@pytest.mark.parametrize("side", ["HTTP", "VC", "DB"])
@pytest.mark.parametrize(("given", "missing"), [("CERT", "KEY"), ("KEY", "CERT")])
def test_one_of_certificate_and_key_is_refused_and_both_are_named(
    authority: Authority, side: str, given: str, missing: str
) -> None:
    file = authority.issue()[given == "KEY"]
    expected = f"{side}_TLS_{given} is set and {side}_TLS_{missing} is not: set both or neither"
    assert_that(refusal(**{f"{side}_TLS_{given}": file}), equal_to(expected))


@pytest.mark.parametrize("side", ["HTTP", "VC", "DB"])
def test_the_key_of_another_certificate_is_refused_with_the_name_of_its_variable(
    authority: Authority, side: str
) -> None:
    (certificate, _), (_, key) = authority.issue("one"), authority.issue("other")
    line = refusal(**{f"{side}_TLS_CERT": certificate, f"{side}_TLS_KEY": key})
    assert_that(line, starts_with(f"{side}_TLS_KEY='{key}' is not allowed: the key in it is not that of the cert"))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "it cannot be read: No such file or directory"),
        (b"", "it holds no certificate in PEM, or a broken one"),
        (b"-----BEGIN CERTIFICATE-----\nc2VzYW1l\n-----END CERTIFICATE-----\n", "it holds no certificate in PEM, or a"),
        (b"x" * (1024 * 1024 + 1), "it is longer than 1048576 bytes"),
    ],
)
@pytest.mark.parametrize("name", ["HTTP_TLS_CERT", "HTTP_TLS_CLIENT_CA", "VC_TLS_CA", "VC_TLS_CERT", "DB_TLS_CA"])
def test_a_file_without_a_certificate_is_refused_with_the_reason_in_one_line(
    tmp_path: Path, name: str, content: bytes | None, reason: str
) -> None:
    file = tmp_path / "file.pem"
    if content is not None:
        file.write_bytes(content)
    assert_that(refusal(**{name: str(file)}), starts_with(f"{name}='{file}' is not allowed: {reason}"))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it holds no private key in PEM, or a broken one"),
        (private(ec.generate_private_key(ec.SECP256R1()), b"sesame"), "the key in it is encrypted"),
        (private(x25519.X25519PrivateKey.generate()), "the key in it is none for TLS"),
    ],
)
def test_a_file_without_a_usable_key_is_refused_and_nothing_of_it_is_shown(
    authority: Authority, tmp_path: Path, content: bytes, reason: str
) -> None:
    file = tmp_path / "file.pem"
    file.write_bytes(content)
    line = refusal(HTTP_TLS_CERT=authority.issue()[0], HTTP_TLS_KEY=str(file))
    assert_that(line, starts_with(f"HTTP_TLS_KEY='{file}' is not allowed: {reason}"))
    for secret in content.split():
        assert_that(line, is_not(contains_string(secret.decode())))


def test_a_key_for_postgresql_that_others_can_read_is_refused_as_libpq_would(authority: Authority) -> None:
    certificate, key = authority.issue()
    Path(key).chmod(0o644)
    line = refusal(DB_TLS_CERT=certificate, DB_TLS_KEY=key)
    assert_that(line, starts_with(f"DB_TLS_KEY='{key}' is not allowed: others than its owner can read it"))


@pytest.mark.parametrize(
    ("environ", "line"),
    [
        ({"HTTP_TLS_CLIENT_CA": "CA"}, "HTTP_TLS_CLIENT_CA is set and HTTP_TLS_CERT is not"),
        (
            {"VC_TLS_CA": "CA", "VOICE_CONNECTOR": "http://vc"},
            "VC_TLS_CA is set and VOICE_CONNECTOR is no https:// URL",
        ),
        ({"DB_TLS_CA": "CA", "DB_URL": ""}, "DB_TLS_CA is set and DB_URL is not"),
        ({"DB_TLS_MODE": "require", "DB_URL": ""}, "DB_TLS_MODE is set and DB_URL is not"),
        ({"DB_TLS_CA": "CA", "DB_TLS_MODE": "require"}, "DB_TLS_CA is set and DB_TLS_MODE is require"),
        ({"DB_TLS_CA": "CA", "DB_TLS_MODE": "prefer"}, "DB_TLS_CA is set and DB_TLS_MODE is prefer"),
        ({"DB_TLS_MODE": "verify-ca"}, "DB_TLS_MODE is verify-ca and DB_TLS_CA is not set"),
        ({"DB_TLS_MODE": "VERIFY-FULL"}, "DB_TLS_MODE is verify-full and DB_TLS_CA is not set"),
    ],
)
def test_nothing_that_is_set_for_tls_is_ignored(authority: Authority, environ: dict[str, str], line: str) -> None:
    given = {name: authority.file if value == "CA" else value for name, value in environ.items()}
    assert_that(refusal(**given), starts_with(line))


def test_the_sandbox_vc_is_not_provided_beside_https(authority: Authority) -> None:
    certificate, key = authority.issue()
    line = refusal(HTTP_TLS_CERT=certificate, HTTP_TLS_KEY=key, SANDBOX="vc", VOICE_CONNECTOR="")
    assert_that(line, starts_with("HTTP_TLS_CERT is not allowed together with the VC sandbox"))


# --- PostgreSQL


def test_without_any_variable_libpq_decides(authority: Authority) -> None:
    assert_that(settings().db_tls_mode, none())
    assert_that([name for name in parse_dsn(settings().conninfo) if name.startswith("ssl")], equal_to([]))


def test_libpq_gets_what_is_set_for_postgresql_by_its_own_names(authority: Authority) -> None:
    certificate, key = authority.issue()
    made = settings(DB_TLS_MODE="Verify-CA", DB_TLS_CA=authority.file, DB_TLS_CERT=certificate, DB_TLS_KEY=key)
    assert_that(
        parse_dsn(made.conninfo),
        has_entries(sslmode="verify-ca", sslrootcert=authority.file, sslcert=certificate, sslkey=key),
    )


def test_a_ca_for_postgresql_alone_has_its_name_verified_too(authority: Authority) -> None:
    made = parse_dsn(settings(DB_TLS_CA=authority.file).conninfo)
    assert_that(made, has_entries(sslmode="verify-full", sslrootcert=authority.file))


def test_what_the_url_says_about_tls_wins(authority: Authority) -> None:
    url = f"postgresql://db.example/d?sslmode=verify-ca&sslrootcert={authority.file}"
    made = settings(DB_URL=url, DB_TLS_MODE="verify-full")
    assert_that(parse_dsn(made.conninfo), has_entries(sslmode="verify-ca", sslrootcert=authority.file))
