"""`python -m dialer.health`: whether the dialer that has this environment answers `/healthz`; for a health check.

Ends with status 0 when it does, else with 1 and one line.
"""

from __future__ import annotations

import os
import ssl
from http.client import HTTPConnection, HTTPException, HTTPSConnection

from dialer import environment
from dialer.settings import Settings

PATIENCE = 4.0
"""Seconds for the answer: a health check that has to end it after 5 s would not say why."""

_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  compared, not bound


def problem(settings: Settings) -> str | None:
    """What is wrong with the dialer on this machine, in one line; None when nothing is. Blocks."""
    host = _ANY.get(settings.http_interface, settings.http_interface)
    if not settings.http_port:
        return "HTTP_PORT is 0: which port the dialer has is not known"
    if settings.http_tls_cert:
        connection: HTTPConnection = HTTPSConnection(
            host, settings.http_port, timeout=PATIENCE, context=_whoever_it_is()
        )
    else:
        connection = HTTPConnection(host, settings.http_port, timeout=PATIENCE)
    try:
        if settings.http_tls_client_ca:
            return _refusal(connection)
        connection.request("GET", "/healthz")
        status = connection.getresponse().status
    except (OSError, HTTPException) as error:
        return f"no answer from {host}:{settings.http_port}: {error!r}"
    finally:
        connection.close()
    return None if status == 200 else f"{host}:{settings.http_port} answered {status}"


def _refusal(connection: HTTPConnection) -> str | None:
    """What is wrong with a dialer that lets nobody in without a certificate, which a check has not: that it asks for
    one, once the handshake is over, is its sign of life."""
    try:
        connection.connect()
        connection.sock.recv(1)
    except ssl.SSLError as error:
        if error.reason == "TLSV13_ALERT_CERTIFICATE_REQUIRED":
            return None
        raise
    return f"{connection.host}:{connection.port} does not ask for a certificate"


def _whoever_it_is() -> ssl.SSLContext:
    """For a look at this machine's own port, by an address that no certificate has; nothing secret is sent there."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def main() -> None:
    """Exit as the problem is, or the environment's."""
    try:
        found = problem(environment.load(os.environ))
    except environment.SettingsError as error:
        found = str(error)
    raise SystemExit(found and f"dialer: {found}")


if __name__ == "__main__":
    main()
