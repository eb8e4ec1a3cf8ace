"""Templates of channel events: which headers an event has, in which order, made once for each shape of channel."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from attrs import frozen

from .phases import PHASES
from .wire import JSON, json_escape, url_encode

_SLOT = re.compile(r"\{(\w+)\}")

_STATE: Final = """
Channel-State: {state}
Channel-Call-State: {call_state}
Channel-State-Number: {state_number}
Channel-Name: {channel}
Unique-ID: {uuid}
Call-Direction: outbound
Presence-Call-Direction: outbound
Channel-HIT-Dialplan: {hit_dialplan}
Channel-Call-UUID: {shown_call_uuid}
Answer-State: {answer_state}
Hangup-Cause: {cause}
"""

_CODEC: Final = """
Channel-Read-Codec-Name: PCMU
Channel-Read-Codec-Rate: 8000
Channel-Read-Codec-Bit-Rate: 64000
Channel-Write-Codec-Name: PCMU
Channel-Write-Codec-Rate: 8000
Channel-Write-Codec-Bit-Rate: 64000
"""

_CALLER: Final = """
Caller-Direction: outbound
Caller-Logical-Direction: outbound
Caller-Dialplan: {dialplan}
Caller-Caller-ID-Name: {caller_name}
Caller-Caller-ID-Number: {caller_number}
Caller-Orig-Caller-ID-Name: {cid_name}
Caller-Orig-Caller-ID-Number: {cid_number}
Caller-Callee-ID-Name: {callee_name}
Caller-Callee-ID-Number: {callee_number}
Caller-Network-Addr: {network_addr}
Caller-ANI: {cid_number}
Caller-Destination-Number: {destination}
Caller-Unique-ID: {uuid}
Caller-Source: src/switch_ivr_originate.c
Caller-Transfer-Source: {transfer}
Caller-Context: {context}
Caller-RDNIS: {rdnis}
Caller-Channel-Name: {channel}
Caller-Profile-Index: {profile_index}
Caller-Profile-Created-Time: {profile_us}
Caller-Channel-Created-Time: {created_us}
Caller-Channel-Answered-Time: {answered_us}
Caller-Channel-Progress-Time: {progress_us}
Caller-Channel-Progress-Media-Time: {media_us}
Caller-Channel-Hangup-Time: {hangup_us}
Caller-Channel-Transfer-Time: 0
Caller-Channel-Resurrect-Time: 0
Caller-Channel-Bridged-Time: {bridged_us}
Caller-Channel-Last-Hold: 0
Caller-Channel-Hold-Accum: 0
Caller-Screen-Bit: true
Caller-Privacy-Hide-Name: false
Caller-Privacy-Hide-Number: false
"""

_OTHER: Final = """
Other-Type: {other_type}
Other-Leg-Direction: outbound
Other-Leg-Logical-Direction: inbound
Other-Leg-Dialplan: {other_dialplan}
Other-Leg-Caller-ID-Name: Outbound Call
Other-Leg-Caller-ID-Number: {other_caller_number}
Other-Leg-Orig-Caller-ID-Name: {cid_name}
Other-Leg-Orig-Caller-ID-Number: {cid_number}
Other-Leg-Callee-ID-Name: {other_callee_name}
Other-Leg-Callee-ID-Number: {other_callee_number}
Other-Leg-Network-Addr: {ip}
Other-Leg-ANI: {cid_number}
Other-Leg-Destination-Number: {other_destination}
Other-Leg-Unique-ID: {other_uuid}
Other-Leg-Source: src/switch_ivr_originate.c
Other-Leg-Context: {other_context}
Other-Leg-RDNIS: {other_rdnis}
Other-Leg-Channel-Name: {other_channel}
Other-Leg-Profile-Created-Time: {other_created_us}
Other-Leg-Channel-Created-Time: {other_created_us}
Other-Leg-Channel-Answered-Time: {other_answered_us}
Other-Leg-Channel-Progress-Time: {other_progress_us}
Other-Leg-Channel-Progress-Media-Time: 0
Other-Leg-Channel-Hangup-Time: 0
Other-Leg-Channel-Transfer-Time: 0
Other-Leg-Channel-Resurrect-Time: 0
Other-Leg-Channel-Bridged-Time: 0
Other-Leg-Channel-Last-Hold: 0
Other-Leg-Channel-Hold-Accum: 0
Other-Leg-Screen-Bit: true
Other-Leg-Privacy-Hide-Name: false
Other-Leg-Privacy-Hide-Number: false
"""

_FIRST: Final = {
    "CHANNEL_HANGUP_COMPLETE": "Hangup-Cause: {cause}",
    "CHANNEL_BRIDGE": "Bridge-A-Unique-ID: {uuid}\nBridge-B-Unique-ID: {other_uuid}",
    "CHANNEL_UNBRIDGE": "Bridge-A-Unique-ID: {uuid}\nBridge-B-Unique-ID: {other_uuid}",
}
"""What an event has before the headers that all channel events have."""

_WITHOUT_VARIABLES: Final = frozenset({"CHANNEL_OUTGOING", "CHANNEL_STATE"})


class Template:
    """Text with slots, cut into pieces once so that filling it is one join; some events have 150 slots."""

    __slots__ = ("_names", "_pieces")

    def __init__(self, text: str) -> None:
        self._pieces = _SLOT.split(text)
        self._names = tuple(self._pieces[1::2])

    def fill(self, slots: Mapping[str, str]) -> str:
        """The text with the slots' values, which must be encoded already."""
        pieces = self._pieces.copy()
        pieces[1::2] = [slots[name] for name in self._names]
        return "".join(pieces)


