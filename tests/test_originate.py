"""The commands for EFSwitch: their text, and what FreeSWITCH reads out of them."""

from __future__ import annotations

import json
import unicodedata
from itertools import product
from pathlib import Path
from typing import Any

import attrs
import pytest
from hamcrest import (
    assert_that,
    calling,
    contains_string,
    equal_to,
    greater_than,
    has_length,
    has_properties,
    instance_of,
    is_,
    not_,
    raises,
)
from hypothesis import assume, example, given
from hypothesis import strategies as st

from dialer.contact import AgentReply, CampaignType, Contact, DialingMode, NewContact, RoutingMode
from dialer.errors import DialerError
from dialer.originate import CannotBeCarried, agent_arguments, ivr_arguments
from tests.brace_block import Originate, Refused, read_arguments

RECORDED = json.loads(Path(__file__).with_name("data").joinpath("brace_block.json").read_text(encoding="utf-8"))

IVR = Contact(
    id="364c8f1b-eb82-490b-8b96-f0019351e088",
    customer_number="15551230003",
    campaign_type=CampaignType.IVR,
    gateway_id="22222222-2222-4222-8222-222222222222",
    campaign_id="spring",
    ivr="1999",
)
AGENT = attrs.evolve(
    IVR,
    campaign_type=CampaignType.AGENT,
    ivr=None,
    dialing_mode=DialingMode.PROGRESSIVE,
    routing_mode=RoutingMode.QUEUE,
    resource_id="queue:7",
    queue_name="Sales Queue",
)
REPLY = AgentReply(IVR.id, "1005", "VIP Sales")


def ivr(contact: NewContact = IVR, **changes: Any) -> str:
    settings = {"efswitch_ip": "192.0.2.7", "default_ivr": "*9664"} | changes
    return ivr_arguments(contact, **settings)


def agent(contact: NewContact = AGENT, reply: AgentReply = REPLY, **changes: Any) -> str:
    settings = {"efswitch_ip": "192.0.2.7", "service_identifier": "1218"} | changes
    return agent_arguments(contact, reply, **settings)


# -- the strings, exactly ----------------------------------------------------------------------------------------------


def test_an_ivr_call_is_written_as_fixed() -> None:
    assert_that(
        ivr(),
        equal_to(
            "{session_in_hangup_hook=true,domain_name=192.0.2.7,record_session=true,origination_caller_id_name=1999,"
            "origination_caller_id_number=1999,call_direction=outbound,"
            "origination_uuid=364c8f1b-eb82-490b-8b96-f0019351e088}"
            "sofia/gateway/22222222-2222-4222-8222-222222222222/15551230003 1999 XML 192.0.2.7"
        ),
    )


def test_an_agent_call_is_written_as_fixed() -> None:
    assert_that(
        agent(),
        equal_to(
            "{ignore_early_media=true,session_in_hangup_hook=true,sip_h_X-Destination-Number=1218,"
            "sip_h_X-CallType=PROGRESSIVE,customer_number=15551230003,"
            "sip_h_X-CALL-VARIABLE0=364c8f1b-eb82-490b-8b96-f0019351e088,"
            "sip_h_X-Call-Id=364c8f1b-eb82-490b-8b96-f0019351e088,domain_name=192.0.2.7,record_session=true,"
            "call_direction=outbound,sip_h_X-queueType=NAME,sip_h_X-queue='VIP Sales',"
            "origination_uuid=364c8f1b-eb82-490b-8b96-f0019351e088,origination_caller_id_name=1005,"
            "origination_caller_id_number=1005,sip_h_X-agentExtension=1005}"
            "sofia/gateway/22222222-2222-4222-8222-222222222222/15551230003 agent XML 192.0.2.7"
        ),
    )


@pytest.mark.parametrize("missing", [None, ""])
def test_without_an_ivr_of_its_own_a_contact_gets_the_default(missing: str | None) -> None:
    written = ivr(attrs.evolve(IVR, ivr=missing))
    assert_that(written, contains_string("origination_caller_id_name=*9664,origination_caller_id_number=*9664,"))
    assert_that(written.endswith(" *9664 XML 192.0.2.7"), is_(True))


@pytest.mark.parametrize("missing", [None, ""])
def test_the_queue_of_the_contact_serves_when_the_reply_has_none(missing: str | None) -> None:
    written = agent(reply=attrs.evolve(REPLY, queue=missing))
    assert_that(written, contains_string(",sip_h_X-queueType=NAME,sip_h_X-queue='Sales Queue',"))


