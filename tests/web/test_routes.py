"""Tests for dialer.web.routes, in memory with the real stack above the sockets."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hamcrest import assert_that, contains_exactly, empty, ends_with, equal_to, has_properties

from dialer.web.contacts import Contacts
from dialer.web.routes import Routes
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


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("POST", "/contact", 200), ("GET", "/contact/a", 200), ("POST", "/nothing", 404), ("POST", "/contact/a", 405)],
)
def test_an_answered_request_is_gone_without_a_look_for_garbage(method: str, path: str, status: int) -> None:
    served = Served(groups=(Contacts,))
    with refuse() as left:
        statuses = [served.ask(method, path, body=b"{}").status for _ in range(3)]

    assert_that(statuses, equal_to([status] * 3))

    assert_that([each for each in left if isinstance(each, BoundedRequest)], empty())


def test_a_path_with_parts_is_served_with_them() -> None:
    served = Served(groups=(Contacts,))
    answer = served.ask("GET", "/contact/a%20b")

    assert_that(answer, has_properties(status=200, body={"called": "get_contact"}))


@pytest.mark.parametrize("path", ["/contact/ç", "/contact/%C3%A7"])
def test_a_path_is_utf8_escaped_or_not(path: str) -> None:
    routes = Routes()
    routes.add("GET", "/contact/<contact_id>", "get", lambda *_, **__: None)
    assert_that(routes.find(b"GET", path.encode()), equal_to(("get", {"contact_id": "ç"})))


@pytest.mark.parametrize("path", ["/contact//a", "/contact/", "/contact/a%2Fb", "http://dialer/contact"])
def test_a_path_that_is_not_written_as_it_was_declared_is_not_found(path: str) -> None:
    answer = Served(groups=(Contacts,)).ask("GET", path)

    assert_that(answer, has_properties(status=404))


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
