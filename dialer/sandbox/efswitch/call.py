"""The life of one call, from the INVITE to the end of both legs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from .channel import Channel
from .dialstring import DialOrder
from .gateways import Gateway
from .limits import Limits
from .records import Attempt
from .rules import REFUSALS, Outcome, Plan, Refusal

TICK: Final = 0.02
"""Seconds between two steps that FreeSWITCH takes on its own: its media timer."""

CAUSES: Final = {
    "UNALLOCATED_NUMBER": 1,
    "NO_ROUTE_DESTINATION": 3,
    "NORMAL_CLEARING": 16,
    "USER_BUSY": 17,
    "NO_USER_RESPONSE": 18,
    "NO_ANSWER": 19,
    "SUBSCRIBER_ABSENT": 20,
    "CALL_REJECTED": 21,
    "NUMBER_CHANGED": 22,
    "DESTINATION_OUT_OF_ORDER": 27,
    "INVALID_NUMBER_FORMAT": 28,
    "NORMAL_UNSPECIFIED": 31,
    "NORMAL_CIRCUIT_CONGESTION": 34,
    "NETWORK_OUT_OF_ORDER": 38,
    "NORMAL_TEMPORARY_FAILURE": 41,
    "SWITCH_CONGESTION": 42,
    "FACILITY_REJECTED": 29,
    "SERVICE_UNAVAILABLE": 63,
    "RECOVERY_ON_TIMER_EXPIRE": 102,
    "INTERWORKING": 127,
}
"""The hangup causes that have a Q.850 number of their own; all others count as 16."""

_DIALSTATUS: Final = {
    "USER_BUSY": "BUSY",
    "NO_ANSWER": "NOANSWER",
    "ORIGINATOR_CANCEL": "CANCEL",
    "DESTINATION_OUT_OF_ORDER": "CONGESTION",
}
_OK: Final = Refusal(200, "OK", "NORMAL_CLEARING")


class Exchange(Protocol):
    """What a call needs from the switch it runs on."""

    clock: IReactorTime
    limits: Limits
    ip: str
    agent_gateway: str
    applications: Mapping[str, tuple[str, str]]

    def now(self) -> int:
        """Microseconds since 1970."""

    def fire(self, event: str, channel: Channel) -> None:
        """Send an event of a channel to whoever subscribed to it."""

    def enter(self, channel: Channel, call: Call) -> None:
        """Count a channel as alive."""

    def leave(self, channel: Channel) -> None:
        """Count a channel as gone."""

    def admit(self) -> bool:
        """Whether one more session may start; counts it."""

    def job_first(self) -> bool:
        """Whether the answer of a call that failed comes before its last events, this time."""

    def new_uuid(self) -> str:
        """A random uuid."""

    def new_session(self) -> int:
        """The number of the next session."""

    def gateway_named(self, name: str) -> Gateway | None:
        """The gateway of that name."""


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
        self._order = order
        self._plan = plan
        self._gateway = gateway
        self._attempt = attempt
        self._done: Callable[[str], None] | None = done
        self._timer: IDelayedCall | None = None
        self._job_timer: IDelayedCall | None = None
        self.customer = _customer(exchange, order, gateway, attempt.uuid)
        self.agent: Channel | None = None
        self.ended = False

    # The customer's leg

    def start(self) -> None:
        """Send the INVITE; nothing that comes from the far side has happened yet."""
        leg, plan = self.customer, self._plan
        self._exchange.enter(leg, self)
        self._create(leg)
        patience = min(self._order.timeout, plan.ring if plan.outcome is Outcome.NO_ANSWER else self._order.timeout)
        if plan.outcome is Outcome.SILENT:
            self._later(min(self._order.timeout, plan.ring or self._order.timeout), self._give_up)
            return
        if plan.early_media:
            self._progress_media()
        elif plan.ring > 0:
            self._ring(leg)
            self._attempt.rang_at = leg.times["progress"] / 1_000_000
        if self.ended:
            return
        if plan.outcome is Outcome.NO_ANSWER or (plan.ring > patience and not self._is_executing()):
            self._later(patience, self._give_up)
        elif plan.outcome in REFUSALS:
            self._later(plan.ring or TICK, self._refuse)
        else:
            self._later(plan.ring, self._answer)

    def _create(self, leg: Channel) -> None:
        leg.state("CS_NONE", 1, "DOWN", "ringing")
        leg.push("create_agent" if leg.agent else "create")
        self._exchange.fire("CHANNEL_OUTGOING", leg)
        leg.state("CS_INIT", 2)
        self._exchange.fire("CHANNEL_CREATE", leg)
        self._exchange.fire("CHANNEL_ORIGINATE", leg)
        leg.state("CS_CONSUME_MEDIA", 7)

    def _ring(self, leg: Channel) -> None:
        leg.mark("progress", self._exchange.now())
        leg.set_texts({"network_addr": self._exchange.ip})
        leg.push("ring")
        self._exchange.fire("CHANNEL_PROGRESS", leg)
        leg.state("CS_CONSUME_MEDIA", 7, "RINGING")

    def _progress_media(self) -> None:
        leg = self.customer
        leg.mark("media", self._exchange.now())
        leg.set_texts({"network_addr": self._exchange.ip})
        leg.push("early")
        leg.state("CS_CONSUME_MEDIA", 7, "EARLY", "early")
        self._exchange.fire("CHANNEL_PROGRESS_MEDIA", leg)
        leg.push("early_marked")
        if not self._order.ignores_early_media:
            self._job_timer = self._exchange.clock.callLater(TICK, self._execute_early)

    def _execute_early(self) -> None:
        self._job_timer = None
        self._reply(f"+OK {self.customer.uuid}\n")
        self._route()

    def _is_executing(self) -> bool:
        """Whether early media counted as success, so that no time-out of the originate runs any more."""
        return self._plan.early_media and not self._order.ignores_early_media

    def _answer(self) -> None:
        self._timer = None
        leg = self.customer
        self._pick_up(leg)
        self._attempt.answered_at = leg.times["answered"] / 1_000_000
        leg.push("answered")
        if leg.has("routed") or leg.has("executed"):
            self._talk()
        else:
            self._later(TICK, self._connect)

    def _pick_up(self, leg: Channel) -> None:
        leg.mark("answered", self._exchange.now())
        if not leg.has("early"):
            leg.set_texts({"network_addr": self._exchange.ip})
            leg.push(*(("answer",) if leg.has("ring") else ("dialog", "answer")))
        leg.state(leg.slots["state"], int(leg.slots["state_number"]), "RINGING", "answered")
        self._exchange.fire("CHANNEL_ANSWER", leg)
        leg.state(leg.slots["state"], int(leg.slots["state_number"]), "ACTIVE")

    def _connect(self) -> None:
        self._timer = None
        self._settle_job()
        if not self.customer.has("routed") and not self.customer.has("executed"):
            self._route()
        self._talk()

    def _settle_job(self) -> None:
        if self._job_timer is not None:
            self._job_timer.cancel()
            self._job_timer = None
        self._reply(f"+OK {self.customer.uuid}\n")

    def _route(self) -> None:
        """Hand the call to the dialplan: the caller and the called one change places."""
        leg, order = self.customer, self._order
        leg.set_texts(
            {
                "caller_name": "Outbound Call",
                "caller_number": order.number,
                "callee_name": order.caller_name,
                "callee_number": order.caller_number,
            }
        )
        if order.extension.startswith("&"):
            application, _, data = order.extension[1:].partition("(")
            leg.push("executed", "application")
            leg.set_texts({"app": application, "app_data": data.removesuffix(")")})
        else:
            now = self._exchange.now()
            leg.mark("profile", now)
            source = f"{now // 1_000_000}:{self._exchange.new_uuid()}:bl_xfer"
            leg.set_texts(
                {
                    "transfer": f"{source}:{order.extension}/{order.context}/{order.dialplan}",
                    "destination": order.extension,
                    "context": order.context,
                    "dialplan": order.dialplan,
                    "rdnis": order.number,
                }
            )
            leg.slots.update(profile_index="2", hit_dialplan="true")
            leg.push("routed", "application")
            application, data = self._application()
            leg.set_texts({"app": application, "app_data": data})
        leg.state("CS_EXECUTE", 4)

    def _application(self) -> tuple[str, str]:
        if self._is_for_agent():
            return "sleep", str(int((self._plan.bridge_delay or 5) * 1000))
        applications = self._exchange.applications
        return applications.get(self._order.extension) or applications["*"]

    def _is_for_agent(self) -> bool:
        return self._order.extension == "agent"

    def _talk(self) -> None:
        plan = self._plan
        if plan.outcome in REFUSALS or plan.outcome is Outcome.NO_ANSWER:
            return
        if self._is_for_agent() and plan.outcome is Outcome.DROPPED_BEFORE_BRIDGE:
            self._later(plan.talk, self._customer_leaves)
        elif self._is_for_agent():
            self._later(plan.bridge_delay, self._call_agent)
        elif plan.outcome is Outcome.WE_HANG_UP:
            self._later(plan.talk, self._dialplan_ends)
        else:
            self._later(plan.talk, self._customer_leaves)

    # The agent's leg

    def _call_agent(self) -> None:
        self._timer = None
        exchange, customer = self._exchange, self.customer
        gateway = exchange.gateway_named(exchange.agent_gateway)
        extension = self._order.variables.get("sip_h_X-agentExtension") or self._order.caller_number
        customer.set_texts({"app": "bridge", "app_data": f"sofia/gateway/{exchange.agent_gateway}/{extension}"})
        customer.push("application")
        if gateway is None or not exchange.admit():
            self._end_customer("DESTINATION_OUT_OF_ORDER", "send_bye")
            return
        agent = self.agent = _agent(exchange, customer, self._order, gateway, extension)
        self._attempt.agent_uuid = agent.uuid
        exchange.enter(agent, self)
        customer.push("agent_dialed")
        self._create(agent)
        if self._plan.outcome is Outcome.AGENT_BUSY:
            self._later(self._plan.agent_ring, self._agent_refuses)
            return
        self._ring(agent)
        agent.slots["other_progress_us"] = customer.slots["other_progress_us"] = agent.slots["progress_us"]
        customer.set_texts({"callee_name": "Outbound Call", "callee_number": extension})
        leaves = self._plan.outcome is Outcome.DROPPED_WHILE_AGENT_RINGS
        self._later(self._plan.agent_ring, self._customer_leaves if leaves else self._agent_answers)

    def _agent_refuses(self) -> None:
        agent, refusal = self.agent, REFUSALS[Outcome.BUSY]
        assert agent is not None
        agent.set_texts({"network_addr": self._exchange.ip})
        self._refused_by(agent, refusal)
        self._finish(agent, refusal.cause)
        self._blame(refusal)
        self._end_customer(refusal.cause, "send_bye", before=("agent_refused", "agent_failed"))

    def _blame(self, refusal: Refusal) -> None:
        """Tell the customer's leg why the agent's failed."""
        self.customer.set_texts(
            {
                "other_cause": refusal.cause,
                "other_sip_status": str(refusal.status),
                "other_sip_phrase": refusal.phrase,
                "dialstatus": _DIALSTATUS.get(refusal.cause, "CANCEL"),
            }
        )

    def _agent_answers(self) -> None:
        agent = self.agent
        assert agent is not None
        self._pick_up(agent)
        agent.push("answered_agent")
        self.customer.slots["other_answered_us"] = agent.slots["answered_us"]
        self._later(TICK, self._bridge)

    def _bridge(self) -> None:
        agent, customer, now = self.agent, self.customer, self._exchange.now()
        assert agent is not None
        customer.mark("bridged", now)
        agent.mark("bridged", now)
        self._attempt.bridged_at = now / 1_000_000
        customer.push("agent_answered")
        self._exchange.fire("CHANNEL_BRIDGE", customer)
        customer.push("bridged")
        agent.push("bridged_agent")
        agent.state("CS_EXCHANGE_MEDIA", 5)
        ends = self._agent_leaves if self._plan.outcome is Outcome.WE_HANG_UP else self._customer_leaves
        self._later(self._plan.talk, ends)

    # The ends

    def _refuse(self) -> None:
        leg, plan, exchange = self.customer, self._plan, self._exchange
        refusal = REFUSALS[plan.outcome]
        self._gateway.failed += 1
        if plan.outcome is Outcome.UNREACHABLE:
            leg.set_texts({"sip_status": str(refusal.status), "sip_phrase": refusal.phrase})
            leg.slots["q850"] = str(CAUSES[refusal.cause])
            leg.push("unreachable")
        else:
            leg.set_texts({"network_addr": exchange.ip})
            self._refused_by(leg, refusal)
        if leg.has("routed") and leg.slots["app"] == "playback":
            leg.push("playback_broken")
        self._fail(refusal.cause, *(("rtp",) if leg.has("early") else ()))

    def _refused_by(self, leg: Channel, refusal: Refusal) -> None:
        leg.set_texts({"sip_status": str(refusal.status), "sip_phrase": refusal.phrase})
        leg.slots["q850"] = str(CAUSES[refusal.cause])
        if not leg.has("ring") and not leg.has("early"):
            leg.push("first_reply")
        leg.push("refused")

    def _give_up(self) -> None:
        self._gateway.failed += 1
        self._fail("NO_ANSWER", "send_cancel", *(("rtp",) if self.customer.has("early") else ()))

    def _fail(self, cause: str, *after: str) -> None:
        """End a call that was never answered; its job and its last events come in either order."""
        self._stop()
        leg = self.customer
        self._hang_up(leg, cause)
        if self._done is not None and self._exchange.job_first():
            self._reply(f"-ERR {cause}\n")
            self._later(TICK, lambda: self._finish(leg, cause, *after))
            return
        self._finish(leg, cause, *after)
        if self._done is not None:
            self._job_timer = self._exchange.clock.callLater(TICK, self._reply, f"-ERR {cause}\n")

    def _dialplan_ends(self) -> None:
        played = ("played",) if self.customer.slots["app"] == "playback" else ("dialplan_hangup",)
        self.customer.push(*played)
        self.customer.set_texts({"app": "hangup", "app_data": ""})
        self._end_customer("NORMAL_CLEARING", "send_bye")

    def _customer_leaves(self) -> None:
        self._stop()
        customer, agent = self.customer, self.agent
        if agent is None:
            customer.push("bye")
            self._end_customer("NORMAL_CLEARING", "recv_bye")
            return
        agent.set_texts({"other_cause": "NORMAL_CLEARING"})
        agent.push("other_bye")
        if not customer.times["bridged"]:
            customer.push("bye", "recv_bye")
            self._hang_up(customer, "NORMAL_CLEARING")
            self._hang_up(agent, "ORIGINATOR_CANCEL")
            self._finish(agent, "ORIGINATOR_CANCEL", "send_cancel")
            self._blame(Refusal(487, "CANCEL", "ORIGINATOR_CANCEL"))
            customer.push("agent_failed")
            self._finish(customer, "NORMAL_CLEARING", "rtp")
            return
        customer.push("bye_in_bridge")
        self._hang_up(customer, "NORMAL_CLEARING")
        self._hang_up(agent, "NORMAL_CLEARING")
        self._finish(agent, "NORMAL_CLEARING", "send_bye", "bridge_cause", "own_call", "rtp")
        self._unbridge("recv_bye", "bridge_cause")
        self._finish(customer, "NORMAL_CLEARING", "rtp")

    def _agent_leaves(self) -> None:
        self._stop()
        customer, agent = self.customer, self.agent
        assert agent is not None
        agent.push("bye_in_bridge_agent")
        self._hang_up(agent, "NORMAL_CLEARING")
        agent.push("recv_bye")
        self._finish(agent, "NORMAL_CLEARING", "own_call", "rtp")
        customer.set_texts({"other_cause": "NORMAL_CLEARING"})
        customer.push("other_bye")
        self._unbridge("bridge_cause", cause="NORMAL_CLEARING")
        customer.push("dialplan_hangup")
        customer.set_texts({"app": "hangup", "app_data": ""})
        self._hang_up(customer, "NORMAL_CLEARING")
        self._finish(customer, "NORMAL_CLEARING", "send_bye", "rtp")

    def _unbridge(self, *phases: str, cause: str | None = None) -> None:
        self.customer.push("unbridged", *phases)
        if cause is not None:
            self.customer.slots["cause"] = cause
        self._exchange.fire("CHANNEL_UNBRIDGE", self.customer)

    def kill(self, cause: str, leg: Channel | None = None) -> None:
        """End the call from the switch's side; `leg` is the one that was told to hang up."""
        if self.ended:
            return
        self._stop()
        customer, agent = self.customer, self.agent
        if not customer.times["answered"] and not customer.has("routed") and not customer.has("executed"):
            self._fail(cause, "send_cancel", *(("rtp",) if customer.has("early") else ()))
        elif agent is None or not customer.times["bridged"]:
            if agent is not None:
                agent.set_texts({"other_cause": cause})
                agent.push("other_killed")
                self._hang_up(agent, cause)
                self._finish(agent, cause, "send_cancel" if not agent.times["answered"] else "send_bye")
                self._blame(Refusal(487, "CANCEL", "ORIGINATOR_CANCEL" if leg is not agent else cause))
                customer.push("agent_failed")
            self._settle_job()
            self._end_customer(cause, "send_bye")
        else:
            agent.set_texts({"other_cause": cause})
            agent.push("other_killed")
            self._hang_up(customer, cause)
            self._hang_up(agent, cause)
            self._finish(agent, cause, "send_bye", "rtp")
            customer.push("role")
            self._unbridge("bridge_cause")
            self._finish(customer, cause, "send_bye", "rtp")

    def vanish(self) -> None:
        """Be gone without any event or answer, as after a crash of the switch."""
        self._stop()
        if not self.ended:
            self.ended = True
            self._attempt.vanished = True
            self._attempt.ended_at = self._exchange.now() / 1_000_000
            for leg in (self.agent, self.customer):
                if leg is not None:
                    self._exchange.leave(leg)

    def _end_customer(self, cause: str, how: str, *, before: tuple[str, ...] = ()) -> None:
        self._stop()
        leg = self.customer
        leg.push(*before)
        self._hang_up(leg, cause)
        if how == "recv_bye":
            leg.push("recv_bye")
            self._finish(leg, cause, "rtp")
        else:
            self._finish(leg, cause, how, "rtp")

    def _hang_up(self, leg: Channel, cause: str) -> None:
        leg.set_texts({"cause": cause})
        leg.slots["q850"] = str(CAUSES.get(cause, 16))
        leg.state(leg.slots["state"], 10, answer_state="hangup")
        self._exchange.fire("CHANNEL_HANGUP", leg)

    def _finish(self, leg: Channel, cause: str, *after: str) -> None:
        """Fire the last events of a leg; `after` are its phases after the summary."""
        if leg is self.customer:
            self._timer = None
        if leg.slots["answer_state"] != "hangup":
            self._hang_up(leg, cause)
        leg.close(self._exchange.now())
        leg.push("ended", *after)
        if leg.agent and "own_call" in after:
            leg.slots["shown_call_uuid"] = leg.uuid
        leg.state("CS_REPORTING", 11, "HANGUP")
        self._exchange.fire("CHANNEL_HANGUP_COMPLETE", leg)
        leg.state("CS_REPORTING", 12)
        self._exchange.fire("CHANNEL_DESTROY", leg)
        self._exchange.leave(leg)
        if leg is self.customer:
            self.ended = True
            self._attempt.cause = cause
            self._attempt.ended_at = leg.times["hangup"] / 1_000_000

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


