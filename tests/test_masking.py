"""Passwords and customers' numbers, and that nothing else is taken for one."""

from __future__ import annotations

from typing import Any

import pytest
from hamcrest import assert_that, contains_string, equal_to, not_
from hypothesis import given
from hypothesis import strategies as st

from dialer.contact import AgentReply, CampaignType
from dialer.masking import Masking
from dialer.originate import agent_arguments, ivr_arguments
from tests.calling import contact

UUID = "2f0b6a52-6f0e-4b8e-9d55-123456789012"


def masked(text: str, **event: Any) -> str:
    return Masking(numbers=True)(text, event)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("called +447700900123", "called ***123"),
        ("called 447700900123.", "called ***123."),
        ("sofia/gateway/gw-1/*31#0770090012 1218 XML", "sofia/gateway/gw-1/***012 1218 XML"),
        ("tel:%2B447700900123", "tel:%2B***123"),
        ('sip:"+447700900123@fs.example:5060"', 'sip:"***123@fs.example:5060"'),
        ("Key (customer_number)=(+447700900123) is wrong", "Key (customer_number)=(***123) is wrong"),
        ("from +447700900123 to +447700900456", "from ***123 to ***456"),
    ],
)
def test_of_a_number_in_any_text_the_last_three_digits_stay(text: str, shown: str) -> None:
    assert_that(masked(text), equal_to(shown))


@pytest.mark.parametrize(
    "text",
    [
        UUID,
        f"job {UUID}.3",
        "listening on http://127.0.0.1:8080",
        "extension 1005, IVR *9664, 123456 contacts in 0.25 s",
        "DATABASE CANCELLED A STATEMENT (57014)",
        "password ******, ********* and #######",
    ],
)
def test_what_is_no_number_of_a_customer_stays(text: str) -> None:
    assert_that(masked(text), equal_to(text))


def test_an_id_that_looks_like_a_number_stays_where_it_is_the_contacts_or_the_campaigns() -> None:
    text = "contact 00447700900123 of campaign 20261126-a called 00447700900999"
    assert_that(
        masked(text, contact="00447700900123", campaign="20261126-a", customer="00447700900999"),
        equal_to("contact 00447700900123 of campaign 20261126-a called ***999"),
    )


def test_a_short_number_is_masked_where_the_line_is_about_its_contact() -> None:
    text = "contact c-1001 called 1001 through gw:8021"
    assert_that(masked(text, contact="c-1001", customer="1001"), equal_to("contact c-1001 called *** through gw:8021"))


@pytest.mark.parametrize("kind", list(CampaignType))
def test_an_originate_command_keeps_everything_but_the_number(kind: CampaignType) -> None:
    called = contact(kind, UUID, customer_number="+447700900123", queue_name="Sales")
    if kind is CampaignType.IVR:
        command = ivr_arguments(called, efswitch_ip="10.0.0.1", default_ivr="1218")
    else:
        reply = AgentReply(UUID, "1005", "Sales")
        command = agent_arguments(called, reply, efswitch_ip="10.0.0.1", service_identifier="1218")
    assert_that(command, contains_string("+447700900123"))
    assert_that(masked(command), equal_to(command.replace("+447700900123", "***123")))


@given(
    number=st.from_regex(r"\+?[0-9]{7,19}", fullmatch=True),
    around=st.text(st.sampled_from(" ,;:'\"(){}=/@xyz%"), max_size=8),
)
def test_no_number_gets_through_whatever_stands_around_it(number: str, around: str) -> None:
    assert_that(masked(f"{around}{number}{around}"), not_(contains_string(number[-7:])))


def test_numbers_are_shown_unless_they_are_to_be_masked() -> None:
    assert_that(Masking()("called +447700900123", {}), equal_to("called +447700900123"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://dialer:s3cret@db:5432/d", "postgresql://dialer:******@db:5432/d"),
        ("postgresql://dialer:s@cr:et@db/d", "postgresql://dialer:******@db/d"),
        ("http://me:pw@vc.example/x", "http://me:******@vc.example/x"),
        ("host=db password=s3cret user=u", "host=db password=****** user=u"),
        ("host=db password='it\\'s s3cret' user=u", "host=db password=****** user=u"),
        ("http://127.0.0.1:8080/x for me@example", "http://127.0.0.1:8080/x for me@example"),
    ],
)
def test_a_password_in_an_address_is_hidden(text: str, shown: str) -> None:
    assert_that(Masking()(text, {}), equal_to(shown))


def test_a_known_password_is_hidden_wherever_it_stands_and_the_longer_of_two_first() -> None:
    mask = Masking(secrets=["correct horse", "correct horse battery", "short"])
    assert_that(mask("auth correct horse battery, correct horse; short", {}), equal_to("auth ******, ******; short"))