@pytest.mark.parametrize("missing", [None, ""])
def test_the_resource_serves_as_queue_when_there_is_no_name(missing: str | None) -> None:
    written = agent(attrs.evolve(AGENT, queue_name=missing), attrs.evolve(REPLY, queue=missing))
    assert_that(written, contains_string(",sip_h_X-queueType=ID,sip_h_X-queue='queue:7',"))


def test_commas_in_a_queue_are_escaped() -> None:
    written = agent(reply=attrs.evolve(REPLY, queue="a,b"))
    assert_that(written, contains_string(r",sip_h_X-queue='a\,b',"))


def test_nothing_else_of_the_contact_is_told() -> None:
    told = attrs.evolve(
        AGENT, tenant_id="tenant-x", campaign_contact_id="ccid-x", scheduling_metadata='{"m": 1}', campaign_id="camp-x"
    )
    assert_that(agent(told), equal_to(agent()))
    assert_that(ivr(attrs.evolve(told, ivr="1999")), equal_to(ivr()))


# -- what cannot be carried --------------------------------------------------------------------------------------------

NASTY = [
    "",
    " ",
    "a b",
    "a,b",
    "a'b",
    "a\\b",
    "a{b",
    "a}b",
    "${x}",
    "a\nb",
    "a\rb",
    "a\0b",
    "\u0661",
    "é",
    "x" * 41,
    "a\n",
]


@pytest.mark.parametrize(
    ("field", "value"),
    # An empty ivr is none: the default serves.
    [pair for pair in product(["id", "customer_number", "gateway_id", "ivr"], NASTY) if pair != ("ivr", "")],
)
def test_a_bad_value_in_an_ivr_contact_is_refused_by_name(field: str, value: str) -> None:
    assert_that(
        calling(ivr).with_args(attrs.evolve(IVR, **{field: value})),
        raises(CannotBeCarried, f"^{field}: ", has_properties(field=field)),
    )


@pytest.mark.parametrize("value", NASTY)
@pytest.mark.parametrize("field", ["id", "customer_number", "gateway_id", "resource_id"])
def test_a_bad_value_in_an_agent_contact_is_refused_by_name(field: str, value: str) -> None:
    contact = attrs.evolve(AGENT, queue_name=None, **{field: value})
    assert_that(
        calling(agent).with_args(contact, attrs.evolve(REPLY, queue=None)),
        raises(CannotBeCarried, f"^{field}: ", has_properties(field=field)),
    )


@pytest.mark.parametrize("value", NASTY)
def test_a_bad_agent_is_refused_by_name(value: str) -> None:
    assert_that(
        calling(agent).with_args(reply=attrs.evolve(REPLY, agent=value)),
        raises(CannotBeCarried, "^agent: ", has_properties(field="agent")),
    )


REFUSED_IN_QUEUES = [
    "\\",
    "'",
    "{",
    "}",
    "$",
    "\r",
    "\n",
    "\0",
    "\t",
    "\x1b",
    "\x7f",
    "\x85",
    "\u2028",
    "\ud800",
    ":_:",
]


@pytest.mark.parametrize("part", REFUSED_IN_QUEUES)
@pytest.mark.parametrize("shape", ["{}", "a{}", "{}b", "a{}b", "a {} b"])
def test_what_changes_a_command_is_refused_in_a_queue(part: str, shape: str) -> None:
    name = shape.replace("{}", part)
    assert_that(
        calling(agent).with_args(reply=attrs.evolve(REPLY, queue=name)),
        raises(CannotBeCarried, "^queue: ", has_properties(field="queue")),
    )
    assert_that(
        calling(agent).with_args(attrs.evolve(AGENT, queue_name=name), attrs.evolve(REPLY, queue=None)),
        raises(CannotBeCarried, "^queue_name: ", has_properties(field="queue_name")),
    )


@pytest.mark.parametrize("name", [" Sales", "Sales ", " ", "  "])
def test_spaces_around_a_queue_are_refused_as_efswitch_would_lose_them(name: str) -> None:
    assert_that(calling(agent).with_args(reply=attrs.evolve(REPLY, queue=name)), raises(CannotBeCarried, "^queue: "))


@pytest.mark.parametrize("name", ["ARRAY::Sales", "ARRAY::a|:b"])
def test_a_queue_that_efswitch_would_take_for_a_list_is_refused(name: str) -> None:
    assert_that(calling(agent).with_args(reply=attrs.evolve(REPLY, queue=name)), raises(CannotBeCarried, "^queue: "))


def test_a_resource_that_would_start_another_originate_is_refused() -> None:
    contact = attrs.evolve(AGENT, queue_name=None, resource_id="a:_:b")
    assert_that(
        calling(agent).with_args(contact, attrs.evolve(REPLY, queue=None)), raises(CannotBeCarried, "^resource_id: ")
    )


