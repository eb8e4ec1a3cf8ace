"""One leg of a call: what is known of it and how its events are written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from attrs import frozen

from .layout import Shape, channel_template, render_value, variables_of
from .phases import PHASES
from .wire import JSON, json_escape, url_encode

ENTRY_TIMES: Final = ("created", "profile", "answered", "bridged", "progress", "media", "hangup")
_STAMPED: Final = {
    "created": "start",
    "profile": "profile",
    "answered": "answer",
    "bridged": "bridge",
    "progress": "progress",
    "media": "media",
    "hangup": "end",
}
_SET_BY_SWITCH: Final = frozenset(
    line.partition(": ")[0] for phase in ("create", "create_agent") for line in PHASES[phase].strip().split("\n")
)
_EMPTY_AT_FIRST: Final = frozenset(
    {"app", "app_data", "cause", "dialplan", "network_addr", "rdnis", "transfer"}
    | {f"{shown}_stamp" for shown in _STAMPED.values()}
)
_AT_FIRST: Final = {
    **dict.fromkeys(_EMPTY_AT_FIRST, ""),
    **{f"{name}_us": "0" for name in ENTRY_TIMES},
    "callee_name": "Outbound Call",
    "context": "default",
    "hit_dialplan": "false",
    "profile_index": "1",
    "other_answered_us": "0",
    "other_created_us": "0",
    "other_number": "",
    "other_progress_us": "0",
}

PACKETS_PER_SECOND: Final = 50
BYTES_PER_PACKET: Final = 172


@frozen
class Peer:
    """Where a gateway sends its calls, and the switch's own address."""

    host: str
    port: int
    ip: str


