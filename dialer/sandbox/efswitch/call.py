"""The life of one call, from the INVITE to the end of both legs: what comes when."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import IDelayedCall

from .channel import Channel
from .dialstring import DialOrder
from .exchange import Exchange
from .gateways import Gateway
from .legs import new_agent, new_customer
from .records import Attempt
from .rules import REFUSALS, Outcome, Plan
from .signals import ORIGINATOR_CANCEL, Signals

TICK: Final = 0.02
"""Seconds between two steps that FreeSWITCH takes on its own: its media timer."""

DEFAULT_SLEEP: Final = 5.0
"""Seconds that the dialplan of an agent's call says it sleeps before it bridges, when the rule sets no delay."""


class Call:
    """One customer's call and, for an agent's call, the agent's leg. `done` hears once what `originate` answers."""

    def __init__(
        self,
        exchange: Exchange,
        order: DialOrder,
        plan: Plan,
        gateway: Gateway,
        attempt: Attempt,
        done: Callable[[str], None],
    ) -> None:
        self._exchange = exchange
        self._signals = Signals(exchange)
        self._order = order
        self._plan = plan
        self._gateway = gateway
        self._attempt = attempt
        self._done: Callable[[str], None] | None = done
        self._timer: IDelayedCall | None = None
        self._job_timer: IDelayedCall | None = None
        self._customer = new_customer(exchange, order, gateway, attempt.uuid)
        self._agent: Channel | None = None
        self._ended = False

    # The customer's leg

    def start(self) -> None:
        """Send the INVITE, and plan what the far side does."""
        leg, plan = self._customer, self._plan
        self._exchange.enter(leg, self)
        self._signals.create(leg)
        if plan.outcome is Outcome.SILENT:
            self._later(min(self._order.timeout, plan.ring), self._give_up)
            return
        if plan.early_media:
            self._progress_media()
        elif plan.ring > 0:
            self._signals.ring(leg)
            self._attempt.rang_at = leg.times["progress"] / 1_000_000
        patience = plan.ring if self._counts_early_media() else self._order.timeout
        if plan.outcome is Outcome.NO_ANSWER or plan.ring > patience:
            self._later(min(plan.ring, patience), self._give_up)
        elif plan.outcome in REFUSALS:
            self._later(plan.ring or TICK, self._refuse)
        else:
            self._later(plan.ring, self._answer)

    def _counts_early_media(self) -> bool:
        """Whether a 183 counts as success: then the originate is over with it, its time-out too."""
        return self._plan.early_media and not self._order.ignores_early_media

    def _progress_media(self) -> None:
        self._signals.progress_media(self._customer)
        if self._counts_early_media():
            self._job_timer = self._exchange.clock.callLater(TICK, self._execute)

    def _answer(self) -> None:
        self._timer = None
        leg = self._customer
        self._signals.answer(leg)
        self._attempt.answered_at = leg.times["answered"] / 1_000_000
        self._later(TICK, self._talk)

    def _execute(self) -> None:
        """The originate has succeeded: say so, and hand the call to the dialplan."""
        if self._job_timer is not None and self._job_timer.active():
            self._job_timer.cancel()
        self._job_timer = None
        if not self._is_executing():
            self._reply(f"+OK {self._customer.uuid}\n")
            self._signals.execute(self._customer, self._order, self._application())

    def _is_executing(self) -> bool:
        return self._customer.has("application")

    def _application(self) -> tuple[str, str]:
        if self._order.extension.startswith("&"):
            application, _, data = self._order.extension[1:].partition("(")
            return application, data.removesuffix(")")
        application_and_data = self._exchange.application(self._order.extension)
        if application_and_data is None:
            return "sleep", str(int((self._plan.bridge_delay or DEFAULT_SLEEP) * 1000))
        return application_and_data

    def _talk(self) -> None:
        self._timer = None
        if not self._order.is_routable:
            self._reply(f"+OK {self._customer.uuid}\n")
            self._signals.lose(self._customer, self._order)
            self._end_customer("NO_ROUTE_DESTINATION", "send_bye")
            return
        self._execute()
        plan = self._plan
        if self._exchange.application(self._order.extension) is not None:
            ends = self._dialplan_ends if plan.outcome is Outcome.WE_HANG_UP else self._customer_leaves
            self._later(plan.talk, ends)
        elif plan.outcome is Outcome.DROPPED_BEFORE_BRIDGE:
            self._later(plan.talk, self._customer_leaves)
        else:
            self._later(plan.bridge_delay, self._call_agent)

    # The agent's leg

    def _call_agent(self) -> None:
        self._timer = None
        exchange, customer, signals = self._exchange, self._customer, self._signals
        gateway = exchange.gateway_named(exchange.agent_gateway)
        extension = self._order.variables.get("sip_h_X-agentExtension") or self._order.caller_number
        signals.run(customer, "bridge", f"sofia/gateway/{exchange.agent_gateway}/{extension}")
        if gateway is None or not exchange.admit():
            self._end_customer("DESTINATION_OUT_OF_ORDER", "send_bye")
            return
        agent = self._agent = new_agent(exchange, customer, self._order, gateway, extension)
        self._attempt.agent_uuid = agent.uuid
        exchange.enter(agent, self)
        customer.push("agent_dialed")
        signals.create(agent)
        if self._plan.outcome is Outcome.AGENT_BUSY:
            self._later(self._plan.agent_ring, self._agent_refuses)
            return
        signals.ring(agent)
        agent.slots["other_progress_us"] = customer.slots["other_progress_us"] = agent.slots["progress_us"]
        customer.set_texts({"callee_name": "Outbound Call", "callee_number": extension})
        leaves = self._plan.outcome is Outcome.DROPPED_WHILE_AGENT_RINGS
        self._later(self._plan.agent_ring, self._customer_leaves if leaves else self._agent_answers)

    def _agent_refuses(self) -> None:
        agent, refusal = self._agent, REFUSALS[Outcome.BUSY]
        assert agent is not None
        self._signals.refuse(agent, refusal)
        self._signals.finish(agent, refusal.cause)
        self._signals.blame(self._customer, refusal)
        self._customer.push("agent_refused", "agent_failed")
        self._end_customer(refusal.cause, "send_bye")

    def _agent_answers(self) -> None:
        agent = self._agent
        assert agent is not None
        self._signals.answer(agent)
        self._customer.slots["other_answered_us"] = agent.slots["answered_us"]
        self._later(TICK, self._bridge)

    def _bridge(self) -> None:
        assert self._agent is not None
        self._signals.bridge(self._customer, self._agent)
        self._attempt.bridged_at = self._customer.times["bridged"] / 1_000_000
        ends = self._agent_leaves if self._plan.outcome is Outcome.WE_HANG_UP else self._customer_leaves
        self._later(self._plan.talk, ends)

    # The ends

    def _refuse(self) -> None:
        leg, outcome = self._customer, self._plan.outcome
        self._gateway.failed += 1
        self._signals.refuse(leg, REFUSALS[outcome], by_network=outcome is Outcome.UNREACHABLE)
        if leg.slots["app"] == "playback":
            leg.push("playback_broken")
        self._fail(REFUSALS[outcome].cause)

    def _give_up(self) -> None:
        self._gateway.failed += 1
        self._fail("NO_ANSWER", "send_cancel")

    def _fail(self, cause: str, *after: str) -> None:
        """End a call that was never answered; its job and its last events come in either order."""
        self._stop()
        leg = self._customer
        # The job may tell it before the call is over.
        self._attempt.cause = cause
        after = (*after, "rtp") if leg.has("early") else after
        self._signals.hang_up(leg, cause)
        if self._done is None:
            self._finish(cause, *after)
        elif self._exchange.job_first():
            self._reply(f"-ERR {cause}\n")
            self._later(TICK, lambda: self._finish(cause, *after))
        else:
            self._finish(cause, *after)
            self._job_timer = self._exchange.clock.callLater(TICK, self._reply, f"-ERR {cause}\n")

    def _dialplan_ends(self) -> None:
        leg = self._customer
        leg.push("played" if leg.slots["app"] == "playback" else "dialplan_hangup")
        leg.set_texts({"app": "hangup", "app_data": ""})
        self._end_customer("NORMAL_CLEARING", "send_bye")

    def _customer_leaves(self) -> None:
        customer, agent, cause = self._customer, self._agent, "NORMAL_CLEARING"
        if agent is None:
            customer.push("bye")
            self._end_customer(cause, "recv_bye")
            return
        self._stop()
        agent.set_texts({"other_cause": cause})
        agent.push("other_bye")
        if customer.times["bridged"]:
            self._leave_bridge(customer, agent, cause)
            return
        customer.push("bye", "recv_bye")
        self._signals.hang_up(customer, cause)
        self._signals.finish(agent, ORIGINATOR_CANCEL.cause, "send_cancel")
        self._signals.blame(customer, ORIGINATOR_CANCEL)
        customer.push("agent_failed")
        self._finish(cause, "rtp")

    def _leave_bridge(self, customer: Channel, agent: Channel, cause: str) -> None:
        customer.push("bye_in_bridge")
        self._signals.hang_up(customer, cause)
        self._signals.hang_up(agent, cause)
        # The two legs run in threads of their own: either may be the first to see that the bridge is over.
        if self._exchange.unbridge_first():
            self._signals.unbridge(customer, "recv_bye", "bridge_cause")
            self._signals.finish(agent, cause, "bridge_cause", "own_call", "send_bye", "rtp")
        else:
            self._signals.finish(agent, cause, "send_bye", "rtp")
            self._signals.unbridge(customer, "recv_bye", "bridge_cause")
        self._finish(cause, "rtp")

    def _agent_leaves(self) -> None:
        self._stop()
        customer, agent, cause = self._customer, self._agent, "NORMAL_CLEARING"
        assert agent is not None
        agent.push("bye_in_bridge_agent")
        self._signals.hang_up(agent, cause)
        agent.push("recv_bye")
        self._signals.finish(agent, cause, "rtp")
        customer.set_texts({"other_cause": cause})
        customer.push("other_bye")
        self._signals.unbridge(customer, "bridge_cause")
        customer.push("dialplan_hangup")
        customer.set_texts({"app": "hangup", "app_data": ""})
        self._finish(cause, "send_bye", "rtp")

    def kill(self, cause: str, leg: Channel) -> None:
        """End the call from the switch's side by hanging up `leg`; a call that is ending already goes its way."""
        customer, agent = self._customer, self._agent
        if self._ended or self._signals.is_ending(customer):
            return
        self._stop()
        if not customer.times["answered"]:
            self._fail(cause, "send_cancel")
        elif agent is None:
            self._execute()
            self._end_customer(cause, "send_bye")
        elif not customer.times["bridged"]:
            agent.set_texts({"other_cause": cause})
            agent.push("other_killed")
            self._kill_agent(agent, cause, "send_bye" if agent.times["answered"] else "send_cancel")
            self._signals.blame(customer, ORIGINATOR_CANCEL)
            customer.push("agent_failed")
            self._end_customer(cause, "send_bye")
        else:
            told, other = (agent, customer) if leg is agent else (customer, agent)
            customer.set_texts({"bridge_cause": cause})
            self._signals.hang_up(told, cause)
            self._signals.hang_up(other, cause)
            other.set_texts({"other_cause": cause})
            other.push("other_killed")
            if told is agent:
                agent.push("role_agent")
            self._kill_agent(agent, cause, "send_bye")
            customer.push("role")
            self._signals.unbridge(customer, "bridge_cause")
            self._finish(cause, "send_bye", "rtp")

    def _kill_agent(self, agent: Channel, cause: str, how: str) -> None:
        self._signals.finish(agent, cause, how, *(("rtp",) if agent.times["answered"] else ()))

    def vanish(self) -> None:
        """Be gone without any event or answer, as after a crash of the switch."""
        self._stop()
        self._done = None
        if not self._ended:
            self._ended = True
            self._attempt.vanished = True
            self._attempt.ended_at = self._exchange.now() / 1_000_000
            for leg in (self._agent, self._customer):
                if leg is not None:
                    self._exchange.leave(leg)

    def _end_customer(self, cause: str, how: str) -> None:
        """End the customer's leg, the only one left: `recv_bye` by the customer, `send_bye` by the switch."""
        self._stop()
        self._signals.hang_up(self._customer, cause)
        if how == "recv_bye":
            self._customer.push(how)
            self._finish(cause, "rtp")
        else:
            self._finish(cause, how, "rtp")

    def _finish(self, cause: str, *after: str) -> None:
        """End the customer's leg for good."""
        self._timer = None
        self._ended = True
        self._attempt.cause = cause
        self._attempt.ended_at = self._exchange.now() / 1_000_000
        self._signals.finish(self._customer, cause, *after)

    # Timers and the answer

    def _later(self, seconds: float, step: Callable[[], None]) -> None:
        self._timer = self._exchange.clock.callLater(seconds, step)

    def _stop(self) -> None:
        for timer in (self._timer, self._job_timer):
            if timer is not None and timer.active():
                timer.cancel()
        self._timer = self._job_timer = None

    def _reply(self, text: str) -> None:
        done, self._done = self._done, None
        if done is not None:
            done(text)
