"""A campaign of sixty customers of all kinds, and what must be true of it however often its dialers died."""

from __future__ import annotations

from collections import Counter
from typing import Any

from attrs import define
from hamcrest import assert_that, equal_to, has_entries, is_, is_in

from dialer.sandbox.efswitch import Rule, Rules
from tests.process.street import Street
from tests.service.world import agent, ivr

AGENTS = 40
"""More than customers that wait for one: no request is refused for want of them."""

LATE_REPLIES = 3
LATE = 3.0
"""So many agents are reserved so many seconds later than the others: their contacts wait when the dialer stops."""


def customers(longest_talk: float) -> Rules:
    """By the last digit of the number; the small campaigns, which go first, have some who talk for long besides."""
    return Rules(
        [
            Rule(number=r".*0[01]1\d", ring=0.3, talk=longest_talk, agent_ring=0.2),
            Rule(number=r".*[0-3]", ring=0.5, talk=2.5, agent_ring=0.3),
            Rule(number=r".*4", ring=3, talk=1, agent_ring=0.3),
            Rule(number=r".*5", outcome="busy", ring=0.8),
            Rule(number=r".*6", outcome="no_answer", ring=2.5),
            Rule(number=r".*7", outcome="rejected", ring=0.3),
            Rule(number=r".*8", outcome="dropped_before_bridge", ring=0.5, talk=1, bridge_delay=5),
            Rule(number=r".*9", outcome="agent_busy", ring=0.5, talk=1, agent_ring=0.5),
        ]
    )


@define
class Blind:
    """A time during which no dialer may have seen what EFSwitch told. Unix seconds, as the simulator counts them."""

    since: float
    until: float = float("inf")

    def hides(self, moment: float) -> bool:
        """Whether something that happened then may be unknown."""
        return self.since <= moment <= self.until


class Campaign:
    """Sixty contacts of four campaigns, IVR and AGENT, for one street."""

    def __init__(self, street: Street) -> None:
        self.street = street
        sizes = [("ivr-1", ivr, 14), ("agent-1", agent, 14), ("ivr-2", ivr, 16), ("agent-2", agent, 16)]
        self.contacts = [
            # Two digits tell the campaign and the place in it: 00-13, 20-33, ...
            kind(campaignId=name, customerNumber=f"+44770090{number:03}{place:02}")
            for number, (name, kind, size) in enumerate(sizes)
            for place in range(size)
        ]

    async def load(self, *, longest_talk: float) -> None:
        """Make the customers what they are, and post the contacts. The time is in seconds."""
        self.street.switch.rules = customers(longest_talk)
        self.street.vc.pool.resize(AGENTS)
        self.street.vc.behave("reply", "late", next=LATE_REPLIES, delay=LATE)
        await self.street.load(*self.contacts)

    def now(self) -> float:
        """The simulator's time."""
        return self.street.switch.timepiece.time()

    async def in_full_swing(self, *dialers: str) -> None:
        """Wait until some talk, some ring, some wait for an agent and some for their turn; each of the dialers, if they
        are named, has called somebody, and has somebody."""

        def so_it_is() -> bool:
            attempts = [attempt for attempt in self.street.switch.records.since() if attempt.ended_at is None]
            talking = sum(attempt.answered_at is not None for attempt in attempts)
            counts = self.by_status()
            return (
                talking >= 4
                and len(attempts) - talking >= 2
                and counts["agent_pending"] >= LATE_REPLIES
                and counts["pending"] >= 5
                and self.connections() >= len(dialers)
                and all(self.held_by(dialer) for dialer in dialers)
            )

        await self.street.until(so_it_is, "a campaign in full swing")

    def by_status(self) -> Counter[str]:
        """How many contacts are in each state."""
        return Counter({row["status"]: row["count"] for row in self.street.query(BY_STATUS)})

    def connections(self) -> int:
        """Through how many connections the simulator was told to call somebody."""
        return len({attempt.connection for attempt in self.street.switch.records.since()})

    def held_by(self, dialer: str) -> int:
        """How many active contacts a dialer has."""
        return int(self.street.query(HELD_BY, dialer)[0]["count"])

    async def until_told(self) -> None:
        """Wait until the VC was notified of every contact."""
        ids = {contact["id"] for contact in self.contacts}

        def missing() -> set[str]:
            return ids - self.street.vc.summary()["notifications"]["byContact"].keys()

        try:
            await self.street.until(lambda: not missing(), "a notification for each contact")
        except AssertionError as error:
            rows = self.street.query("SELECT * FROM contacts WHERE id = ANY(%s)", list(missing()))
            raise AssertionError(f"{error}; none for {rows}") from None

    # -- what must be true -----------------------------------------------------------------------------------------

    async def check(self, *blind: Blind, unsent: bool = False) -> Counter[str]:
        """Check each contact against what the simulator and the VC know; how often each result was stored.

        With `unsent` a command may have died with its dialer: then nobody was called, and nobody may know.
        """
        assert_that(self.by_status(), equal_to({"ended": len(self.contacts)}))
        results = [await self._check(contact, blind, unsent) for contact in self.contacts]
        assert_that(self.street.vc.summary()["violations"], is_(0))
        await self.street.until(lambda: self.street.vc.pool.free == AGENTS, "every agent free again")
        return Counter(results)

    async def _check(self, contact: dict[str, Any], blind: tuple[Blind, ...], unsent: bool) -> str:
        stored = await self.street.contact(contact)
        result = str(stored["callResult"])
        attempts = self.street.attempts(contact)
        if unsent and not attempts:
            assert_that(result, is_("UNKNOWN"), str(stored))
        else:
            assert_that(len(attempts), is_(1), f"times that {stored} was dialed")
            allowed = {_cause(attempts[0])}
            if any(each.hides(attempts[0].ended_at) for each in blind):
                allowed.add("UNKNOWN")
            assert_that(result, is_in(allowed), f"{stored}, {attempts[0]}")
        told = {
            record.headers["idempotency-key"]: record.body["callResult"]
            for record in self.street.vc.records(lambda record: record.path == "/send-delivery-notification")
            if record.body["id"] == contact["id"]
        }
        assert_that(list(told.values()), is_([result]), f"what the VC was told of {stored}")
        return result

    async def check_nothing_held(self, processes: int = 1) -> None:
        """No slot is taken, and only `processes` dialers have a lease."""
        status = (await self.street.get("/status")).body
        assert_that(status, has_entries(activeCalls=0, totalActiveCalls=0, freeSlots=status["maxConcurrentCalls"]))
        # A short one may run out for a moment on a slow machine.
        await self.street.until(lambda: self.leases() == processes, f"{processes} leases")

    def leases(self) -> int:
        """How many dialers have a lease."""
        return int(self.street.query("SELECT count(*) FROM dialers WHERE lease_until > now()")[0]["count"])


HELD_BY = "SELECT count(*) FROM contacts WHERE owner = %s AND status IN ('agent_pending', 'dialed')"
BY_STATUS = "SELECT status, count(*) FROM contacts GROUP BY status"


def _cause(attempt: Any) -> str:
    """What is to be stored of a call whose end was seen (SPEC 6)."""
    never_answered = attempt.answered_at is None
    return "NO_ANSWER" if never_answered and attempt.cause == "NORMAL_CLEARING" else str(attempt.cause)
