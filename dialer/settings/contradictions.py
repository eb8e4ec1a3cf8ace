"""What no two variables may say together, each right by itself."""

from __future__ import annotations

from dialer.settings import Settings

VERIFYING = ("verify-ca", "verify-full")


def tls_contradiction(settings: Settings) -> str | None:
    """What is wrong with the variables for TLS in one line that names them, if anything: none of them is ignored."""
    for side in ("HTTP", "VC", "DB"):
        pair = [f"{side}_TLS_CERT", f"{side}_TLS_KEY"]
        unset = [name for name in pair if not _of(settings, name)]
        if len(unset) == 1:
            (other,) = set(pair) - set(unset)
            return f"{other} is set and {unset[0]} is not: set both or neither"
    if settings.http_tls_client_ca and not settings.http_tls_cert:
        return "HTTP_TLS_CLIENT_CA is set and HTTP_TLS_CERT is not: without it there is no TLS"
    if settings.http_tls_cert and settings.provide_vc:
        return (
            "HTTP_TLS_CERT is not allowed together with the VC sandbox, which speaks plain HTTP: "
            "unset it, or set VOICE_CONNECTOR"
        )
    if (name := _first_set(settings, "VC_TLS_CA", "VC_TLS_CERT")) and not _is_https(settings.voice_connector):
        return f"{name} is set and VOICE_CONNECTOR is no https:// URL: without it there is no TLS"
    if (name := _first_set(settings, "DB_TLS_CA", "DB_TLS_MODE", "DB_TLS_CERT")) and settings.provide_postgres:
        return f"{name} is set and DB_URL is not: the embedded PostgreSQL has no TLS"
    if settings.db_tls_ca and settings.db_tls_mode not in VERIFYING:
        return (
            f"DB_TLS_CA is set and DB_TLS_MODE is {settings.db_tls_mode}: only verify-ca and verify-full insist on it"
        )
    if settings.db_tls_mode in VERIFYING and "sslrootcert" not in (settings.db_url or "") and not settings.db_tls_ca:
        return f"DB_TLS_MODE is {settings.db_tls_mode} and DB_TLS_CA is not set: set it to a file with the CAs"
    return None


def _of(settings: Settings, name: str) -> object:
    return getattr(settings, name.lower())


def _first_set(settings: Settings, *names: str) -> str | None:
    return next((name for name in names if _of(settings, name)), None)


def _is_https(url: str | None) -> bool:
    return (url or "").lower().startswith("https://")
