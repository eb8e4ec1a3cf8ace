"""The document and the checks say the same: what one calls valid the other accepts, whatever is posted."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from hamcrest import assert_that, greater_than, has_entries, has_length
from hypothesis import assume, given
from hypothesis import strategies as st
from jsonschema_rs import Draft202012Validator

from dialer.web.notifications import NotificationsQuery
from dialer.web.query import parse_query
from dialer.web.schema import ContactIn, Invalid, parse_contact, parse_reply
from tests.web.contract import contract
from tests.web.posted import AGENT, GOOD_TIMES, REPLY, REPLY_RULES, RULES, attribute
from tests.web.test_schema_properties import ANY_TEXT, JSON, TIMES, posted

SCHEMAS = contract().document["components"]["schemas"]


def body_of(path: str) -> dict[str, Any]:
    """The schema of what may be posted there."""
    found = contract().document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    return dict(found)


ENCODABLE = st.characters(codec="utf-8")


def valid_by(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that a schema calls valid, as far as the schemas of requests go; `not` is left to whoever filters."""
    match schema:
        case {"$ref": reference}:
            return valid_by(SCHEMAS[reference.rpartition("/")[2]])
        case {"anyOf": schemas}:
            return st.one_of(*map(valid_by, schemas))
        case {"const": value}:
            return st.just(value)
        case {"enum": values}:
            return st.sampled_from(values)
        case {"type": "null"}:
            return st.none()
        case {"type": "integer", "minimum": least, "maximum": most}:
            return st.integers(least, most)
        case {"type": "string", "pattern": pattern}:
            longest = schema.get("maxLength", 100)
            # Python's $ would let a line end follow.
            whole = re.compile(pattern.removeprefix("^").removesuffix("$"))
            texts = st.from_regex(whole, fullmatch=True, alphabet=ENCODABLE)
            return texts.filter(lambda text: len(text) <= longest)
        case {"type": "object", "properties": properties}:
            kinds = {name: valid_by(each) for name, each in properties.items()}
            required = {name: kinds.pop(name) for name in schema.get("required", ())}
            return st.fixed_dictionaries(required, optional=kinds | {"unknown": JSON})
        case {"type": "object"}:
            return st.dictionaries(st.text(ENCODABLE), JSON, max_size=3)
    # A description that says something new is to be understood here first, not skipped.
    raise NotImplementedError(schema)


CONTACT = contract().validator(body_of("/contact"))
REPLY_BODY = contract().validator(body_of("/agent"))

BEYOND = {
    "startTime": "a date and time in ISO 8601",
    "endTime": "a date and time in ISO 8601",
    "schedulingMetadata": "without NUL characters",
    "dialingMode": "An AGENT contact needs `dialingMode`",
    "routingMode": "`routingMode`, and a",
    "resourceId": "`resourceId`\nunless it has a `queueName`",
}
"""What JSON Schema cannot say, or only at length: the field that is refused, and where the document tells it."""


def test_what_the_schema_of_a_contact_cannot_say_is_said_in_words() -> None:
    said = json.dumps(SCHEMAS["Contact"], ensure_ascii=False).replace("\\n", "\n")
    assert_that({field: words in said for field, words in BEYOND.items()}, has_entries(dict.fromkeys(BEYOND, True)))


@given(posted())
def test_a_contact_that_is_accepted_is_valid_by_the_document(contact: dict[str, Any]) -> None:
    try:
        parse_contact(contact)
    except Invalid:
        return
    assert CONTACT.is_valid(contact)


FROM_THE_DOCUMENT = valid_by(SCHEMAS["Contact"])


@st.composite
def described(draw: st.DrawFn) -> dict[str, Any]:
    """A contact made from the document alone, its names in either spelling; mostly with times that exist."""
    contact = draw(FROM_THE_DOCUMENT)
    for field in ("startTime", "endTime"):
        if isinstance(contact.get(field), str) and draw(st.integers(0, 9)):
            contact[field] = draw(st.sampled_from(GOOD_TIMES))
    fields = [info.alias for info in ContactIn.model_fields.values() if info.alias in contact]
    for field in draw(st.lists(st.sampled_from(fields), unique=True)):
        contact[attribute(str(field))] = contact.pop(str(field))
    return contact


@given(described())
def test_a_contact_that_is_valid_by_the_document_is_accepted_but_for_what_it_says_in_words(
    contact: dict[str, Any],
) -> None:
    assume(CONTACT.is_valid(contact))
    try:
        parse_contact(contact)
    except Invalid as error:
        assert error.field in BEYOND, (error.field, str(error))  # noqa: PT017  most of them are no error


@given(
    st.dictionaries(
        st.sampled_from(["uuid", "agent", "queue", "x"]),
        JSON | ANY_TEXT | TIMES | st.sampled_from([value for good, _ in REPLY_RULES.values() for value in good]),
    ).map(lambda reply: {**REPLY, **reply})
)
def test_a_reply_is_accepted_if_and_only_if_it_is_valid_by_the_document(reply: dict[str, Any]) -> None:
    assert_the_same(reply)


@given(valid_by(SCHEMAS["AgentReply"]))
def test_a_reply_that_is_made_from_the_document_is_accepted(reply: dict[str, Any]) -> None:
    assert_the_same(reply)


def assert_the_same(reply: dict[str, Any]) -> None:
    assert is_accepted(parse_reply, reply) is is_valid(REPLY_BODY, reply)


def is_accepted(parse: Callable[[Any], Any], body: dict[str, Any]) -> bool:
    try:
        parse(body)
    except Invalid:
        return False
    return True


def is_valid(validator: Draft202012Validator, body: dict[str, Any]) -> bool:
    try:
        return validator.is_valid(body)
    except ValueError:  # a lone surrogate: no JSON can carry it
        return False


BOUNDARIES = [
    (validator, parse, base, field, value)
    for validator, parse, base, rules in (
        (CONTACT, parse_contact, AGENT, RULES),
        (REPLY_BODY, parse_reply, REPLY, REPLY_RULES),
    )
    for field, (good, bad) in rules.items()
    for value in [*good, *bad]
    # 3.0 is a whole number to JSON Schema; which dates exist and how large metadata may be is told in words.
    if value != 3.0 and field not in ("schedulingMetadata", "startTime", "endTime")
]


def test_each_field_at_its_boundary_is_accepted_if_and_only_if_it_is_valid_by_the_document() -> None:
    assert_that(BOUNDARIES, has_length(greater_than(400)))
    for validator, parse, base, field, value in BOUNDARIES:
        body = {**base, "resourceId": "r-1", field: value} if base is AGENT else {**base, field: value}
        # An empty mode is absent, which an AGENT contact must not have: told in words.
        if field in ("dialingMode", "routingMode") and value == "":
            continue
        assert (field, value, is_accepted(parse, body)) == (field, value, is_valid(validator, body))


QUERY = {each["name"]: each["schema"] for each in contract().document["paths"]["/notifications"]["get"]["parameters"]}


@given(valid_by({"type": "object", "properties": QUERY}))
def test_a_query_that_is_valid_by_the_document_is_accepted(query: dict[str, Any]) -> None:
    parse_query(NotificationsQuery, {name.encode(): [str(value).encode()] for name, value in query.items()})
