"""The variables of the HTTP interface."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel

from dialer.settings.provided import nothing_configured
from dialer.variable import HOST, PEM, CertificateFile, Host, Text, Whole, between, key_of, variable


class HttpSettings(BaseModel):
    """The HTTP interface."""

    http_interface: Host = variable(
        lambda fields: "127.0.0.1" if nothing_configured(fields) else "0.0.0.0",  # noqa: S104  the table's default
        "address that the HTTP interface listens on",
        HOST,
        shown="`0.0.0.0` (`127.0.0.1` when nothing is configured)",
    )
    http_port: Annotated[Whole, between(0, 65535)] = variable(
        "8080", "port that the HTTP interface listens on; 0: any free one", "a port from 0 to 65535"
    )
    http_tls_cert: CertificateFile | None = variable(
        None,
        "serve https: a file with the certificate and those that lead to its CA, in PEM",
        PEM,
        shown="unset: plain http",
    )
    http_tls_key: Annotated[Text, key_of("http_tls_cert")] | None = variable(
        None, "a file with the private key of that certificate, in PEM", PEM, shown="unset"
    )
    http_tls_client_ca: CertificateFile | None = variable(
        None,
        "a file with CAs, in PEM: only clients with a certificate of one of them are served",
        PEM,
        shown="unset: any client",
    )
