"""Every rule of the HTTP interface for what is posted, at its boundary, alone and in a list, in both spellings."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from attrs import asdict, fields_dict
from hamcrest import (
    all_of,
    assert_that,
    calling,
    contains_string,
    equal_to,
    has_entries,
    has_properties,
    has_string,
    is_,
    none,
    raises,
    starts_with,
)

from dialer.contact import AgentReply, CampaignType, Contact, DialingMode, NewContact, RoutingMode, Status
from dialer.web.pieces import PIECE
from dialer.web.schema import (
    MAX_CONTACTS,
    STEP,
    ContactIn,
    Invalid,
    parse_contact,
    parse_contacts,
    parse_contacts_steps,
    parse_json,
    parse_json_steps,
    parse_reply,
    render_contact,
)
from tests.web.posted import AGENT, IVR, REPLY, REPLY_RULES, RULES, SEED_NAMES, attribute, in_seed_names

ACCEPTED = [(field, value) for field, (good, _) in RULES.items() for value in good]
REFUSED = [(field, value) for field, (_, bad) in RULES.items() for value in bad]
REQUIRED = ["id", "customerNumber", "campaignType", "gatewayId", "campaignId"]
BLANK = ["campaignContactId", "ivr", "dialingMode", "routingMode", "resourceId", "queueName", "tenantId"]


def refusal(contact: object) -> Invalid:
    with pytest.raises(Invalid) as caught:
        parse_contact(contact)
    return caught.value


def as_kept(value: Any) -> Any:
    """What is to be found in the contact for a posted value of a field without a type of its own."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")) if isinstance(value, dict) else value


# --- each field


def test_every_field_of_a_contact_has_its_rule_here() -> None:
    assert_that(set(RULES), equal_to({info.alias for info in ContactIn.model_fields.values()}))
    assert_that({attribute(field) for field in RULES}, equal_to(set(fields_dict(NewContact))))


@pytest.mark.parametrize("spelled", [dict, in_seed_names])
@pytest.mark.parametrize(("field", "value"), ACCEPTED)
def test_a_value_within_its_rule_is_kept(field: str, value: Any, spelled: Any) -> None:
    contact = parse_contact(spelled({**IVR, field: value}))
    kept = getattr(contact, attribute(field))
    if field in ("startTime", "endTime"):
        assert_that(kept, equal_to(datetime.fromisoformat(value)))
        assert_that(kept.tzinfo, is_(UTC))
    else:
        assert_that(kept, equal_to(as_kept(value)))


@pytest.mark.parametrize(("field", "value"), REFUSED)
def test_a_value_against_its_rule_is_refused_by_name_however_it_is_spelled_or_packed(field: str, value: Any) -> None:
    for contact in ({**IVR, field: value}, in_seed_names({**IVR, field: value})):
        error = refusal(contact)
        assert_that(error, has_properties(field=field, index=none()))
        assert_that(str(error), starts_with(f"{field} "))
        assert_that(str(error).isprintable() and "\n" not in str(error))
        others = [{**IVR, "id": f"o-{number}"} for number in range(3)]
        assert_that(
            calling(parse_contacts).with_args([*others, contact, {}]),
            raises(Invalid, matching=has_properties(field=field, index=3)),
        )


@pytest.mark.parametrize("field", REQUIRED)
def test_a_required_field_may_be_neither_absent_nor_null(field: str) -> None:
    for contact in ({**IVR, field: None}, {name: value for name, value in IVR.items() if name != field}):
        assert_that(refusal(contact), all_of(has_string(f"{field} is required"), has_properties(field=field)))


def test_the_first_wrong_field_is_named() -> None:
    assert_that(refusal({}).field, equal_to("id"))
    assert_that(refusal({**IVR, "gatewayId": "", "priority": 11}).field, equal_to("gatewayId"))


@pytest.mark.parametrize("field", sorted(set(RULES) - set(REQUIRED)))
def test_a_null_field_that_is_optional_is_absent(field: str) -> None:
    assert_that(parse_contact({**IVR, field: None, attribute(field): None}), equal_to(parse_contact(IVR)))


@pytest.mark.parametrize("field", BLANK)
def test_an_empty_text_that_is_optional_is_absent(field: str) -> None:
    assert_that(parse_contact({**IVR, field: ""}), equal_to(parse_contact(IVR)))
    assert_that(parse_contact({**IVR, attribute(field): ""}), equal_to(parse_contact(IVR)))


