"""The variables that say where PostgreSQL is."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel

from dialer.addresses import database_conninfo
from dialer.variable import PORT, TEXT, Database, Number, Port, Text, above_zero, variable


class DatabaseSettings(BaseModel):
    """PostgreSQL."""

    db_url: Database | None = variable(
        None,
        "PostgreSQL ≥ 13: a host, or a full `postgresql://` URL; what that says wins over the next four",
        "a host, whose port goes into DB_PORT, or a full URL: postgresql://user:password@host:port/name",
        shown="unset → embedded",
        secret=True,
    )
    db_port: Port = variable("5432", "port of PostgreSQL", PORT)
    db_name: Text = variable("dialer", "database in PostgreSQL", TEXT)
    db_username: Text = variable("dialer", "user of the database", TEXT)
    db_pass: Text = variable("", "password of that user", TEXT, shown="empty", secret=True)
    db_pass_file: Text | None = variable(None, "a file with that password, instead", TEXT, shown="unset")
    db_conn_timeout: Annotated[Number, above_zero(600_000, unit=0.001)] = variable(
        "3000",
        "longest wait for PostgreSQL: for a connection and the answer to a statement together",
        "milliseconds, above 0, at most 600000",
        shown="`3000` ms",
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
            self.db_url, port=self.db_port, name=self.db_name, username=self.db_username, password=self.db_pass
        )
