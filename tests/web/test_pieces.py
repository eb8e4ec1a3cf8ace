"""A list that is read in pieces is the one that the JSON parser reads at one go, and so are its errors."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hamcrest import assert_that, equal_to, greater_than, is_
from hypothesis import given
from hypothesis import strategies as st

from dialer.web.pieces import TRIES, loads_steps

TEXT = st.text('}{][,:"\\ \ta\u00e9', max_size=8)
VALUES = st.recursive(
    st.none() | st.integers(-9, 9) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
LISTS = st.lists(st.dictionaries(TEXT, VALUES, max_size=3) | VALUES, max_size=8)
INDENTS = st.sampled_from([None, 1, "\t"])


def read(body: bytes, piece: int) -> tuple[object, int]:
    """What came of it, an error as its message, and in how many steps."""
    steps = loads_steps(body, piece)
    for step in range(1, len(body) + 2):
        try:
            next(steps)
        except StopIteration as end:
            return end.value, step
        except orjson.JSONDecodeError as error:
            return str(error), step
    raise AssertionError("it never ends")


def whole(body: bytes) -> object:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        return str(error)


@given(LISTS, INDENTS, st.integers(0, 30))
def test_any_list_is_read_as_at_one_go(listed: list[Any], indent: Any, piece: int) -> None:
    body = json.dumps(listed, indent=indent, ensure_ascii=False).encode()

    assert_that(read(body, piece)[0], equal_to(listed))


@given(LISTS, st.integers(0, 30), st.data())
def test_what_is_no_json_is_refused_as_at_one_go(listed: list[Any], piece: int, data: st.DataObject) -> None:
    body = json.dumps(listed, ensure_ascii=False).encode()
    place = data.draw(st.integers(0, len(body)))
    left_out = data.draw(st.integers(0, 3))
    instead = data.draw(
        st.sampled_from([b"", b"}", b"]", b",", b"{", b"[", b'"', b"},{", b"}],{", b"\xff", b"\\", b"0"])
    )
    body = body[:place] + instead + body[place + left_out :]

    assert_that(read(body, piece)[0], equal_to(whole(body)))


def test_a_long_list_is_read_in_pieces_of_about_the_length_that_is_wanted() -> None:
    listed = [{"id": f"c-{number:04}", "metadata": {"more": [{"a": 1}, {"b": "},{"}]}} for number in range(1000)]
    body = json.dumps(listed).encode()

    result, steps = read(body, len(body) // 10)

    assert_that(result, equal_to(listed))
    assert_that(steps, greater_than(9))


@pytest.mark.parametrize("ending", [b"", b",]", b"]]", b"}]", b",{}", b",{]"])
def test_an_error_names_its_place_in_the_whole(ending: bytes) -> None:
    body = b"[" + b",".join([b'{"a":1}'] * 100) + ending

    assert_that(read(body, 70)[0], equal_to(whole(body)))
    assert_that(isinstance(whole(body), str), is_(True))


def test_the_end_of_a_piece_is_not_looked_for_for_ever() -> None:
    deep = [{"only": [{}] * 10_000}] * 2

    result, steps = read(json.dumps(deep).encode(), 1000)

    assert_that(result, equal_to(deep))
    assert_that(steps, equal_to(TRIES + 1))
