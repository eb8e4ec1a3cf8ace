"""The sample campaigns."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from hamcrest import assert_that, equal_to, has_length, has_properties

from dialer.sandbox.samples import sample_contacts
from dialer.web.schema import parse_contact

NOW = datetime(2026, 5, 1, 9, 30, tzinfo=UTC)
FICTIONAL = re.compile(r"\+447700900\d{3}|\+1\d{3}55501\d\d|\+3319900\d{4}|\+61491570\d{3}")


def load() -> list[dict[str, Any]]:
    numbers = count(1)
    return sample_contacts(NOW, lambda: f"id-{next(numbers)}")


def test_there_are_two_ivr_and_two_agent_campaigns_of_about_two_hundred_contacts() -> None:
    contacts = load()
    kinds = Counter(kind for _, kind in {(contact["campaignId"], contact["campaignType"]) for contact in contacts})
    assert_that(kinds, equal_to({"IVR": 2, "AGENT": 2}))
    assert_that(contacts, has_length(200))


def test_every_contact_has_an_id_and_a_fictional_number_of_its_own() -> None:
    contacts = load()
    assert_that({contact["id"] for contact in contacts}, has_length(200))
    assert_that({contact["customerNumber"] for contact in contacts}, has_length(200))
    assert_that([c["customerNumber"] for c in contacts if not FICTIONAL.fullmatch(c["customerNumber"])], equal_to([]))


def test_agent_contacts_go_to_queues_by_name_and_by_id_and_to_agents() -> None:
    agent = [contact for contact in load() if contact["campaignType"] == "AGENT"]
    routes = {(c["routingMode"], "queueName" in c, "resourceId" in c) for c in agent}
    assert routes >= {("QUEUE", True, False), ("QUEUE", False, True), ("AGENT", False, True)}


def test_some_start_a_few_seconds_after_loading_and_some_have_a_tenant_or_no_priority() -> None:
    contacts = load()
    starts = [datetime.fromisoformat(contact["startTime"]) for contact in contacts if "startTime" in contact]
    assert starts
    assert all(NOW < start <= NOW + timedelta(seconds=20) for start in starts)
    assert 0 < sum("tenantId" in contact for contact in contacts) < 200
    assert 0 < sum("priority" in contact for contact in contacts) < 200
    assert not any("startIn" in contact or "endIn" in contact for contact in contacts)


def test_the_dialer_accepts_every_one() -> None:
    for contact in load():
        assert_that(parse_contact(contact), has_properties(id=contact["id"], campaign_id=contact["campaignId"]))
