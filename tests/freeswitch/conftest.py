"""The switch that the environment names, its customers, and a world for each test."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted

from tests.conftest import wait_for
from tests.freeswitch.control import Address, Control, Limits
from tests.freeswitch.customers import Customers
from tests.freeswitch.wire import Wire
from tests.freeswitch.world import World

VARIABLES = ("TEST_ESL_HOST", "TEST_ESL_PORT", "TEST_ESL_PASSWORD", "TEST_ESL_GATEWAY")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder, and skip them unless the environment names a switch."""
    here = Path(__file__).parent
    missing = [name for name in VARIABLES if not os.environ.get(name)]
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.freeswitch)
            if missing:
                reason = f"no real FreeSWITCH to test with (docs/efswitch.md): {', '.join(missing)} not set"
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def address() -> Address:
    """What the environment says."""
    host, port, password, gateway = (os.environ[name] for name in VARIABLES)
    return Address(host, int(port), password, gateway)


@pytest.fixture(scope="session")
def control(reactor: Any, address: Address) -> Control:
    """The tests' hand on the switch."""
    return Control(reactor, address)


@pytest.fixture(scope="module")
def alone(address: Address) -> Iterator[None]:
    """One module at a time has the switch, however many processes run the tests."""
    name = f"dialer-tests-freeswitch-{address.host}-{address.port}.lock"
    with (Path(tempfile.gettempdir()) / name).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # freed when its process ends, whatever happens to it
        yield


@pytest.fixture(scope="module")
def limits(reactor: Any, alone: None, control: Control) -> Limits:
    """The limits that the switch had before the tests, who put them back."""
    return wait_for(reactor, control.limits)


@pytest.fixture(scope="module")
def customers(reactor: Any, alone: None, control: Control) -> Iterator[Customers]:
    """Everybody behind the gateway, there for the whole module, so that the gateway stays up."""
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


@pytest_twisted.async_yield_fixture
async def world(control: Control, limits: Limits, customers: Customers, conninfo: str) -> Any:
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
