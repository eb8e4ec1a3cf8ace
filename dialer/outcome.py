"""What the end of a call, or the refusal of an originate, means.

Which fields of FreeSWITCH's events tell the truth and which mislead was recorded from a real one; the tests hold this
against those events. Knows no socket: an event is whatever gives its fields by name.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Protocol

from attrs import frozen

LONGEST_RESULT = 40
"""Characters of `contacts.call_result`."""

_UNKNOWN_COMMAND = re.compile(r"(?:JS)?originate Command not found!?", re.IGNORECASE)


class Fields(Protocol):
    """An event of the event socket: its decoded fields by name."""

    def get(self, name: str, /) -> str | None:
        """The value of a field, None when the event has no such field."""


@frozen
class CallEnd:
    """How a call ended. `cause` is the call result to store, `answered` and `bridged` whether it ever was."""

    cause: str
    answered: bool
    bridged: bool


class RefusalKind(Enum):
    """What an originate that left no channel asks of the dialer."""

    INVALID_GATEWAY = "EFSwitch has no such gateway"
    GATEWAY_DOWN = "the gateway is down"
    OVER_LIMITS = "EFSwitch is over its own limits, paused, or has that call already"
    UNKNOWN_COMMAND = "EFSwitch does not have the originate command"
    OTHER = "the call failed"


@frozen
class Refusal:
    """Why an originate failed. `result` is its cause or text, fit to be stored as the call result."""

    kind: RefusalKind
    result: str


_KINDS = {
    "INVALID_GATEWAY": RefusalKind.INVALID_GATEWAY,
    "GATEWAY_DOWN": RefusalKind.GATEWAY_DOWN,
    "DESTINATION_OUT_OF_ORDER": RefusalKind.OVER_LIMITS,
}


def end_of_call(event: Fields) -> CallEnd:
    """What a CHANNEL_HANGUP_COMPLETE of the customer's leg says.

    A call was answered, or bridged, when one of the times of it is set. The times of a bridge belong to the leg's
    latest caller profile, a transfer starts a new one; the peer's id stays, and is never there without a bridge.
    Not looked at, as they mislead: `originated_legs`, `originate_causes`, `last_bridge_hangup_cause`,
    `originate_disposition`, `DIALSTATUS`, `billsec`, and the cause, which is NORMAL_CLEARING in all cases.
    """
    answered = (
        _is_set(event, "Caller-Channel-Answered-Time")
        or _is_set(event, "variable_answer_epoch")
        or event.get("variable_endpoint_disposition") == "ANSWER"
    )
    bridged = (
        _is_set(event, "Caller-Channel-Bridged-Time")
        or _is_set(event, "variable_bridge_epoch")
        or bool(event.get("variable_bridge_uuid"))
    )
    cause = _result(event.get("Hangup-Cause") or event.get("variable_hangup_cause") or "")
    return CallEnd(cause if answered else _never_answered(cause), answered, bridged)


def needs_end_chat(contact_is_agent: bool, end: CallEnd) -> bool:
    """Whether the reserved agent must be released: the customer answered, and was gone before the bridge."""
    return contact_is_agent and end.answered and not end.bridged


def refusal(job_body: str) -> Refusal | None:
    """What the body of an originate's BACKGROUND_JOB says; None when it was not refused.

    FreeSWITCH starts every refusal with `-` (`-ERR cause`, `-USAGE: ...`). Any other body than `+OK uuid` is not known
    to mean anything: then the call is left to its events, and to reconciling, rather than given up.
    """
    text = job_body.strip()
    if not text.startswith("-"):
        return None
    while text.startswith("-"):
        text = text[1:].removeprefix("ERR").strip()
    if _UNKNOWN_COMMAND.fullmatch(text):
        return Refusal(RefusalKind.UNKNOWN_COMMAND, _result(text))
    result = _never_answered(_result(text))
    return Refusal(_KINDS.get(result, RefusalKind.OTHER), result)


def wire_result(call_result: str) -> str:
    """A call result in the form that the voice connector gets: `Invalid Gateway` as `INVALID_GATEWAY`."""
    return call_result.upper().replace(" ", "_")


def _is_set(event: Fields, name: str) -> bool:
    """Whether a time is there and not 0 (microseconds or seconds since 1970)."""
    return (event.get(name) or "").strip("0 ") != ""


def _result(text: str) -> str:
    return text.strip().upper()[:LONGEST_RESULT].strip() or "UNKNOWN"


def _never_answered(cause: str) -> str:
    """Nobody cleared a call that nobody answered: it is NO_ANSWER to the campaign."""
    return "NO_ANSWER" if cause == "NORMAL_CLEARING" else cause
