"""Networks whose callers are let in by their address alone."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_MAPPED = IPv6Network("::ffff:0:0/96")


def parse_networks(text: str) -> tuple[Network, ...]:
    """Read networks as CIDR or single addresses, with commas or spaces between them.

    Raises a ValueError, an empty one for what is no network at all.
    """
    return tuple(map(_network, filter(None, re.split(r"[,\s]+", text))))


def _network(text: str) -> Network:
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise ValueError from None
    # From here on the text is plain.
    if "/" in text and str(network.network_address) != str(ip_address(text.partition("/")[0])):
        raise ValueError(f"{text} is the network {network}: write that, or the address alone")
    if network.prefixlen == 0:
        raise ValueError(f"{text} is everybody")
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        raise ValueError(f"{text} is to be written as an IPv4 network")
    return network


def address_of(host: str) -> Address | None:
    """The address of the other end of a connection, as it is known to the socket; IPv4 that comes mapped into IPv6 is
    IPv4. None for what is no IP address, such as a Unix socket."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def is_address(host: str) -> bool:
    """Whether a host is named by its address, and by nothing more."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def is_within(host: str, networks: Iterable[Network]) -> bool:
    """Whether the other end of a connection is in one of the networks."""
    address = address_of(host)
    return address is not None and any(address in network for network in networks)


def neighbourhood(host: str) -> str:
    """What counts as one caller where callers are counted: an IPv4 address, or the /64 that an IPv6 host has."""
    address = address_of(host)
    if isinstance(address, IPv6Address):
        return str(IPv6Network((address, 64), strict=False))
    return host if address is None else str(address)
