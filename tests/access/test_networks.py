"""Networks whose callers are let in, and who is in them."""

from __future__ import annotations

import pytest
from hamcrest import assert_that, equal_to, is_

from dialer.access.networks import is_within, neighbourhood, parse_networks


@pytest.mark.parametrize(
    ("text", "networks"),
    [
        ("", []),
        ("10.1.0.0/16", ["10.1.0.0/16"]),
        ("10.0.0.5, fd00::/8 ,::1", ["10.0.0.5/32", "fd00::/8", "::1/128"]),
        ("192.0.2.0/255.255.255.0", ["192.0.2.0/24"]),
    ],
)
def test_networks_and_single_addresses_are_listed_with_commas_or_spaces(text: str, networks: list[str]) -> None:
    assert_that(list(map(str, parse_networks(text))), equal_to(networks))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("vc.example", ""),
        ("10.0.0.0/33", ""),
        ("10.0.0.0/8;::1", ""),
        ("٣.0.0.0", ""),
        ("10.1.2.3/16", "10.1.2.3/16 is the network 10.1.0.0/16: write that, or the address alone"),
        ("0.0.0.0/0", "0.0.0.0/0 is everybody"),
        ("10.0.0.1, ::/0", "::/0 is everybody"),
        ("::ffff:10.0.0.0/104", "::ffff:10.0.0.0/104 is to be written as an IPv4 network"),
    ],
)
def test_what_is_no_network_or_not_the_one_that_is_meant_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  each test looks at its words
        parse_networks(text)
    assert_that(str(caught.value), is_(reason))


TRUSTED = parse_networks("10.1.0.0/16, 192.0.2.7, fd00:1::/32")


@pytest.mark.parametrize(
    "host", ["10.1.0.0", "10.1.255.255", "192.0.2.7", "fd00:1::9", "::ffff:10.1.2.3", "fd00:1::9%eth0"]
)
def test_who_calls_from_such_a_network_is_within_it_also_when_ipv4_comes_as_ipv6(host: str) -> None:
    assert_that(is_within(host, TRUSTED), is_(True))


@pytest.mark.parametrize(
    "host", ["10.2.0.0", "192.0.2.8", "fd00:2::9", "::ffff:10.2.0.1", "::10.1.2.3", "/run/socket", "", "vc"]
)
def test_who_calls_from_elsewhere_is_not(host: str) -> None:
    assert_that(is_within(host, TRUSTED), is_(False))


def test_an_ipv6_host_is_one_caller_whichever_of_its_addresses_it_uses() -> None:
    assert_that(neighbourhood("fd00::1:2:3:4"), equal_to(neighbourhood("fd00::5:6:7:8")))
    assert_that(neighbourhood("fd00:0:0:1::1") == neighbourhood("fd00:0:0:2::1"), is_(False))
    assert_that(neighbourhood("10.0.0.1") == neighbourhood("10.0.0.2"), is_(False))
    assert_that(neighbourhood("::ffff:10.0.0.1"), equal_to(neighbourhood("10.0.0.1")))
