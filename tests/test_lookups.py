"""Look-ups of names: few at a time, and one for all who ask for the same name."""

from __future__ import annotations

from typing import Any

from hamcrest import assert_that, contains_exactly, empty, equal_to, has_length, instance_of, is_
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.error import DNSLookupError
from twisted.internet.interfaces import IHostnameResolver
from zope.interface import implementer

from dialer.lookups import AT_ONCE, Lookups


@implementer(IHostnameResolver)
class Names:
    """Answers when told to."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._open: dict[str, Any] = {}

    def resolveHostName(self, resolutionReceiver: Any, hostName: str, *_: Any, **__: Any) -> Any:
        self.asked.append(hostName)
        self._open[hostName] = resolutionReceiver

    def answer(self, host: str, *addresses: str) -> None:
        receiver = self._open.pop(host)
        for address in addresses:
            kind = IPv6Address if ":" in address else IPv4Address
            receiver.addressResolved(kind("TCP", address, 0))
        receiver.resolutionComplete()


def outcome(lookup: Deferred[Any]) -> list[Any]:
    """What it has fired with so far."""
    fired: list[Any] = []
    lookup.addBoth(fired.append)
    return fired


def test_each_address_of_a_name_is_told_once() -> None:
    names = Names()
    told = outcome(Lookups(names).addresses("h"))
    names.answer("h", "8.8.8.8", "2606:4700::1", "8.8.8.8")
    assert_that(told, contains_exactly(["8.8.8.8", "2606:4700::1"]))


def test_a_name_without_an_address_is_a_failure() -> None:
    names = Names()
    told = outcome(Lookups(names).addresses("h"))
    names.answer("h")
    assert_that(told[0].value, instance_of(DNSLookupError))


def test_few_names_are_looked_up_at_a_time_and_the_others_in_their_turn() -> None:
    names = Names()
    lookups = Lookups(names)
    told = [outcome(lookups.addresses(f"h{number}")) for number in range(AT_ONCE + 1)]
    assert_that(names.asked, has_length(AT_ONCE))
    names.answer("h1", "8.8.8.8")
    assert_that(names.asked[-1], is_(f"h{AT_ONCE}"))
    assert_that([bool(each) for each in told], equal_to([number == 1 for number in range(AT_ONCE + 1)]))


def test_who_asks_for_a_name_that_is_looked_up_gets_the_same_answer_and_later_a_new_one() -> None:
    names = Names()
    lookups = Lookups(names)
    told = [outcome(lookups.addresses("h")) for _ in range(2)]
    names.answer("h", "8.8.8.8")
    assert_that(told, equal_to([[["8.8.8.8"]]] * 2))
    lookups.addresses("h")
    assert_that(names.asked, equal_to(["h", "h"]))


def test_who_gives_up_waiting_takes_nothing_from_the_others_and_starts_no_second_look_up() -> None:
    names = Names()
    lookups = Lookups(names)
    given_up = lookups.addresses("h")
    failed = outcome(given_up)
    given_up.cancel()
    told = outcome(lookups.addresses("h"))
    assert_that(failed, has_length(1))
    assert_that(told, empty())
    assert_that(names.asked, equal_to(["h"]))
    names.answer("h", "8.8.8.8")
    assert_that(told, equal_to([["8.8.8.8"]]))
