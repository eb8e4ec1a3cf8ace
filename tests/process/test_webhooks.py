"""A dialer that is killed, or cut off from PostgreSQL, while it tells the receiver of webhooks."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from hamcrest import assert_that, contains_exactly, equal_to, has_entries, has_length
from standardwebhooks import Webhook
from twisted.internet import reactor
from twisted.internet.defer import maybeDeferred

from tests.fake_vc import FakeVC, Manner
from tests.process.crossroads import LONG, Crossroads
from tests.process.gate import Crossing
from tests.process.points import Point, committed, named, unsent
from tests.service import shared
from tests.service.world import ivr

sure = pytest_twisted.ensureDeferred
logged_failures = shared.logged_failures

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class CROSSROADS(Crossroads):
    """With a receiver of webhooks."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.receiver = FakeVC(reactor)

    async def open(self) -> None:
        """Start it, too."""
        await super().open()
        self.receiver.listen()

    async def close(self) -> None:
        """End it, too."""
        await super().close()
        await self.receiver.stop()

    async def get_ready(self) -> None:
        """Make it accept everything."""
        self.receiver.script = lambda _: 200
        await super().get_ready()

    def environment(self, *, around: bool = False, **more: str) -> dict[str, str]:
        """Everything configured, with the receiver."""
        told = {"RESULT_WEBHOOK_URL": f"{self.receiver.url}/", "RESULT_WEBHOOK_SECRET": SECRET}
        return super().environment(around=around, **(told | more))

    def tries(self, contact: dict[str, Any]) -> list[tuple[str, str]]:
        """What the receiver got about a contact: each try with its id. It has verified them all."""
        told = [
            (received.headers["webhook-id"], Webhook(SECRET).verify(received.raw, received.headers))
            for received in self.receiver.received
        ]
        return [
            (each["type"].removeprefix("contact."), key) for key, each in told if each["data"]["id"] == contact["id"]
        ]

    def events(self, contact: dict[str, Any]) -> list[str]:
        """The same, each webhook once."""
        return [event for event, _ in dict.fromkeys(self.tries(contact))]

    async def until_all_told(self, contact: dict[str, Any], *events: str) -> None:
        """Wait until the receiver has these, and no other, and nothing waits for anybody."""
        await self.until(lambda: self.events(contact)[-1:] == [events[-1]], f"webhook {events[-1]}")
        await self.until(lambda: not self.waiting(contact), "everything delivered")
        assert_that(self.events(contact), contains_exactly(*events))


async def killed(here: CROSSROADS, _crossing: Crossing) -> None:
    """The dialer is killed, and started again under its name."""
    assert here.dialer_process is not None
    await here.kill(here.dialer_process)
    here.let_all_pass()
    here.claims_run_out()
    await here.run()


async def cut(here: CROSSROADS, crossing: Crossing) -> None:
    """The connection to PostgreSQL breaks."""
    crossing.cut()
    await crossing.gone
    here.let_all_pass()
    here.claims_run_out()


POINTS = {
    "before the answer is sent": unsent("mark_answered"),
    "the answer is committed": committed("mark_answered"),
    "before the claim of a webhook is sent": unsent("webhook_claim"),
    "the claim of a webhook is committed": committed("webhook_claim"),
}


@pytest.mark.parametrize("dies", [killed, cut], ids=["killed", "cut"])
@pytest.mark.parametrize("point", POINTS.values(), ids=named(POINTS))
@sure
async def test_each_change_is_told_in_its_order_whoever_dies_at_a_point(here: Any, point: Point, dies: Any) -> None:
    here.switch.rules = LONG
    contact = ivr()
    if point.steps[0] == unsent("mark_answered").steps[0]:
        reached = maybeDeferred(point.reached, here)
        await here.load(contact)
    else:
        # Claims come all the time: one is held back until it has something to claim.
        first = await maybeDeferred(unsent("webhook_claim").reached, here)
        await here.load(contact)
        await here.until(lambda: len(here.waiting(contact)) == 2, "taken and answered")
        reached = maybeDeferred(point.reached, here)
        first.release()
    await dies(here, await reached)
    await here.until_slots(1)
    here.hang_up(contact)
    await here.until_all_told(contact, "taken", "answered", "ended")
    assert_that(here.attempts(contact), has_length(1))


@sure
async def test_a_dialer_that_is_killed_in_mid_delivery_repeats_only_what_was_not_confirmed(here: Any) -> None:
    contacts = [ivr(customerNumber=f"+4477009001{number:02}") for number in range(6)]
    unconfirmed = {contact["id"] for contact in contacts[:2]}
    # The receiver takes the ends of these, and never says so.
    here.receiver.script = lambda received: (
        Manner.HANG
        if (received.body["type"], received.body["data"]["id"] in unconfirmed) == ("contact.ended", True)
        else 200
    )
    await here.load(*contacts)
    left = "SELECT contact_id, event FROM outbox WHERE state <> 'delivered' AND kind = 'webhook'"
    hanging = sorted((contact, "ended") for contact in unconfirmed)

    def halfway() -> bool:
        done = all(here.events(contact)[-1:] == ["ended"] for contact in contacts)
        return done and sorted((row["contact_id"], row["event"]) for row in here.query(left)) == hanging

    await here.until(halfway, "all but some confirmed")
    await here.kill(here.dialer_process)
    here.receiver.script = lambda _: 200
    here.claims_run_out()
    await here.run()
    for contact in contacts:
        await here.until_all_told(contact, "taken", "answered", "ended")
        tries = here.tries(contact)
        assert_that(tries, has_length(4 if contact["id"] in unconfirmed else 3))


@sure
async def test_an_answer_and_an_end_that_nobody_saw_are_told_as_an_unknown_end_alone(here: Any) -> None:
    here.switch.rules = LONG
    contact = ivr()
    reached = maybeDeferred(unsent("mark_answered").reached, here)
    await here.load(contact)
    await reached
    await here.kill(here.dialer_process)
    here.let_all_pass()
    here.hang_up(contact)
    here.claims_run_out()
    await here.run()
    await here.until_all_told(contact, "taken", "ended")
    assert_that(here.stored(contact), has_entries(call_result="UNKNOWN", answered_time=None))
    assert_that([event for event, _ in here.tries(contact)], equal_to(["taken", "ended"]))