def _leg_facts(exchange: Exchange, gateway: Gateway, session: int) -> dict[str, str]:
    return {
        "session": str(session),
        "ip": exchange.ip,
        "peer": f"{gateway.host}:{gateway.port}",
        "peer_host": gateway.host,
        "peer_port": str(gateway.port),
        "rtp_port": str(16384 + session * 2 % 16384),
        "remote_port": "16000",
        "sdp_id": str(1_795_400_000 + session),
        "sdp_version": str(1_795_400_001 + session),
        "branch": f"z9hG4bK{session:013d}",
        "from_tag": f"F{session:012d}",
        "to_tag": f"{session}SIPpTag01{session}",
        "cseq": str(123_157_000 + session),
        "call_id": f"{session:08x}-61ba-1240-f89e-1e837cd24897",
        "ssrc": str(1_000_000_000 + session * 7919 % 1_000_000_000),
    }


def _customer(exchange: Exchange, order: DialOrder, gateway: Gateway, uuid: str) -> Channel:
    name, number = order.caller_name, order.caller_number
    early = "false" if order.ignores_early_media else "true"
    return Channel(
        uuid=uuid,
        agent=False,
        now=exchange.now(),
        texts={
            "gateway": gateway.name,
            "number": order.number,
            "channel": f"sofia/external/{order.number}",
            "cid_name": name,
            "cid_number": number,
            "caller_name": name,
            "caller_number": number,
            "callee_number": order.number,
            "destination": order.number,
            "from_name": name,
            "from_number": number,
            "from_display": f'"{name}" ' if name else "",
            "shown_call_uuid": uuid,
        },
        facts={
            **_leg_facts(exchange, gateway, exchange.new_session()),
            "codecs": "PCMU,PCMA",
            "early_media": early,
            "other_type": "originatee",
        },
        variables=order.variables,
    )


