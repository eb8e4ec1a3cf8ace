"""What happens to a leg, step by step, and the events that tell of it. Knows nothing of when."""

from __future__ import annotations

from .causes import DIALSTATUS, q850
from .channel import Channel
from .dialstring import DialOrder
from .exchange import Exchange
from .rules import Refusal

ORIGINATOR_CANCEL = Refusal(487, "CANCEL", "ORIGINATOR_CANCEL")


class Signals:
    """Moves legs through their states; every step fires the events that FreeSWITCH fires."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def create(self, leg: Channel) -> None:
        """The INVITE goes out."""
        leg.state("CS_NONE", 1, "DOWN", "ringing")
        leg.push("create_agent" if leg.agent else "create")
        self._exchange.fire("CHANNEL_OUTGOING", leg)
        leg.state("CS_INIT", 2)
        self._exchange.fire("CHANNEL_CREATE", leg)
        self._exchange.fire("CHANNEL_ORIGINATE", leg)
        leg.state("CS_CONSUME_MEDIA", 7)

    def ring(self, leg: Channel) -> None:
        """180."""
        leg.mark("progress", self._exchange.now())
        leg.set_texts({"network_addr": self._exchange.ip})
        leg.push("ring")
        self._exchange.fire("CHANNEL_PROGRESS", leg)
        leg.state("CS_CONSUME_MEDIA", 7, "RINGING")

    def progress_media(self, leg: Channel) -> None:
        """183 with media."""
        leg.mark("media", self._exchange.now())
        leg.set_texts({"network_addr": self._exchange.ip})
        leg.push("early")
        leg.state("CS_CONSUME_MEDIA", 7, "EARLY", "early")
        self._exchange.fire("CHANNEL_PROGRESS_MEDIA", leg)
        leg.push("early_marked")

    def answer(self, leg: Channel) -> None:
        """200."""
        leg.mark("answered", self._exchange.now())
        if not leg.has("early"):
            leg.set_texts({"network_addr": self._exchange.ip})
            leg.push(*(("answer",) if leg.has("ring") else ("dialog", "answer")))
        leg.slots.update(call_state="RINGING", answer_state="answered")
        self._exchange.fire("CHANNEL_ANSWER", leg)
        leg.slots["call_state"] = "ACTIVE"
        leg.push("answered_agent" if leg.agent else "answered")

    def execute(self, leg: Channel, order: DialOrder, application: tuple[str, str]) -> None:
        """The dialplan, or the application named in the originate, takes the call: caller and called change places."""
        if not order.extension.startswith("&"):
            self._transfer(leg, order)
        leg.set_texts(
            {
                "caller_name": "Outbound Call",
                "caller_number": order.number,
                "callee_name": order.caller_name,
                "callee_number": order.shown_number,
            }
        )
        leg.slots["hit_dialplan"] = "true"
        leg.push("executed" if order.extension.startswith("&") else "routed")
        self.run(leg, *application)
        leg.state("CS_EXECUTE", 4)

    def lose(self, leg: Channel, order: DialOrder) -> None:
        """The call goes to a dialplan that does not exist."""
        self._transfer(leg, order)
        leg.push("unroutable")

    def _transfer(self, leg: Channel, order: DialOrder) -> None:
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
        leg.slots["profile_index"] = "2"

    def run(self, leg: Channel, application: str, data: str) -> None:
        """The dialplan goes on to an application."""
        leg.set_texts({"app": application, "app_data": data})
        leg.push("application")

    def bridge(self, customer: Channel, agent: Channel) -> None:
        """The two legs hear each other."""
        now = self._exchange.now()
        for leg in (customer, agent):
            leg.mark("bridged", now)
            leg.set_texts({"bridge_cause": "NORMAL_CLEARING"})
        customer.push("agent_answered")
        self._exchange.fire("CHANNEL_BRIDGE", customer)
        customer.push("bridged")
        agent.push("bridged_agent")
        agent.state("CS_EXCHANGE_MEDIA", 5)

    def unbridge(self, customer: Channel, *phases: str) -> None:
        """The bridge is over; `phases` are the customer's before the event."""
        customer.push("unbridged", *phases)
        self._exchange.fire("CHANNEL_UNBRIDGE", customer)

    def refuse(self, leg: Channel, refusal: Refusal, *, by_network: bool = False) -> None:
        """A final SIP answer that is none of success, from the peer or, when there is none, from the network."""
        leg.set_texts({"sip_status": str(refusal.status), "sip_phrase": refusal.phrase})
        leg.slots["q850"] = q850(refusal.cause)
        if by_network:
            leg.push("unreachable")
            return
        leg.set_texts({"network_addr": self._exchange.ip})
        if not leg.has("ring") and not leg.has("early"):
            leg.push("first_reply")
        leg.push("refused")

    def blame(self, customer: Channel, refusal: Refusal) -> None:
        """The customer's leg learns why the agent's failed."""
        customer.set_texts(
            {
                "other_cause": refusal.cause,
                "other_sip_status": str(refusal.status),
                "other_sip_phrase": refusal.phrase,
                "dialstatus": DIALSTATUS.get(refusal.cause, "CANCEL"),
            }
        )

    def hang_up(self, leg: Channel, cause: str) -> None:
        """The leg begins to end."""
        leg.set_texts({"cause": cause})
        leg.slots["q850"] = q850(cause)
        leg.state(leg.slots["state"], 10, answer_state="hangup")
        self._exchange.fire("CHANNEL_HANGUP", leg)

    def is_ending(self, leg: Channel) -> bool:
        """Whether the leg was hung up already."""
        return leg.slots["answer_state"] == "hangup"

    def finish(self, leg: Channel, cause: str, *after: str) -> None:
        """The leg is gone; `after` are its phases after the summary. Hangs it up first if that was not yet done."""
        if not self.is_ending(leg):
            self.hang_up(leg, cause)
        leg.close(self._exchange.now())
        leg.push("ended", *after)
        if "own_call" in after:
            leg.set_texts({"shown_call_uuid": leg.uuid})
        leg.state("CS_REPORTING", 11, "HANGUP")
        self._exchange.fire("CHANNEL_HANGUP_COMPLETE", leg)
        leg.state("CS_REPORTING", 12)
        self._exchange.fire("CHANNEL_DESTROY", leg)
        self._exchange.leave(leg)
