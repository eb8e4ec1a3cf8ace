"""The truth after a failure: the contacts this process holds, compared with the calls EFSwitch really has."""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine, Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from dialer.agents import Agents
from dialer.call import Call
from dialer.calls import Calls
from dialer.contact import Status, about
from dialer.esl.errors import CommandRefused, SwitchDown
from dialer.esl.fleet import Fleet
from dialer.esl.switch import Switch
from dialer.meter import Meter, Reconciled
from dialer.store.contacts import TAKE_OVER_AT_ONCE, ContactStore
from dialer.store.database import DatabaseError

APART = 5.0
"""Seconds between the two looks that must both miss a call (SPEC 6)."""

YOUNGEST = 10.0
"""Seconds after its command was sent before a call may be taken for gone (SPEC 6)."""

WITNESS_EVERY = 2.0
"""Seconds between two looks at the ends that were seen of calls that are nobody's here."""

TOLD = 10.0
"""Seconds after a failure of the database in which another dialer may still be about to write an end that it saw: 5 s
between two attempts to connect, 2 s until it looks, 2 s between two tries to write."""

LONGEST_UNTOLD = 60.0
"""Seconds that a missing call waits for that at most: a database that fails again and again must not keep its slot."""


class Reconcile(Service):
    """Compares after each connect and every `interval` seconds, and takes over what dead dialers held.

    `agent_reply_timeout` and `max_call_time` are seconds; `steady` says for how many the database has not failed,
    `may_act` whether this process has its lease.
    """

    log = Logger()
    name = "reconcile"

    def __init__(
        self,
        clock: IReactorTime,
        store: ContactStore,
        fleet: Fleet,
        calls: Calls,
        agents: Agents,
        *,
        interval: float,
        agent_reply_timeout: float,
        max_call_time: float,
        steady: Callable[[], float],
        may_act: Callable[[], bool],
        meter: Meter,
    ) -> None:
        self._clock = clock
        self._store = store
        self._fleet = fleet
        self._calls = calls
        self._agents = agents
        self._interval = interval
        self._agent_reply_timeout = agent_reply_timeout
        self._max_call_time = max_call_time
        self._steady = steady
        self._may_act = may_act
        self._meter = meter
        self._second_look: IDelayedCall | None = None
        self._looking: Deferred[None] | None = None
        self._suspected: set[Switch] = set()
        self._loop = LoopingCall(self._round)
        self._witness = LoopingCall(self._tell_foreign_ends)
        self._loop.clock = self._witness.clock = clock

    def startService(self) -> None:
        """Begin the rounds; the first comparison is made by whoever connects."""
        super().startService()
        self._loop.start(self._interval, now=False)
        self._witness.start(WITNESS_EVERY, now=False)

    async def stopService(self) -> None:
        """Fires when the round under way has ended."""
        super().stopService()
        for loop in (self._loop, self._witness):
            if loop.running:
                loop.stop()
        if self._second_look is not None:
            self._second_look.cancel()
            self._second_look = None
        if self._looking is not None:
            await self._looking

    async def recover(self) -> None:
        """Load what this dialer held when it last stopped, and what nobody holds any more. Fails with DatabaseError."""
        await self._take_over()
        await self._agree_with_database()

    async def _take_over(self) -> None:
        while taken := await self._store.take_over():
            for held in taken:
                self._meter.reconciled(Reconciled.TAKEN_OVER)
                self.log.warn(
                    "Took over contact {contact} of campaign {campaign}, {status}",
                    status=held.contact.status,
                    **about(held.contact),
                )
            if len(taken) < TAKE_OVER_AT_ONCE:
                break

    async def _agree_with_database(self) -> None:
        """Adopt what the database says is ours, and let go of what another dialer has taken over from us."""
        known = list(self._calls)
        asked_at = self._clock.seconds()
        held = await self._store.held()
        for each in held:
            self._calls.adopt(each, asked_at)
        ours = {each.contact.id for each in held}
        for call in known:
            if call.contact.id not in ours and not call.over:
                self.log.warn("Contact {contact} of campaign {campaign} is no longer ours", **about(call.contact))
                self._meter.reconciled(Reconciled.RELEASED)
                self._calls.release(call)

    async def compare(self, switch: Switch) -> None:
        """Look which of our calls this switch has. Fails with SwitchDown, or CommandRefused when it does not tell."""
        live = await switch.live_calls()
        suspects = False
        for call in self._calls:
            if call.switch == switch.name:
                suspects |= await self._judge(call, call.contact.id in live, [switch])
        if suspects:
            self._look_again(switch)

    async def _compare_unnamed(self) -> None:
        """Calls whose switch is not known: gone when no switch has them.

        Not so those of a switch that is not configured here: it may well have them, and cannot be asked.
        """
        unnamed = [call for call in self._calls if call.switch is None]
        if not unnamed or not self._fleet.connected_all:
            return
        switches = self._fleet.switches
        live = frozenset[str]().union(*[await switch.live_calls() for switch in switches])
        suspects = False
        for call in unnamed:
            suspects |= await self._judge(call, call.contact.id in live, switches)
        if suspects:
            self._look_again(*switches)

    async def _judge(self, call: Call, present: bool, switches: Sequence[Switch]) -> bool:
        """Whether the call is missing but not given up yet."""
        now = self._clock.seconds()
        if present:
            call.missing_since = None
            call.asked_at = now
            return False
        if call.missing_since is None:
            call.missing_since = now
        missing = now - call.missing_since
        untold = self._steady() < TOLD and missing < LONGEST_UNTOLD
        if missing < APART or now - call.sent_at < YOUNGEST or untold:
            call.asked_at = now
            return True
        for switch in switches:
            try:
                exists = await switch.exists(call.contact.id)
            except CommandRefused as error:
                self.log.error(
                    "{switch} does not tell of the call of contact {contact} of campaign {campaign}: {error}",
                    switch=switch.name,
                    error=error,
                    **about(call.contact),
                )
                return False
            if exists:
                call.missing_since = None
                call.asked_at = now
                return False
        if not call.over:
            self.log.warn(
                "Contact {contact} of campaign {campaign} is gone from EFSwitch, its end was not seen",
                **about(call.contact),
            )
            self._meter.reconciled(Reconciled.GONE)
            self._calls.gone(call)
        return False

    def _look_again(self, *switches: Switch) -> None:
        self._suspected.update(switches)
        if self._second_look is None and self.running:
            self._second_look = self._clock.callLater(APART, self._again)

    def _again(self) -> None:
        self._second_look = None
        suspected, self._suspected = self._suspected, set()
        self._begin(lambda: self._compare_all(suspected))

    def _round(self) -> Deferred[None]:
        return self._begin(self._look)

    def _begin(self, look: Callable[[], Coroutine[Deferred[Any], Any, None]]) -> Deferred[None]:
        """One look at a time; whoever asks meanwhile gets the one under way."""
        if self._looking is not None:
            return self._looking
        looking = self._looking = Deferred()

        def ended(_: object) -> None:
            self._looking = None
            looking.callback(None)

        Deferred.fromCoroutine(look()).addErrback(
            lambda failure: self.log.failure("Reconciling failed", failure=failure)
        ).addCallback(ended)
        return looking

    async def _look(self) -> None:
        began = self._clock.seconds()
        try:
            # Without a lease what is stored under its name may already be another process's.
            if self._may_act():
                await self._take_over()
                await self._agree_with_database()
                await self._agents.give_up(self._agent_reply_timeout)
        except DatabaseError as error:
            self.log.debug("Nothing taken over: {error}", error=error)
        await self._compare_all(self._fleet.switches)
        self._end_overdue(began)

    async def _compare_all(self, switches: Collection[Switch]) -> None:
        for switch in switches:
            if switch.connected:
                try:
                    await self.compare(switch)
                except SwitchDown as error:
                    self.log.debug("{switch} could not be asked: {error}", switch=switch.name, error=error)
                except CommandRefused as error:
                    self.log.error("{switch} does not tell its calls: {error}", switch=switch.name, error=error)
        try:
            await self._compare_unnamed()
        except (SwitchDown, CommandRefused) as error:
            self.log.debug("Not all switches could be asked: {error}", error=error)

    def _tell_foreign_ends(self) -> Deferred[None]:
        telling = Deferred.fromCoroutine(self._calls.tell_foreign_ends())
        telling.addErrback(lambda failure: failure.trap(DatabaseError))
        telling.addErrback(lambda failure: self.log.failure("Telling of ends that were seen failed", failure=failure))
        return telling

    def _end_overdue(self, began: float) -> None:
        """The last resort where EFSwitch cannot be asked, or did not tell since the round `began`."""
        now = self._clock.seconds()
        for call in self._calls:
            if now - call.sent_at >= self._max_call_time and call.asked_at < began:
                self.log.error(
                    "Contact {contact} of campaign {campaign} was {status} for MAX_CALL_TIME",
                    status=Status.DIALED,
                    **about(call.contact),
                )
                self._meter.reconciled(Reconciled.OVERDUE)
                self._calls.gone(call)
