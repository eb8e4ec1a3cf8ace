"""Anything may be posted: what is accepted keeps the rules, restated here without the patterns of the code."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dialer.contact import CampaignType, DialingMode, NewContact, RoutingMode
from dialer.web.schema import Invalid, parse_contact, parse_contacts, parse_reply
from tests.web.posted import AGENT, IVR, REPLY_RULES, RULES, attribute


def parsed_or_refused(parse: Callable[[Any], Any], data: object) -> Any:
    """What `parse` makes of `data`, or its refusal; whatever else it raises is a failure."""
    try:
        return parse(data)
    except Invalid as error:
        return error


ANY_TEXT = st.text(max_size=45) | st.text("0123456789+*#-_.:abcXYZ", max_size=45)
TIMES = st.datetimes(
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=14)), timezone(timedelta(hours=-12))])
).map(datetime.isoformat)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | ANY_TEXT | TIMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def posted(draw: st.DrawFn) -> dict[str, Any]:
    """A contact that may be right: mostly values near the rules, some of any kind, under either name."""
    contact = dict(draw(st.sampled_from([IVR, AGENT])))
    for field in draw(st.lists(st.sampled_from(sorted(RULES)), max_size=5)):
        good, bad = RULES[field]
        contact[draw(st.sampled_from([field, attribute(field)]))] = draw(
            st.one_of(st.sampled_from(good), st.sampled_from(bad), ANY_TEXT, TIMES, JSON)
        )
    return contact


def is_free_of_control(text: str) -> bool:
    return all(unicodedata.category(character) not in ("Cc", "Zl", "Zp", "Cs") for character in text)


def assert_kept_the_rules(contact: NewContact) -> None:
    def only(text: str | None, alphabet: str, longest: int) -> bool:
        return text is None or (0 < len(text) <= longest and not set(text) - set(alphabet))

    digits, letters = "0123456789", "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    assert only(contact.id, digits + letters + "-", 40)
    assert only(contact.customer_number.removeprefix("+"), digits + "*#", 20)
    assert len(contact.customer_number) <= 20
    assert only(contact.gateway_id, digits + letters + "._-", 40)
    for name in (contact.campaign_id, contact.tenant_id, contact.resource_id):
        assert only(name, digits + letters + "._:-", 40)
    assert ":_:" not in (contact.resource_id or "")
    assert only(contact.ivr, digits + letters + "*#_-+", 20)
    assert contact.campaign_contact_id is None or (
        len(contact.campaign_contact_id) <= 40 and is_free_of_control(contact.campaign_contact_id)
    )
    if (queue := contact.queue_name) is not None:
        assert 0 < len(queue) <= 20
        assert is_free_of_control(queue)
        assert not set(queue) & set("\\'{}$")
        assert ":_:" not in queue
        assert queue == queue.strip(" ")
    assert contact.priority is None or (type(contact.priority) is int and contact.priority in range(1, 11))
    for time in (contact.start_time, contact.end_time):
        assert time is None or time.utcoffset() == timedelta(0)
    if contact.start_time and contact.end_time:
        assert contact.start_time <= contact.end_time
    if contact.campaign_type is CampaignType.AGENT:
        assert contact.dialing_mode in DialingMode
        assert contact.routing_mode in RoutingMode
        assert contact.resource_id or (contact.routing_mode is RoutingMode.QUEUE and contact.queue_name)
    if contact.scheduling_metadata is not None:
        assert isinstance(json.loads(contact.scheduling_metadata), dict)
        assert "\0" not in contact.scheduling_metadata
        contact.scheduling_metadata.encode()


@given(posted())
def test_whatever_is_accepted_keeps_every_rule_and_whatever_is_refused_is_named(contact: dict[str, Any]) -> None:
    result = parsed_or_refused(parse_contact, contact)
    if isinstance(result, Invalid):
        assert result.field in RULES
        assert str(result).isprintable()
    else:
        assert_kept_the_rules(result)


@given(JSON, st.sampled_from([parse_contact, parse_contacts, parse_reply]))
def test_no_json_makes_a_parser_fail_otherwise_than_by_a_refusal(data: Any, parse: Callable[[Any], Any]) -> None:
    parsed_or_refused(parse, data)


@given(
    st.dictionaries(st.sampled_from(["uuid", "agent", "queue", "x"]), JSON | st.sampled_from(["1005", "Sales", "c-1"]))
)
def test_whatever_reply_is_accepted_can_be_carried_to_efswitch(data: dict[str, Any]) -> None:
    reply = parsed_or_refused(parse_reply, data)
    if isinstance(reply, Invalid):
        assert reply.field in REPLY_RULES
        return
    assert re.fullmatch(r"[0-9A-Za-z-]{1,40}", reply.contact_id)
    assert re.fullmatch(r"[0-9A-Za-z*#_+-]{0,20}", reply.agent)
    assert reply.queue is None or (is_free_of_control(reply.queue) and not set(reply.queue) & set("\\'{}$"))