@pytest.mark.parametrize(
    "extra",
    [
        {"foo": 1, "Id": "x", "customernumber": 1, "": None},
        {"status": "ended", "callResult": "X", "receivedTime": "now", "dialTime": 7, "endedTime": 8},
        {"call_result": {}, "received_time": [], "dial_time": "", "status": None},
        {"taking": 5, "owner": "x", "switch": "y", "agent": "1", "bridged": True, "blank": "x", "model_config": {}},
    ],
)
def test_what_is_unknown_or_belongs_to_the_dialer_is_ignored(extra: dict[str, Any]) -> None:
    assert_that(parse_contact({**IVR, **extra}), equal_to(parse_contact(IVR)))


# --- both spellings at once


@pytest.mark.parametrize("field", sorted(SEED_NAMES))
def test_both_spellings_of_a_field_may_say_the_same_but_not_differ(field: str) -> None:
    good = {**AGENT, "campaignContactId": "x", "resourceId": "r", "tenantId": "t", "schedulingMetadata": {"a": 1},
            "startTime": "2026-11-23T08:00:00Z", "endTime": "2026-11-23T08:00:00Z"}  # fmt: skip
    both = {**good, SEED_NAMES[field]: good[field]}
    assert_that(parse_contact(both), equal_to(parse_contact(good)))
    error = refusal({**good, SEED_NAMES[field]: {"other": 1}})
    assert_that(error.field, equal_to(field))
    assert_that(str(error), all_of(contains_string(field), contains_string(SEED_NAMES[field])))


def test_a_null_or_blank_spelling_leaves_the_field_to_the_other_one() -> None:
    assert_that(parse_contact({**AGENT, "queueName": None, "queue_name": "A"}).queue_name, equal_to("A"))
    assert_that(parse_contact({**AGENT, "queueName": "", "queue_name": "A"}).queue_name, equal_to("A"))
    assert_that(parse_contact({**AGENT, "queueName": "A", "queue_name": ""}).queue_name, equal_to("A"))


def test_values_too_deep_to_be_compared_count_as_different() -> None:
    deep = [parse_json(b'{"a":' + b"[" * 1000 + b"]" * 1000 + b"}") for _ in range(2)]
    assert_that(
        refusal({**IVR, "schedulingMetadata": deep[0], "scheduling_metadata": deep[1]}).field,
        equal_to("schedulingMetadata"),
    )


# --- fields together


@pytest.mark.parametrize("field", ["dialingMode", "routingMode"])
@pytest.mark.parametrize("value", [None, ""])
def test_an_agent_contact_needs_its_modes(field: str, value: str | None) -> None:
    error = refusal({**AGENT, field: value})
    assert_that(error, all_of(has_properties(field=field), has_string(contains_string("is required when"))))


@pytest.mark.parametrize(
    ("routing", "resource", "queue", "accepted"),
    [
        ("AGENT", "1005", None, True),
        ("AGENT", "1005", "Sales", True),
        ("AGENT", None, "Sales", False),
        ("AGENT", "", None, False),
        ("QUEUE", None, "Sales", True),
        ("QUEUE", "q-1", None, True),
        ("QUEUE", "q-1", "Sales", True),
        ("QUEUE", None, None, False),
        ("QUEUE", "", "", False),
    ],
)
def test_an_agent_contact_needs_somebody_to_talk_to(
    routing: str, resource: str | None, queue: str | None, accepted: bool
) -> None:
    contact = {**AGENT, "routingMode": routing, "resourceId": resource, "queueName": queue}
    if accepted:
        parsed = parse_contact(contact)
        assert_that((parsed.resource_id, parsed.queue_name), equal_to((resource, queue)))
    else:
        assert_that(refusal(contact).field, equal_to("resourceId"))


def test_an_ivr_contact_needs_no_agent_fields_and_keeps_those_it_has() -> None:
    assert_that(parse_contact({**IVR, "routingMode": "AGENT"}).routing_mode, is_(RoutingMode.AGENT))
    assert_that(parse_contact({**AGENT, "ivr": "1"}).ivr, equal_to("1"))


def test_a_contact_may_start_and_end_at_once_but_not_end_before_it_starts() -> None:
    times = {"startTime": "2026-11-23T08:00:00+01:00", "endTime": "2026-11-23T07:00:00Z"}
    parsed = parse_contact({**IVR, **times})
    assert_that(parsed.start_time, equal_to(parsed.end_time))
    assert_that(refusal({**IVR, **times, "endTime": "2026-11-23T06:59:59.999999Z"}).field, equal_to("endTime"))


