"""The variables of the HTTP interface."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel

from dialer.settings.provided import nothing_configured
from dialer.variable import HOST, Host, Whole, between, variable


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
