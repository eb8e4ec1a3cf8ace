"""The switch of the recordings, simulated; and frames made comparable: what differs from run to run is masked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from urllib.parse import unquote

from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from dialer.sandbox.efswitch import EFSwitch, Gateway, Identity, Outcome, Rule, Rules

IDENTITY = Identity("e3b8976d-4ecd-476f-baab-1ec329557230", "vm", "fsbox", "192.0.2.2", "fd00::2")

_PORTS = {"b": 5998, "a": 5098, "9": 5999, "8": 5097, "7": 5096, "6": 5095, "5": 5094, "4": 5093, "3": 5092, "2": 5091}
_PORTS["1"] = 5090


def gateway_name(digit: str) -> str:
    """The name of a recorded gateway by its digit: they are UUIDs of one digit each."""
    return f"{digit * 8}-{digit * 4}-4{digit * 3}-8{digit * 3}-{digit * 12}"


def recorded_gateways() -> list[Gateway]:
    """The gateways that the recorded switch had, in the order of its list."""
    gateways = {
        digit: Gateway(name=gateway_name(digit), port=port, context="127.0.0.1") for digit, port in _PORTS.items()
    }
    gateways["8"].ping = gateways["9"].ping = 5
    gateways["8"].ping_time = "0.98"
    gateways["8"].pinged = gateways["9"].pinged = 1795422292
    gateways["9"].state = "DOWN"
    return list(gateways.values())


RULES = (
    Rule(gateway=gateway_name("1"), outcome=Outcome.ANSWERED, ring=0.5, talk=3, agent_ring=0.3),
    Rule(gateway=gateway_name("2"), outcome=Outcome.BUSY),
    Rule(gateway=gateway_name("3"), outcome=Outcome.NO_ANSWER),
    Rule(gateway=gateway_name("4"), outcome=Outcome.UNALLOCATED),
    Rule(gateway=gateway_name("5"), outcome=Outcome.UNAVAILABLE),
    Rule(gateway=gateway_name("6"), outcome=Outcome.REJECTED),
    Rule(gateway=gateway_name("7"), outcome=Outcome.WE_HANG_UP, ring=0.5, talk=2, agent_ring=0.3),
    Rule(gateway=gateway_name("8"), outcome=Outcome.BUSY, ring=1, early_media=True),
    Rule(gateway=gateway_name("b"), outcome=Outcome.UNREACHABLE),
)


class Client:
    """A client of a simulator on a Clock, without a socket."""

    def __init__(self, switch: EFSwitch) -> None:
        self.transport = StringTransport()
        self.transport.abortConnection = self.transport.loseConnection  # type: ignore[method-assign]
        self.connection = switch.new_connection()
        self.connection.makeConnection(self.transport)

    def send(self, data: bytes) -> None:
        """Hand over bytes as the socket would, unless the switch closed it."""
        if not self.transport.disconnecting:
            self.connection.dataReceived(data)

    @property
    def heard(self) -> bytes:
        """All that the switch sent so far."""
        return self.transport.value()


def simulated(clock: Clock, *rules: Rule, **options: object) -> EFSwitch:
    """A simulator configured like the recorded switch; `rules` come before those of its gateways."""
    return EFSwitch(
        clock,
        **{  # type: ignore[arg-type]
            "rules": Rules([*rules, *RULES]),
            "gateways": recorded_gateways(),
            "sessions_per_second": 30,
            "agent_gateway": gateway_name("a"),
            "applications": {"1998": ("sleep", "600000")},
            "job_first": 0.0,
            "unbridge_first": 0.0,
            "identity": IDENTITY,
            **options,
        },
    )


Headers = list[tuple[str, str]]
Frame = tuple[Headers, Headers, str]
"""Outer headers, the event's headers decoded, and the body."""


