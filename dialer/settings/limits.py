"""The variables that bound what clients of the HTTP interface may take up."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel

from dialer.variable import WAIT, Number, Wait, Whole, above_zero, between, in_units, variable
from dialer.web.bounds import KIB, MIB, Bounds


class LimitSettings(BaseModel):
    """The limits of the HTTP interface. No honest caller meets them: HTTP_RATE is above what one process answers."""

    http_body_size: Annotated[Number, above_zero(1024, unit=MIB)] = variable(
        "32", "largest body of a request", "MiB, above 0, at most 1024", shown="`32` MiB"
    )
    http_bodies: Annotated[Number, above_zero(1024**2, unit=MIB)] = variable(
        "192",
        "most that is held of all bodies together, each above 64 KiB from its first byte; `HTTP_BODY_SIZE` at least",
        "MiB, above 0, at most 1048576",
        shown="`192` MiB",
    )
    http_head_size: Annotated[Number, between(1, 1024), in_units(KIB)] = variable(
        "16", "largest head of a request: its URL and all header lines", "KiB, from 1 to 1024", shown="`16` KiB"
    )
    http_headers: Annotated[Whole, between(10, 10_000)] = variable(
        "100", "most header lines of a request", "a whole number from 10 to 10000"
    )
    http_list_length: Annotated[Whole, between(1, 100_000)] = variable(
        "10000", "most contacts in a list that is stored whole or not at all", "a whole number from 1 to 100000"
    )
    http_connections: Annotated[Whole, between(1, 100_000)] = variable(
        "1000",
        "most connections to the HTTP interface; past them the one that was idle for longest is closed for a new one",
        "a whole number from 1 to 100000",
    )
    http_connections_per_address: Annotated[Whole, between(1, 100_000)] = variable(
        "250",
        "most of them from one address, or from one /64 of IPv6; a proxy is one address",
        "a whole number from 1 to 100000",
    )
    http_connections_reserved: Annotated[Whole, between(0, 10_000)] = variable(
        "32",
        "connections beyond these for callers on this machine and in `TRUSTED_NETWORKS`",
        "a whole number from 0 to 10000",
    )
    http_idle_time: Wait = variable(
        "75",
        "how long a connection may be idle between requests; above that of a proxy before the dialer",
        WAIT,
        shown="`75` s",
    )
    http_head_time: Wait = variable(
        "10", "longest time for sending the head of a request, and for a TLS handshake", WAIT, shown="`10` s"
    )
    http_stall_time: Wait = variable(
        "30",
        "how long a client may neither send its body nor read its answer at `HTTP_PACE`",
        WAIT,
        shown="`30` s",
    )
    http_pace: Annotated[Number, above_zero(1_000_000), in_units(KIB)] = variable(
        "1",
        "slowest pace at which a body may be sent or an answer be read",
        "KiB per second, above 0, at most 1000000",
        shown="`1` KiB/s",
    )
    http_rate: Annotated[Number, between(0, 1_000_000)] = variable(
        "5000",
        "requests per second with one token, or of one address without any; those of 5 s may be saved up; 0: no limit",
        "a number from 0 to 1000000",
    )

    @property
    def bounds(self) -> Bounds:
        """The limits of the HTTP interface."""
        body_size = max(1, round(self.http_body_size))
        return Bounds(
            body_size=body_size,
            # Else there would be bodies that are never taken, however often they are sent.
            bodies=max(body_size, round(self.http_bodies)),
            head_size=round(self.http_head_size),
            headers=self.http_headers,
            list_length=self.http_list_length,
            connections=self.http_connections,
            connections_per_address=self.http_connections_per_address,
            connections_reserved=self.http_connections_reserved,
            idle_time=self.http_idle_time,
            head_time=self.http_head_time,
            stall_time=self.http_stall_time,
            pace=self.http_pace,
            rate=self.http_rate,
        )
