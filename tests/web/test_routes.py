"""Tests for dialer.web.routes, in memory with the real stack above the sockets."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hamcrest import assert_that, contains_exactly, empty, ends_with, equal_to, has_properties

from dialer.web.contacts import Contacts
from dialer.web.site import BoundedRequest
from tests.web.gates import Served


@contextmanager
def refuse() -> Iterator[list[object]]:
    """What only a look for garbage can get rid of."""
    gc.collect()
    was = gc.get_debug()
    found: list[object] = []
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield found
        gc.collect()
        found.extend(gc.garbage)
    finally:
        gc.set_debug(was)
        gc.garbage.clear()
        gc.enable()


@pytest.mark.parametrize("path", ["/contact", "/nothing", "/contact/%2F"])
def test_an_answered_request_is_gone_without_a_look_for_garbage(path: str) -> None:
    served = Served(groups=(Contacts,))
    with refuse() as left:
        for _ in range(3):
            served.ask("POST", path, body=b"{}")

    assert_that([each for each in left if isinstance(each, BoundedRequest)], empty())


def test_a_path_with_parts_is_served_with_them() -> None:
    served = Served(groups=(Contacts,))
    answer = served.ask("GET", "/contact/a%20b")

    assert_that(answer, has_properties(status=200, body={"called": "get_contact"}))


def test_the_head_of_what_get_shows_can_be_had_alone() -> None:
    served = Served(groups=(Contacts,))
    alone = served.ask("HEAD", "/contact/1")
    whole = served.ask("GET", "/contact/1")

    assert_that(served.called, contains_exactly("get_contact", "get_contact"))
    assert_that(alone.text, ends_with("\r\n\r\n"))
    assert_that(alone.headers["content-length"], equal_to(whole.headers["content-length"]))


def test_what_a_path_does_not_take_is_told_with_what_it_takes() -> None:
    answer = Served(groups=(Contacts,)).ask("DELETE", "/contact")

    assert_that(answer, has_properties(status=405))
    assert_that(answer.headers["allow"], equal_to("POST"))