def test_an_agent_contact_without_any_queue_is_refused() -> None:
    contact = attrs.evolve(AGENT, queue_name=None, resource_id=None)
    assert_that(
        calling(agent).with_args(contact, attrs.evolve(REPLY, queue=None)), raises(CannotBeCarried, "^resource_id: ")
    )


@pytest.mark.parametrize("number", ["1,2", "1|2", "1@2", "1;2", "1 2", "++1", "1+", "+", "1" * 21, "1&park"])
def test_a_number_that_dials_something_else_is_refused(number: str) -> None:
    contact = attrs.evolve(IVR, customer_number=number)
    assert_that(calling(ivr).with_args(contact), raises(CannotBeCarried, "^customer_number: "))


@pytest.mark.parametrize("number", ["+49301234567", "*67", "15551230003", "#31#1555"])
def test_a_number_is_dialed_as_it_is(number: str) -> None:
    written = ivr(attrs.evolve(IVR, customer_number=number))
    assert_that(read_arguments(written).destination, equal_to(f"sofia/gateway/{IVR.gateway_id}/{number}"))


@pytest.mark.parametrize("host", ["", "a b", "a,b", "h}x", "192.0.2.7\n"])
def test_bad_settings_are_refused_by_name(host: str) -> None:
    assert_that(calling(ivr).with_args(efswitch_ip=host), raises(CannotBeCarried, "^efswitch_ip: "))
    assert_that(calling(agent).with_args(efswitch_ip=host), raises(CannotBeCarried, "^efswitch_ip: "))
    assert_that(
        calling(agent).with_args(service_identifier=host + ","), raises(CannotBeCarried, "^service_identifier: ")
    )
    assert_that(
        calling(ivr).with_args(attrs.evolve(IVR, ivr=None), default_ivr=host), raises(CannotBeCarried, "^default_ivr: ")
    )


def test_the_error_does_not_repeat_the_value() -> None:
    with pytest.raises(CannotBeCarried) as caught:
        agent(reply=attrs.evolve(REPLY, queue="secret\nname"))
    assert_that(str(caught.value), not_(contains_string("secret")))
    assert_that(caught.value, is_(instance_of(DialerError)))


# -- the reader that judges, held against a real FreeSWITCH ------------------------------------------------------------


@pytest.mark.parametrize("sample", RECORDED, ids=[f"{number:02}" for number in range(len(RECORDED))])
def test_the_reader_reads_a_recorded_command_as_freeswitch_did(sample: dict[str, Any]) -> None:
    try:
        variables = read_arguments(sample["arguments"]).variables
    except Refused:
        variables = None
    else:
        variables.pop("origination_uuid")
        # Not among the recorded ones: FreeSWITCH uses these up.
        for name in ("origination_caller_id_name", "origination_caller_id_number"):
            variables.pop(name, None)
    assert_that(variables, equal_to(sample["variables"]))


def test_enough_was_recorded_to_trust_the_reader() -> None:
    taken = [sample for sample in RECORDED if sample["variables"] is not None]
    assert_that(taken, has_length(greater_than(50)))
    assert_that(RECORDED, has_length(greater_than(75)))


# -- what FreeSWITCH reads out of our commands -------------------------------------------------------------------------

nasty_text = st.text(
    st.sampled_from(list(",,,===  \"'\\{}$:_:;|<>[]()&^^%~#@!?-+*/.nrtsabAZ09\n\r\t\0éß日\u00a0\u2028😀"))
    | st.characters(),
    max_size=20,
)
likely_text = st.text(
    st.sampled_from(list(',,,===  ":_;|<>[]()&^^%~#@!?-+*/.nrtsabAZ09éß日\u00a0😀')), min_size=1, max_size=20
)
ids = st.text(st.sampled_from("abcXYZ0189-"), min_size=1, max_size=40)
extensions = st.text(st.sampled_from("0189abXYZ*#_-+"), min_size=1, max_size=20)
gateways = st.text(st.sampled_from("abXY019._-"), min_size=1, max_size=40)
numbers = st.builds(
    str.__add__, st.sampled_from(["", "+"]), st.text(st.sampled_from("0189*#"), min_size=1, max_size=19)
)
resources = st.text(st.sampled_from("abXY019._:-"), min_size=1, max_size=40)
hosts = st.sampled_from(["127.0.0.1", "efswitch.example.org", "fd00::2", "fs_1"])


