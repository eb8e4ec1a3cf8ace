"""Which addresses are the public internet's. A customer names where a webhook goes; it must not lead to what only this
machine can reach: itself, its network, or the metadata service of its cloud.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

_SERVICES = [
    ip_network("192.0.0.0/24"),  # IETF protocols, and a metadata service; Python versions differ on it
    ip_network("192.88.99.0/24"),  # what once were relays into IPv6
    ip_network("168.63.129.16/32"),  # public by its number, and yet the host under an Azure machine
]
_UNICAST = ip_network("2000::/3")
_IN_IPV4 = ip_network("64:ff9b::/96")
_BY_6TO4 = ip_network("2002::/16")


def is_public(text: str) -> bool:
    """Whether an address is one that anybody on the internet may reach; False for what is no address.

    An IPv4 address inside an IPv6 one (mapped, or by NAT64) counts as itself.
    """
    try:
        address = ip_address(text)
    except ValueError:
        return False
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return _is_public_ipv4(address.ipv4_mapped)
        if address in _IN_IPV4:
            return _is_public_ipv4(IPv4Address(int(address) & 0xFFFF_FFFF))
        return address.is_global and address in _UNICAST and address not in _BY_6TO4
    return _is_public_ipv4(address)


def _is_public_ipv4(address: IPv4Address) -> bool:
    if address.is_multicast or address.is_reserved or not address.is_global:
        return False
    return not any(address in network for network in _SERVICES)