def frames(data: bytes) -> Iterator[Frame]:
    """Cut what a switch sent into frames; a rest that is no whole frame is an error."""
    position = 0
    while position < len(data):
        end = data.index(b"\n\n", position)
        outer = _pairs(data[position:end].decode())
        length = int(dict(outer).get("Content-Length", 0))
        body = data[end + 2 : end + 2 + length]
        assert len(body) == length, "a frame is cut off"
        position = end + 2 + length
        kind = dict(outer)["Content-Type"]
        if kind == "text/event-plain":
            head, _, rest = body.decode().partition("\n\n")
            yield outer, [(name, unquote(value)) for name, value in _pairs(head)], rest
        elif kind == "text/event-json":
            members: Headers = json.loads(body, object_pairs_hook=list)
            yield outer, [each for each in members if each[0] != "_body"], dict(members).get("_body", "")
        else:
            yield outer, [], body.decode()


def _pairs(text: str) -> Headers:
    return [(line.partition(": ")[0], line.partition(": ")[2]) for line in text.split("\n")]


_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TIME = re.compile(r"(Time|_u?epoch|Timestamp|epoch)$")
_COUNT = re.compile(r"(sec|duration|_count|_bytes|Sequence|Uptime|session_id|_cseq|_ssrc|_port|Line-Number|Idle-CPU)$")
_STAMP = re.compile(r"(_stamp|Date-Local|Date-GMT|Up-Time|_tag|_via|sdp|sdp_str)$")


class Mask:
    """Replaces what differs from run to run; a UUID becomes the number of its first appearance, so that headers that
    must agree still have to agree."""

    def __init__(self) -> None:
        self._uuids: dict[str, str] = {}

    def text(self, value: str) -> str:
        """`value` with its UUIDs numbered."""
        return _UUID.sub(lambda match: self._uuids.setdefault(match[0], f"uuid-{len(self._uuids)}"), value)

    def header(self, name: str, value: str) -> str:
        """A header's value masked according to its name."""
        if _TIME.search(name):
            return "never" if value == "0" else "a time"
        if name.endswith("_port") and len(value) == 4 and value.startswith("50"):
            return value
        if _COUNT.search(name):
            return "a number"
        if _STAMP.search(name):
            return "varies"
        value = value.replace(";transport=UDP", "")
        value = re.sub(r"tag=[^>;]*", "tag=", value)
        value = re.sub(r"\b1[78]\d{8}:", "a time:", value)
        return self.text(value)

    def frame(self, frame: Frame) -> tuple[Headers, Headers, str]:
        """A frame masked."""
        outer, headers, body = frame
        masked = [(name, self.header(name, value)) for name, value in headers if name != "variable_sip_contact_params"]
        sized = {"text/event-plain", "text/event-json"}
        is_event = dict(outer)["Content-Type"] in sized
        shown = [(name, "n" if name == "Content-Length" and is_event else self.text(value)) for name, value in outer]
        return shown, masked, self.text(body)


def masked(data: bytes) -> list[tuple[Headers, Headers, str]]:
    """All frames, masked."""
    mask = Mask()
    return [mask.frame(frame) for frame in frames(data)]


def commands(data: bytes) -> list[bytes]:
    """What a client sent, cut into commands."""
    return [command + b"\n\n" for command in re.split(rb"(?<=[^\n\r])\r?\n\r?\n", data) if command.strip()]


def replay(
    client: bytes,
    *rules: Rule,
    waits: dict[int, float] | None = None,
    pause: float = 0.0,
    settle: float = 12.0,
    uptime: float = 0.0,
    **options: object,
) -> bytes:
    """What a simulated switch, up for `uptime` seconds, answers to what a client sent. After command number n the
    client waits `waits[n]` seconds, `pause` after all others, `settle` at the end."""
    clock = Clock()
    switch = simulated(clock, *rules, **options)
    clock.advance(uptime)
    caller = Client(switch)
    for number, command in enumerate(commands(client)):
        caller.send(command)
        _run(clock, (waits or {}).get(number, pause))
    _run(clock, settle)
    heard = caller.heard
    switch.stop()
    return heard


def _run(clock: Clock, seconds: float) -> None:
    clock.pump([0.01] * round(seconds * 100))