def test_values_have_the_types_of_the_domain() -> None:
    parsed = parse_contact({**AGENT, "schedulingMetadata": {"b": 1, "a": "ä"}})
    assert_that(
        parsed,
        has_properties(
            campaign_type=is_(CampaignType.AGENT),
            dialing_mode=is_(DialingMode.PREVIEW),
            routing_mode=is_(RoutingMode.QUEUE),
            scheduling_metadata='{"a":"ä","b":1}',
        ),
    )


def test_the_order_of_keys_makes_no_other_metadata() -> None:
    one, other = (parse_contact({**IVR, "schedulingMetadata": dict(pairs)}) for pairs in
                  ([("a", 1), ("b", {"c": 1, "d": 2})], [("b", {"d": 2, "c": 1}), ("a", 1)]))  # fmt: skip
    assert_that(one, equal_to(other))


# --- lists


@pytest.mark.parametrize("data", [None, 1, "x", [], [IVR], True])
def test_a_contact_is_an_object(data: object) -> None:
    assert_that(refusal(data), has_properties(field=none(), index=none()))


@pytest.mark.parametrize("data", [None, 1, "x", {}, IVR, True])
def test_contacts_are_a_list(data: object) -> None:
    assert_that(
        calling(parse_contacts).with_args(data), raises(Invalid, matching=has_properties(field=none(), index=none()))
    )


@pytest.mark.parametrize("entry", [None, 1, "x", [], [IVR]])
def test_an_entry_that_is_no_object_is_named_by_its_index(entry: object) -> None:
    assert_that(
        calling(parse_contacts).with_args([IVR, entry]), raises(Invalid, matching=has_properties(field=none(), index=1))
    )


def test_an_empty_list_is_valid() -> None:
    assert_that(parse_contacts([]), equal_to([]))


def test_a_list_has_at_most_ten_thousand_contacts() -> None:
    most = [{**IVR, "id": f"c-{number}"} for number in range(MAX_CONTACTS)]
    assert_that([contact.id for contact in parse_contacts(most)], equal_to([contact["id"] for contact in most]))
    assert_that(calling(parse_contacts).with_args([*most, IVR]), raises(Invalid, "10000 .* 10001"))


def test_the_same_contact_twice_in_a_list_is_left_to_be_counted() -> None:
    assert_that(len(parse_contacts([IVR, in_seed_names(IVR), IVR])), equal_to(3))


def test_an_id_with_two_contents_in_a_list_is_refused_at_the_second() -> None:
    many = [{**IVR, "id": f"c-{number}"} for number in range(2 * STEP)]
    assert_that(
        calling(parse_contacts).with_args([*many, {**many[3], "priority": 1}]),
        raises(Invalid, "entry 3", matching=has_properties(field="id", index=2 * STEP)),
    )


def test_a_list_is_checked_in_steps() -> None:
    steps = list(parse_contacts_steps([{**IVR, "id": f"c-{number}"} for number in range(2 * STEP + 1)]))
    assert_that([len(step) for step in steps], equal_to([STEP, STEP, 1]))


def test_bulky_metadata_makes_shorter_steps() -> None:
    bulky = [{**IVR, "id": f"c-{number}", "schedulingMetadata": {"a": "x" * 60_000}} for number in range(20)]
    steps = [len(step) for step in parse_contacts_steps(bulky)]
    assert_that((sum(steps), max(steps)), equal_to((20, 9)))


# --- the reply


@pytest.mark.parametrize(
    ("field", "value"), [(field, value) for field, (good, _) in REPLY_RULES.items() for value in good]
)
def test_a_reply_within_its_rules_is_kept(field: str, value: Any) -> None:
    reply = parse_reply({**REPLY, field: value})
    assert_that(getattr(reply, {"uuid": "contact_id"}.get(field, field)), equal_to(value))


@pytest.mark.parametrize(
    ("field", "value"), [(field, value) for field, (_, bad) in REPLY_RULES.items() for value in bad]
)
def test_a_reply_against_its_rules_is_refused_by_name(field: str, value: Any) -> None:
    assert_that(
        calling(parse_reply).with_args({**REPLY, field: value}), raises(Invalid, matching=has_properties(field=field))
    )


