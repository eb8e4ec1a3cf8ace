"""Host names in a conninfo become addresses before libpq sees them: it would look them up and block the reactor."""

from __future__ import annotations

import socket
from ipaddress import ip_address
from typing import Any

from psycopg2.extensions import make_dsn, parse_dsn

from dialer.store.deferred import in_daemon_thread

DEFAULT_PORT = "5432"


def _needs_no_lookup(host: str) -> bool:
    if not host or host.startswith(("/", "@")):
        return True
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _spread(given: dict[str, str]) -> dict[str, str]:
    """Each name once for each of its addresses, in the resolver's order, as libpq would try them. Blocks."""
    hosts = given["host"].split(",")
    ports = given.get("port", DEFAULT_PORT).split(",")
    if len(ports) == 1:
        ports *= len(hosts)
    found = []
    for host, port in zip(hosts, ports, strict=True):
        if host.startswith(("/", "@")):
            found.append((host, "", port))
            continue
        addresses = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        found += [(host, str(address[0]), port) for *_, address in addresses]
    names, addresses_, ports_ = (",".join(column) for column in zip(*found, strict=True))
    return given | {"host": names, "hostaddr": addresses_, "port": ports_}


async def resolved(reactor: Any, dsn: str) -> str:
    """The same conninfo with `hostaddr` for its host names; they stay, for TLS. Fails with OSError."""
    given: dict[str, str] = parse_dsn(dsn)
    if "hostaddr" in given or all(_needs_no_lookup(host) for host in given.get("host", "").split(",")):
        return dsn
    return str(make_dsn(**await in_daemon_thread(reactor, lambda: _spread(given))))