@frozen(slots=True)
class Shape:
    """All of a channel that decides which headers it has: the phases it went through, the slots that are empty, and
    the names of its dial string's variables when one of them is the name of a variable that FreeSWITCH sets too."""

    phases: tuple[str, ...]
    empty: frozenset[str]
    replaced: frozenset[str] = frozenset()


def _lines(text: str) -> list[tuple[str, str]]:
    """`name: value` lines as pairs; a line without a value is a marker."""
    pairs = []
    for line in text.strip().split("\n"):
        if line:
            name, _, value = line.partition(": ")
            pairs.append((name, value.replace(r"\r\n", "\r\n")))
    return pairs


@lru_cache(maxsize=2048)
def variables_of(shape: Shape) -> dict[str, str]:
    """The variables of a channel as name to value with `{slot}`s, in wire order; `*` for those of the dial string."""
    variables: dict[str, str] = {}
    for phase in shape.phases:
        for name, value in _lines(PHASES[phase]):
            if name.startswith("-"):
                variables.pop(name[1:], None)
                continue
            variables.pop(name, None)
            slot = _SLOT.fullmatch(value)
            if name in shape.replaced and phase.startswith("create"):
                continue
            if name == "*" or slot is None or slot[1] not in shape.empty:
                variables[name] = value
    return variables


@lru_cache(maxsize=4096)
def channel_template(event: str, shape: Shape, form: str) -> Template:
    """What follows `Event-Sequence` in a channel event: plain lines, or JSON members each with a comma before it.

    Remembered: a few dozen shapes occur, however many calls there are.
    """
    phases = set(shape.phases)
    headers = _lines(_FIRST[event]) if event in _FIRST else []
    headers += _lines(_STATE)
    if phases & {"answer", "early"}:
        headers += _lines(_CODEC)
    headers += _lines(_CALLER)
    if phases & {"create_agent", "agent_answered"}:
        headers += _lines(_OTHER)
    pairs = []
    for name, value in headers:
        slot = _SLOT.fullmatch(value)
        if slot is None or slot[1] not in shape.empty:
            pairs.append((name, value))
    if event not in _WITHOUT_VARIABLES:
        pairs += [(name if name == "*" else f"variable_{name}", value) for name, value in variables_of(shape).items()]
    return Template("".join("{variables}" if name == "*" else _line(name, value, form) for name, value in pairs))


def _line(name: str, value: str, form: str) -> str:
    """One header, the text between its slots encoded."""
    encode = json_escape if form == JSON else url_encode
    parts = _SLOT.split(value)
    written = "".join(f"{{{part}}}" if index % 2 else encode(part) for index, part in enumerate(parts))
    return f',"{json_escape(name)}":"{written}"' if form == JSON else f"{name}: {written}\n"


def render_value(value: str, slots: Mapping[str, str]) -> str:
    """One variable of `variables_of` with its slots filled, not encoded."""
    return _SLOT.sub(lambda match: slots[match[1]], value)