def _agent(exchange: Exchange, customer: Channel, order: DialOrder, gateway: Gateway, extension: str) -> Channel:
    channel, uuid = f"sofia/external/{extension}", exchange.new_uuid()
    agent = Channel(
        uuid=uuid,
        agent=True,
        now=exchange.now(),
        texts={
            "gateway": gateway.name,
            "number": extension,
            "channel": channel,
            "cid_name": order.caller_name,
            "cid_number": order.caller_number,
            "caller_name": "Outbound Call",
            "caller_number": order.number,
            "callee_number": extension,
            "destination": extension,
            "context": order.context,
            "dialplan": order.dialplan,
            "rdnis": order.number,
            "network_addr": exchange.ip,
            "from_name": "Outbound Call",
            "from_number": order.number,
            "from_display": '"Outbound Call" ',
            "shown_call_uuid": customer.uuid,
            "other_uuid": customer.uuid,
            "other_channel": customer.slots["channel"],
            "other_number": order.number,
            "other_dialplan": order.dialplan,
            "other_caller_number": order.number,
            "other_callee_name": order.caller_name,
            "other_callee_number": order.caller_number,
            "other_destination": order.extension,
            "other_context": order.context,
            "other_rdnis": order.number,
        },
        facts={
            **_leg_facts(exchange, gateway, exchange.new_session()),
            "codecs": "PCMU@8000h@20i",
            "other_type": "originator",
            "other_remote_port": customer.slots["remote_port"],
        },
        variables=customer.inherited(),
    )
    customer.set_texts(
        {
            "other_uuid": uuid,
            "other_channel": channel,
            "other_number": extension,
            "other_dialplan": order.dialplan,
            "other_caller_number": order.number,
            "other_callee_name": "Outbound Call",
            "other_callee_number": extension,
            "other_destination": extension,
            "other_context": order.context,
            "other_rdnis": order.number,
        }
    )
    customer.slots["other_created_us"] = agent.slots["created_us"]
    customer.slots["other_remote_port"] = agent.slots["remote_port"]
    return agent
