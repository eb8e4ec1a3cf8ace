"""The switch that the environment names, its customers, and a world for each test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
import pytest_twisted

from tests.conftest import wait_for
from tests.freeswitch.control import Address, Control, Limits
from tests.freeswitch.customers import Customers
from tests.freeswitch.wire import Wire
from tests.freeswitch.world import World

VARIABLES = ("TEST_ESL_HOST", "TEST_ESL_PORT", "TEST_ESL_PASSWORD", "TEST_ESL_GATEWAY")


@pytest.fixture(scope="session")
def address() -> Address:
    """What the environment says; without it the test is skipped."""
    missing = [name for name in VARIABLES if not os.environ.get(name)]
    if missing:
        pytest.skip(f"no real FreeSWITCH to test with: {', '.join(missing)} not set (docs/efswitch.md)")
    host, port, password, gateway = (os.environ[name] for name in VARIABLES)
    return Address(host, int(port), password, gateway)


@pytest.fixture(scope="session")
def control(reactor: Any, address: Address) -> Control:
    """The tests' hand on the switch."""
    return Control(reactor, address)


@pytest.fixture(scope="session")
def limits(reactor: Any, control: Control) -> Limits:
    """The limits that the switch had before the tests, who put them back."""
    return wait_for(reactor, control.limits)


@pytest.fixture(scope="session")
def customers(reactor: Any, control: Control) -> Iterator[Customers]:
    """Everybody behind the gateway, for the whole session, so that the gateway stays up."""
    proxy = wait_for(reactor, control.gateway).get("Proxy", "")
    host, _, port = proxy.removeprefix("sip:").partition(":")
    assert port.isdigit(), f"gateway {control.address.gateway} needs a proxy `address:port`, it has {proxy!r}"
    everybody = Customers(reactor, host, int(port))
    everybody.listen()
    try:
        yield everybody
    finally:
        wait_for(reactor, everybody.stop)


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A real switch pings every five seconds, and lets customers ring for a minute."""
    monkeypatch.setattr("tests.service.world.PATIENCE", 90.0)


# The address comes first, so that without a switch nothing else is started.
@pytest_twisted.async_yield_fixture
async def world(address: Address, control: Control, limits: Limits, customers: Customers, conninfo: str) -> Any:
    """VC and customers, the gateway up; the dialer is for the test to start."""
    customers.listen()
    built = World(conninfo, control, customers)
    await built.open()
    await built.until_gateway("UP")
    yield built
    await built.close()
    await control.deafen()
    await control.tidy(limits)
    customers.forget()


@pytest_twisted.async_yield_fixture
async def wire(reactor: Any, address: Address) -> Any:
    """A relay to the switch that can be cut."""
    relay = Wire(reactor, address)
    yield relay
    await relay.cut()