@pytest.mark.parametrize(
    "rest", [{}, {"agent": None, "queue": None}, {"agent": "", "queue": ""}, {"status": "x", "id": 5}]
)
def test_a_reply_without_an_agent_says_that_none_is_available(rest: dict[str, Any]) -> None:
    assert_that(parse_reply({"uuid": "c-1", **rest}), equal_to(AgentReply("c-1", "", None)))


@pytest.mark.parametrize("data", [None, [], "x", {}, {"uuid": None}, {"id": "c-1"}])
def test_a_reply_is_an_object_with_a_uuid(data: object) -> None:
    field = "uuid" if isinstance(data, dict) else None
    assert_that(calling(parse_reply).with_args(data), raises(Invalid, matching=has_properties(field=field, index=None)))


# --- JSON


@pytest.mark.parametrize(
    "body",
    [b"", b" ", b"{", b"[1,]", b"{'a': 1}", b"NaN", b'{"a": NaN}', b"[Infinity]", b"1e999", b'"\xff"', b'"\\ud800"',
     b"\xef\xbb\xbf{}", b"[" * 5000, b"{} {}", '{"a": 1}'.encode("utf-16")],
)  # fmt: skip
def test_a_body_that_is_no_json_is_refused_in_one_sentence(body: bytes) -> None:
    with pytest.raises(Invalid, match="the body is not JSON in UTF-8: ") as caught:
        parse_json(body)
    assert_that(str(caught.value).isprintable())
    assert_that(caught.value, has_properties(field=none(), index=none()))


def test_the_json_of_a_long_list_is_read_in_steps_and_refused_in_the_same_words() -> None:
    listed = [{**IVR, "id": f"c-{number}"} for number in range(5000)]
    body = json.dumps(listed).encode()
    steps = parse_json_steps(body)

    for _ in range(len(body) // PIECE):
        next(steps)
    with pytest.raises(StopIteration) as ended:
        next(steps)
    assert_that(ended.value.value, equal_to(listed))

    with pytest.raises(Invalid) as whole:
        parse_json(body[:-1] + b",]")
    with pytest.raises(Invalid) as in_steps:
        list(parse_json_steps(body[:-1] + b",]"))
    assert_that(str(in_steps.value), equal_to(str(whole.value)))


def test_a_key_that_is_repeated_counts_as_its_last_value() -> None:
    assert_that(parse_json(b'{"id": "a", "id": "b"}'), equal_to({"id": "b"}))


# --- how a contact is shown

STORED = Contact(
    **asdict(parse_contact({**AGENT, "startTime": "2026-11-23T08:00:00Z", "schedulingMetadata": {"a": [1]}})),
    status=Status.ENDED,
    call_result="NORMAL_CLEARING",
    received_time=datetime(2026, 11, 23, 9, 0, 0, 250_000, tzinfo=timezone(timedelta(hours=1))),
    owner="dialer-1",
)


def test_a_contact_is_shown_with_every_field_and_times_in_utc() -> None:
    assert_that(
        render_contact(STORED),
        equal_to(
            {
                **AGENT,
                **dict.fromkeys(
                    [
                        "campaignContactId",
                        "endTime",
                        "priority",
                        "ivr",
                        "resourceId",
                        "tenantId",
                        "dialTime",
                        "endedTime",
                    ]
                ),
                "startTime": "2026-11-23T08:00:00Z",
                "schedulingMetadata": {"a": [1]},
                "status": "ended",
                "callResult": "NORMAL_CLEARING",
                "receivedTime": "2026-11-23T08:00:00.250000Z",
            }
        ),
    )


def test_what_is_shown_can_be_posted_again_as_the_same_contact() -> None:
    again = parse_contact(parse_json(json.dumps(render_contact(STORED)).encode()))
    assert_that(asdict(STORED), has_entries(asdict(again)))


@pytest.mark.parametrize("text", ["", "not JSON", "{'a': 1}", "NaN", "{"])
def test_metadata_of_a_row_taken_over_that_is_no_json_is_shown_as_its_text(text: str) -> None:
    contact = Contact(**{**asdict(parse_contact(IVR)), "scheduling_metadata": text})
    assert_that(render_contact(contact)["schedulingMetadata"], equal_to(text))


def test_contacts_without_metadata_show_none() -> None:
    assert_that(render_contact(Contact(**asdict(parse_contact(IVR))))["schedulingMetadata"], none())
