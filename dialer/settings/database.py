"""The variables that say where PostgreSQL is."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import BaseModel

from dialer.addresses import database_conninfo
from dialer.variable import (
    PEM,
    PORT,
    TEXT,
    CertificateFile,
    Database,
    Number,
    Port,
    PrivateFile,
    Text,
    above_zero,
    in_file,
    key_of,
    one_of,
    variable,
)

TlsMode = Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]


class DatabaseSettings(BaseModel):
    """PostgreSQL."""

    db_url: Database | None = variable(
        None,
        "PostgreSQL ≥ 13: a host, or a full `postgresql://` URL; what that says wins over the other `DB_`",
        "a host, whose port goes into DB_PORT, or a full URL: postgresql://user:password@host:port/name",
        shown="unset → embedded",
        secret=True,
    )
    db_url_file: Text | None = in_file("that")
    db_port: Port = variable("5432", "port of PostgreSQL", PORT)
    db_name: Text = variable("dialer", "database in PostgreSQL", TEXT)
    db_username: Text = variable("dialer", "user of the database", TEXT)
    db_pass: Text = variable("", "password of that user", TEXT, shown="empty", secret=True, spaces=True)
    db_pass_file: Text | None = in_file("that password")
    db_conn_timeout: Annotated[Number, above_zero(600_000, unit=0.001)] = variable(
        "3000",
        "longest wait for PostgreSQL: for a connection and the answer to a statement together",
        "milliseconds, above 0, at most 600000",
        shown="`3000` ms",
    )
    db_tls_ca: CertificateFile | None = variable(
        None,
        "a file with the CAs of PostgreSQL's certificate, in PEM; for `DB_TLS_MODE` `verify-...`",
        PEM,
        shown="unset",
    )
    db_tls_mode: Annotated[TlsMode, one_of(*get_args(TlsMode))] | None = variable(
        lambda fields: "verify-full" if fields["db_tls_ca"] else None,
        "TLS towards PostgreSQL, as libpq's `sslmode`: `disable` `allow` `prefer` `require` `verify-ca` `verify-full`",
        ", ".join(get_args(TlsMode)),
        shown="`verify-full` with `DB_TLS_CA`, else libpq's: `prefer`",
    )
    db_tls_cert: CertificateFile | None = variable(
        None, "a file with the certificate that the dialer shows PostgreSQL, in PEM", PEM, shown="unset: none"
    )
    db_tls_key: Annotated[PrivateFile, key_of("db_tls_cert")] | None = variable(
        None, "a file with the private key of that certificate, in PEM, readable for nobody else", PEM, shown="unset"
    )

    @property
    def provide_postgres(self) -> bool:
        """Whether the embedded PostgreSQL serves."""
        return self.db_url is None

    @property
    def conninfo(self) -> str | None:
        """libpq's connection string, quoted as needed; None when the embedded PostgreSQL serves."""
        if self.db_url is None:
            return None
        return database_conninfo(
            self.db_url,
            port=str(self.db_port),
            dbname=self.db_name,
            user=self.db_username,
            password=self.db_pass,
            sslmode=self.db_tls_mode or "",
            sslrootcert=self.db_tls_ca or "",
            sslcert=self.db_tls_cert or "",
            sslkey=self.db_tls_key or "",
        )
