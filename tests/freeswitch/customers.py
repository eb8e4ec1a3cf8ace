"""The customers and the agents behind the gateway of a real FreeSWITCH: a SIP peer that behaves by number.

It knows as much of SIP as that takes: calls over UDP that come from one switch on a network that loses nothing.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from typing import Any

from attrs import define, field, frozen
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import DatagramProtocol

_PHRASES = {180: "Ringing", 183: "Session Progress", 200: "OK", 486: "Busy Here"}
_USER = re.compile(r"sip:([^@;>]+)@")
_URI = re.compile(r"<([^>]+)>|(sip:\S+)")
_ECHOED = ("via", "from", "to", "call-id", "cseq")


@frozen
class Manner:
    """How somebody behaves who is called; times in seconds.

    Rings for `ring` (None: for good; 0: not at all), with early media if `early_media`, then answers with the SIP
    `status`. After 200 it hangs up `talk` later (None: leaves that to the other side). `silent` is a peer that does
    not even say that it got the call.
    """

    ring: float | None = 0.1
    status: int = 200
    talk: float | None = None
    early_media: bool = False
    silent: bool = False


@frozen
class Message:
    """A SIP request; names of headers in lower case, in order."""

    method: str
    uri: str
    headers: tuple[tuple[str, str], ...]

    @classmethod
    def read(cls, data: bytes) -> Message | None:
        """The request in a datagram; None for responses and keep-alives."""
        head, _, _ = data.decode("utf-8", "replace").partition("\r\n\r\n")
        first, *lines = head.split("\r\n")
        words = first.split(" ")
        if len(words) != 3 or words[2] != "SIP/2.0":
            return None
        pairs = (line.partition(":") for line in lines)
        return cls(words[0], words[1], tuple((name.strip().lower(), value.strip()) for name, _, value in pairs))

    def __getitem__(self, name: str) -> str:
        """The first header of that name, empty when there is none."""
        return next((value for found, value in self.headers if found == name.lower()), "")


@define(eq=False)
class Leg:
    """A call that came to somebody. `state` is ringing, answered, refused, cancelled or ended."""

    invite: Message
    source: tuple[str, int]
    tag: str
    manner: Manner
    state: str = "ringing"
    answered: bool = False
    hung_up_by: str | None = None
    response: bytes = b""
    timer: IDelayedCall | None = field(default=None, repr=False)

    @property
    def number(self) -> str:
        """Who was called."""
        return user(self.invite.uri)

    @property
    def caller(self) -> str:
        """The number that the called one sees."""
        return user(self.invite["from"])


def user(text: str) -> str:
    """The user part of the first SIP URI in a text."""
    found = _USER.search(text)
    return found[1].replace("%23", "#") if found else ""


class Customers(DatagramProtocol):
    """Answers the calls that a switch sends to `host`:`port`. `legs` has them all, until `forget`."""

    def __init__(self, reactor: Any, host: str, port: int) -> None:
        self._reactor = reactor
        self._host = host
        self._port = port
        self._listening: Any = None
        self._sink: Any = None  # takes the voice, since nothing but a closed port would tell FreeSWITCH about it
        self._tags = itertools.count(1)
        self._by_call_id: dict[str, Leg] = {}
        self.manners: dict[str, Manner] = {}
        self.legs: list[Leg] = []
        self.pings = 0

    # Being there

    def listen(self) -> None:
        """Be reachable."""
        if self._listening is None:
            interface = self._host if self._host.startswith("127.") else ""
            self._listening = self._reactor.listenUDP(self._port, self, interface=interface)
            self._sink = self._reactor.listenUDP(0, DatagramProtocol(), interface=interface)

    async def stop(self) -> None:
        """Be gone: whoever calls or pings finds a closed port."""
        listening, self._listening = self._listening, None
        sink, self._sink = self._sink, None
        for port in (listening, sink):
            if port is not None:
                await port.stopListening()

    def forget(self) -> None:
        """Forget all calls and manners."""
        for leg in self.legs:
            self._disarm(leg)
        self.manners.clear()
        self.legs.clear()
        self._by_call_id.clear()

    # What happened

    def calls(self, number: str) -> list[Leg]:
        """The calls that came for a number, oldest first."""
        return [leg for leg in self.legs if leg.number == number]

    def live(self, number: str) -> Iterator[Leg]:
        """Those that are answered and go on."""
        return (leg for leg in self.calls(number) if leg.state == "answered")

    # What the called ones do

    def hang_up(self, number: str) -> None:
        """Have everybody who talks at that number hang up."""
        for leg in list(self.live(number)):
            self._bye(leg)

    # SIP

    def datagramReceived(self, data: bytes, source: tuple[str, int]) -> None:
        """One request or response."""
        message = Message.read(data)
        if message is None or message.method == "ACK":
            return
        leg = self._by_call_id.get(message["call-id"])
        if message.method == "INVITE" and leg is None:
            self._invited(message, source)
        elif message.method == "INVITE" and leg is not None and message["cseq"] == leg.invite["cseq"]:
            if leg.response:
                self._write(leg.response, leg.source)
        elif message.method == "INVITE" and leg is not None:
            self._write(self._respond(message, 200, tag=leg.tag, body=self._sdp()), source)
        elif message.method == "OPTIONS":
            self.pings += 1
            self._write(self._respond(message, 200), source)
        elif leg is None:
            self._write(self._respond(message, 481), source)
        else:
            self._write(self._respond(message, 200, tag=leg.tag), source)
            if message.method == "CANCEL" and not leg.answered:
                self._say(leg, 487, "cancelled")
            elif message.method == "BYE":
                self._disarm(leg)
                leg.state, leg.hung_up_by = "ended", leg.hung_up_by or "switch"

    def _invited(self, message: Message, source: tuple[str, int]) -> None:
        manner = self.manners.get(user(message.uri), Manner())
        leg = Leg(message, source, f"customer-{next(self._tags)}", manner)
        self.legs.append(leg)
        self._by_call_id[message["call-id"]] = leg
        if manner.silent:
            return
        if manner.ring != 0:
            self._say(leg, 183 if manner.early_media else 180, "ringing", media=manner.early_media)
        if manner.ring is not None:
            self._after(leg, manner.ring, self._decide)

    def _decide(self, leg: Leg) -> None:
        if leg.manner.status != 200:
            self._say(leg, leg.manner.status, "refused")
            return
        leg.answered = True
        self._say(leg, 200, "answered", media=True)
        if leg.manner.talk is not None:
            self._after(leg, leg.manner.talk, self._bye)

    def _say(self, leg: Leg, status: int, state: str, *, media: bool = False) -> None:
        self._disarm(leg)
        leg.state = state
        leg.response = self._respond(leg.invite, status, tag=leg.tag, body=self._sdp() if media else "")
        self._write(leg.response, leg.source)

    def _bye(self, leg: Leg) -> None:
        self._disarm(leg)
        leg.state, leg.hung_up_by = "ended", "customer"
        contact = _URI.search(leg.invite["contact"])
        target = (contact[1] or contact[2]) if contact else leg.invite.uri
        lines = [
            f"BYE {target} SIP/2.0",
            f"Via: SIP/2.0/UDP {self._host}:{self._port};branch=z9hG4bK-{leg.tag}-bye;rport",
            "Max-Forwards: 70",
            f"From: {leg.invite['to']};tag={leg.tag}",
            f"To: {leg.invite['from']}",
            f"Call-ID: {leg.invite['call-id']}",
            "CSeq: 1 BYE",
            "Content-Length: 0",
        ]
        self._write(("\r\n".join(lines) + "\r\n\r\n").encode(), leg.source)

    def _respond(self, request: Message, status: int, *, tag: str = "ping", body: str = "") -> bytes:
        lines = [f"SIP/2.0 {status} {_PHRASES.get(status, 'As The Test Wants')}"]
        for name, value in request.headers:
            if name in _ECHOED:
                ours = f";tag={tag}" if name == "to" and ";tag=" not in value else ""
                lines.append(f"{name.title()}: {value}{ours}")
        lines.append(f"Contact: <sip:customer@{self._host}:{self._port}>")
        if body:
            lines.append("Content-Type: application/sdp")
        lines.append(f"Content-Length: {len(body)}")
        return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()

    def _sdp(self) -> str:
        lines = [
            "v=0",
            f"o=customer 1 1 IN IP4 {self._host}",
            "s=-",
            f"c=IN IP4 {self._host}",
            "t=0 0",
            f"m=audio {self._sink.getHost().port} RTP/AVP 0",
            "a=rtpmap:0 PCMU/8000",
        ]
        return "\r\n".join(lines) + "\r\n"

    def _write(self, data: bytes, to: tuple[str, int]) -> None:
        if self._listening is not None and self.transport is not None:
            self.transport.write(data, to)

    def _after(self, leg: Leg, seconds: float, then: Callable[[Leg], None]) -> None:
        def due() -> None:
            leg.timer = None
            then(leg)

        leg.timer = self._reactor.callLater(seconds, due)

    def _disarm(self, leg: Leg) -> None:
        if leg.timer is not None and leg.timer.active():
            leg.timer.cancel()
        leg.timer = None
