"""The voice connector sandbox and the dialer's side of the same wire, each written from the interface alone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest_twisted
from attrs import asdict
from hamcrest import assert_that, equal_to, has_entries
from twisted.internet import reactor

from dialer.connector import Connector
from dialer.contact import Contact
from dialer.message import MessageKind, OutboxMessage
from dialer.sandbox.samples import sample_contacts
from dialer.sandbox.vc import VoiceConnector
from dialer.web.schema import parse_contact, parse_reply
from tests.sandbox.servers import JsonServer


@pytest_twisted.ensureDeferred
async def test_what_the_dialer_sends_for_every_sample_is_right_and_what_it_gets_is_understood() -> None:
    replies: list[Any] = []

    def take(method: str, path: str, body: Any) -> tuple[int, Any]:
        replies.append(parse_reply(body))
        return 200, {}

    dialer = JsonServer(reactor, take)
    sandbox = VoiceConnector(reactor, dialer_url=dialer.url, agents=5, reply_delay=0.0)
    sandbox.listen()
    connector = Connector.persistent(reactor, sandbox.url, "1218")
    ids = iter(range(1000))
    new = [parse_contact(sample) for sample in sample_contacts(datetime.now(UTC), lambda: f"id-{next(ids)}")]
    for number, contact in enumerate(new):
        if contact.campaign_type == "AGENT":
            await connector.request_agent(Contact(**asdict(contact)), esl_host_default="127.0.0.1")
        for kind in (MessageKind.NOTIFICATION, MessageKind.END_CHAT):
            message = OutboxMessage(
                id=number,
                contact_id=contact.id,
                kind=kind,
                customer_number=contact.customer_number,
                idempotency_key=f"{kind.value}-{number}",
                created_time=datetime.now(UTC),
                tenant_id=contact.tenant_id,
                call_result="Invalid Gateway" if kind is MessageKind.NOTIFICATION else None,
            )
            await connector.deliver(message)
    await sandbox.when(lambda record: record.direction == "out" and len(replies) == 80)
    summary = sandbox.summary()
    await connector.close()
    await sandbox.stop()
    await dialer.stop()
    assert_that(summary["violations"], equal_to(0))
    assert_that(summary["agentRequests"], has_entries(unique=80))
    assert_that(summary["notifications"], has_entries(unique=200, byCallResult={"INVALID_GATEWAY": 200}))
    assert_that(summary["endChats"], has_entries(unique=200))
    assert_that(summary["agentReplies"], has_entries(triesByStatus={"200": 80}))