def expected_agent(contact: NewContact, reply: AgentReply, host: str, service: str) -> Originate:
    name = reply.queue or contact.queue_name
    variables = {
        "ignore_early_media": "true",
        "session_in_hangup_hook": "true",
        "sip_h_X-Destination-Number": service,
        "sip_h_X-CallType": "PROGRESSIVE",
        "customer_number": contact.customer_number,
        "sip_h_X-CALL-VARIABLE0": contact.id,
        "sip_h_X-Call-Id": contact.id,
        "domain_name": host,
        "record_session": "true",
        "call_direction": "outbound",
        "sip_h_X-queueType": "NAME" if name else "ID",
        "sip_h_X-queue": name or contact.resource_id or "",
        "origination_uuid": contact.id,
        "origination_caller_id_name": reply.agent,
        "origination_caller_id_number": reply.agent,
        "sip_h_X-agentExtension": reply.agent,
    }
    destination = f"sofia/gateway/{contact.gateway_id}/{contact.customer_number}"
    return Originate(tuple(variables.items()), destination, ("agent", "XML", host))


@given(
    call_id=ids,
    number=numbers,
    gateway=gateways,
    resource=resources,
    queue_name=st.none() | likely_text | nasty_text,
    reply_queue=st.none() | likely_text | nasty_text,
    extension=extensions,
    host=hosts,
)
@example("a", "1", "g", "r", None, ",origination_uuid=ab", "1", "127.0.0.1")
@example("a", "1", "g", "r", None, "a,origination_uuid=b", "1", "127.0.0.1")
@example("a", "1", "g", "r", ",", "^^:a=b", "1", "127.0.0.1")
@example("a", "1", "g", "r", None, '","', "1", "127.0.0.1")
@example("a", "1", "g", ":_:", None, None, "1", "127.0.0.1")
def test_freeswitch_reads_from_an_agent_command_what_was_meant_and_nothing_else(
    call_id: str,
    number: str,
    gateway: str,
    resource: str,
    queue_name: str | None,
    reply_queue: str | None,
    extension: str,
    host: str,
) -> None:
    contact = attrs.evolve(
        AGENT, id=call_id, customer_number=number, gateway_id=gateway, resource_id=resource, queue_name=queue_name
    )
    reply = AgentReply(call_id, extension, reply_queue)
    try:
        written = agent(contact, reply, efswitch_ip=host)
    except CannotBeCarried as error:
        assert_that(error.field in ("queue", "queue_name", "resource_id"), is_(True))
        return
    assert_that(read_arguments(written), equal_to(expected_agent(contact, reply, host, "1218")))


@given(call_id=ids, number=numbers, gateway=gateways, own=st.none() | extensions, default=extensions, host=hosts)
def test_freeswitch_reads_from_an_ivr_command_what_was_meant_and_nothing_else(
    call_id: str, number: str, gateway: str, own: str | None, default: str, host: str
) -> None:
    contact = attrs.evolve(IVR, id=call_id, customer_number=number, gateway_id=gateway, ivr=own)
    written = ivr(contact, efswitch_ip=host, default_ivr=default)
    chosen = own or default
    variables = {
        "session_in_hangup_hook": "true",
        "domain_name": host,
        "record_session": "true",
        "origination_caller_id_name": chosen,
        "origination_caller_id_number": chosen,
        "call_direction": "outbound",
        "origination_uuid": call_id,
    }
    destination = f"sofia/gateway/{gateway}/{number}"
    assert_that(
        read_arguments(written), equal_to(Originate(tuple(variables.items()), destination, (chosen, "XML", host)))
    )


@given(values=st.lists(nasty_text, min_size=7, max_size=7))
def test_whatever_a_row_holds_is_carried_exactly_or_refused(values: list[str]) -> None:
    call_id, number, gateway, resource, queue_name, extension, reply_queue = values
    contact = attrs.evolve(
        AGENT, id=call_id, customer_number=number, gateway_id=gateway, resource_id=resource, queue_name=queue_name
    )
    reply = AgentReply(call_id, extension, reply_queue)
    try:
        written = agent(contact, reply)
    except CannotBeCarried:
        return
    assert_that(read_arguments(written), equal_to(expected_agent(contact, reply, "192.0.2.7", "1218")))


@given(name=likely_text)
def test_a_queue_of_harmless_characters_is_carried(name: str) -> None:
    assume(name == name.strip(" ") and ":_:" not in name)
    assert_that(any(unicodedata.category(character) == "Cc" for character in name), is_(False))
    written = agent(reply=attrs.evolve(REPLY, queue=name))
    assert_that(read_arguments(written).variables["sip_h_X-queue"], equal_to(name))
