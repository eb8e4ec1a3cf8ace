"""Where a webhook that a customer asked for may go."""

from __future__ import annotations

import pytest
from hamcrest import assert_that, is_

from dialer.public_address import is_public

PUBLIC = [
    "8.8.8.8",
    "93.184.215.14",
    "2606:4700:4700::1111",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",  # 8.8.8.8 through NAT64
]

NOT_PUBLIC = [
    "127.0.0.1",
    "127.255.0.9",
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",  # the metadata service of most clouds
    "100.100.100.200",  # of another one
    "168.63.129.16",  # of another one
    "192.0.0.192",  # of another one
    "192.0.2.1",
    "198.18.0.1",
    "192.88.99.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::808:808",
    "2002:7f00:1::",
    "2001:db8::1",
    "2001::1",
    "fc00::1",
    "fd00:ec2::254",  # a metadata service
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "5f00::1",
    "2130706433",
    "localhost",
    "",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_what_anybody_on_the_internet_may_reach_is_public(address: str) -> None:
    assert_that(is_public(address), is_(True))


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_what_leads_to_this_machine_its_network_or_its_cloud_is_not(address: str) -> None:
    assert_that(is_public(address), is_(False))