@lru_cache(maxsize=512)
def stamp(second: int) -> str:
    """A Unix time as FreeSWITCH's `_stamp` variables show it; its zone is UTC here."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%d %H:%M:%S")


@lru_cache(maxsize=4096)
def _encoded(value: str) -> tuple[str, str]:
    """A value as plain events and as JSON ones carry it, the same object when it needs no encoding.

    Remembered, since a call gives the same few values to many slots.
    """
    return url_encode(value), json_escape(value)


class Channel:
    """A leg. Times are microseconds since 1970, 0 for never. It knows no clock and no switch."""

    __slots__ = (
        "_empty",
        "_in_json",
        "_in_plain",
        "_replaced",
        "_shape",
        "_variables",
        "_written",
        "agent",
        "phases",
        "slots",
        "times",
        "uuid",
    )

    def __init__(
        self,
        *,
        uuid: str,
        agent: bool,
        now: int,
        texts: Mapping[str, str],
        facts: Mapping[str, str],
        variables: Mapping[str, str],
    ) -> None:
        """`texts` are slots of any characters, `facts` those that need no encoding."""
        self.uuid = uuid
        self.agent = agent
        self.times = dict.fromkeys(ENTRY_TIMES, 0)
        self.phases: list[str] = []
        self.slots = {**_AT_FIRST, **facts}
        self._in_plain = {"callee_name": "Outbound%20Call"}
        self._in_json: dict[str, str] = {}
        self._empty = _EMPTY_AT_FIRST
        self._shape: Shape | None = None
        self._variables = dict(variables)
        self._written: dict[str, str] = {}
        self._replaced = _SET_BY_SWITCH.intersection(self._variables)
        self.set_texts({"uuid": uuid, **texts})
        self.mark("created", now)
        self.mark("profile", now)

    def set_texts(self, texts: Mapping[str, str]) -> None:
        """Give slots values of any characters."""
        for name, value in texts.items():
            self.slots[name] = value
            plain, in_json = _encoded(value)
            if plain is not value or name in self._in_plain:
                self._in_plain[name] = plain
            if in_json is not value or name in self._in_json:
                self._in_json[name] = in_json
            if (value == "") != (name in self._empty):
                self._empty = self._empty ^ {name}
                self._shape = None

    def mark(self, what: str, now: int) -> None:
        """Remember when something happened."""
        self.times[what] = now
        self.slots[f"{what}_us"] = str(now)

    def push(self, *phases: str) -> None:
        """Go through `phases`: their variables are set from now on."""
        self.phases.extend(phases)
        self._shape = None

    def state(self, state: str, number: int, call_state: str | None = None, answer_state: str | None = None) -> None:
        """The channel's state as the headers of its events give it."""
        self.slots["state"] = state
        self.slots["state_number"] = str(number)
        if call_state is not None:
            self.slots["call_state"] = call_state
        if answer_state is not None:
            self.slots["answer_state"] = answer_state

    def has(self, phase: str) -> bool:
        """Whether the channel went through `phase`."""
        return phase in self.phases

    def shape(self) -> Shape:
        """What decides which headers the channel has now."""
        if self._shape is None:
            self._shape = Shape(tuple(self.phases), self._empty, self._replaced)
        return self._shape

    def body(self, event: str, form: str) -> str:
        """The headers of `event` that come from the channel, written as `form` wants them."""
        encoded = self._in_json if form == JSON else self._in_plain
        slots = {**self.slots, **encoded, "variables": self._written_variables(form)}
        return channel_template(event, self.shape(), form).fill(slots)

    def _written_variables(self, form: str) -> str:
        """The dial string's variables, written once however many events carry them."""
        if form not in self._written:
            if form == JSON:
                members = (f',"variable_{json_escape(n)}":"{json_escape(v)}"' for n, v in self._variables.items())
                self._written[form] = "".join(members)
            else:
                lines = (f"variable_{name}: {url_encode(value)}\n" for name, value in self._variables.items())
                self._written[form] = "".join(lines)
        return self._written[form]

    def variable(self, name: str) -> str | None:
        """The value of a channel variable now; None when it has none."""
        if name in self._variables:
            return self._variables[name]
        value = variables_of(self.shape()).get(name)
        return None if value is None else render_value(value, self.slots)

    def inherited(self) -> dict[str, str]:
        """The variables that a leg called from this one takes over: those that become SIP headers."""
        return {name: value for name, value in self._variables.items() if name.startswith("sip_h_")}

    def close(self, now: int) -> None:
        """Fill the slots of the summary that the end of a call shows."""
        self.mark("hangup", now)
        times, stamps = self.times, {}
        for name, shown in _STAMPED.items():
            second = times[name] // 1_000_000
            self.slots[f"{shown}_epoch"] = str(second)
            if second:
                stamps[f"{shown}_stamp"] = stamp(second)
        self.set_texts(stamps)
        created, answered = times["created"], times["answered"]
        self._span("duration", "mduration", "uduration", created, now)
        for name, start, end in (
            ("bill", answered, now),
            ("progress", created, times["progress"]),
            ("answer", created, answered),
            ("wait", created, times["bridged"]),
            ("media", created, times["media"]),
            ("flow", created if answered else 0, now),
        ):
            self._span(f"{name}sec", f"{name}msec", f"{name}usec", start, end)
        packets = (now - (times["media"] or times["answered"] or now)) * PACKETS_PER_SECOND // 1_000_000
        sent = 0 if self.agent or times["bridged"] else packets
        self.slots.update(packets=str(packets), sent=str(sent), sent_bytes=str(sent * BYTES_PER_PACKET))
        caller = self.slots["caller_name"]
        self.set_texts({"caller_display": f'"{caller}" ' if caller else ""})

    def _span(self, seconds: str, milliseconds: str, microseconds: str, start: int, end: int) -> None:
        """Fill three slots with the time between two moments, each cut to its unit before they are subtracted."""
        if not start or not end:
            start = end = 0
        self.slots[seconds] = str(end // 1_000_000 - start // 1_000_000)
        self.slots[milliseconds] = str(end // 1000 - start // 1000)
        self.slots[microseconds] = str(end - start)

    def row(self) -> dict[str, str]:
        """The channel as a row of `show channels`, without the switch's name."""
        slots = self.slots
        media = self.has("answer") or self.has("early")
        codec = ("PCMU", "8000", "64000") if media else ("", "", "")
        flipped = self.has("routed") or self.has("executed")
        bridged = self.has("bridged") or self.has("bridged_agent")
        return {
            "uuid": self.uuid,
            "direction": "outbound",
            "created": stamp(self.times["created"] // 1_000_000),
            "created_epoch": str(self.times["created"] // 1_000_000),
            "name": slots["channel"],
            "state": slots["state"],
            "cid_name": slots["caller_name"],
            "cid_num": slots["caller_number"],
            "ip_addr": slots["network_addr"],
            "dest": slots["destination"],
            "application": slots["app"],
            "application_data": slots["app_data"],
            "dialplan": slots["dialplan"],
            "context": slots["context"],
            "read_codec": codec[0],
            "read_rate": codec[1],
            "read_bit_rate": codec[2],
            "write_codec": codec[0],
            "write_rate": codec[1],
            "write_bit_rate": codec[2],
            "secure": "",
            "hostname": "",
            "presence_id": "",
            "presence_data": "",
            "accountcode": "",
            "callstate": slots["call_state"],
            "callee_name": slots["callee_name"],
            "callee_num": slots["callee_number"],
            "callee_direction": "SEND" if bridged else "RECV" if flipped else "",
            "call_uuid": slots["shown_call_uuid"],
            "sent_callee_name": "Outbound Call" if bridged else "",
            "sent_callee_num": slots["other_number"] if bridged else "",
            "initial_cid_name": slots["from_name"] if self.agent else slots["cid_name"],
            "initial_cid_num": slots["from_number"] if self.agent else slots["cid_number"],
            "initial_ip_addr": slots["ip"] if self.agent else "",
            "initial_dest": slots["number"],
            "initial_dialplan": slots["dialplan"] if self.agent else "",
            "initial_context": slots["context"] if self.agent else "default",
        }

    def dump(self) -> dict[str, str]:
        """The channel's headers and variables decoded, for `uuid_dump`."""
        members = self.body("CHANNEL_DATA", JSON)
        headers: dict[str, str] = json.loads("{" + members.lstrip(",") + "}")
        return headers
