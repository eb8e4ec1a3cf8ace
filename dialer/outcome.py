"""What the end of a call, or the refusal of an originate, means.

Which fields of FreeSWITCH's events tell the truth and which mislead was recorded from a real one; the tests hold this
against those events. Knows no socket: an event is whatever gives its fields by name.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Protocol

from attrs import field, frozen

LONGEST_RESULT = 40
"""Characters of `contacts.call_result`."""

KNOWN_RESULTS = frozenset(
    {
        # What the dialer itself says.
        *("Invalid Gateway", "EFSwitch Down", "Expired", "Invalid Contact", "UNKNOWN"),
        # The hangup causes that FreeSWITCH has for calls to the public network, and for its own reasons.
        *("UNALLOCATED_NUMBER", "NO_ROUTE_TRANSIT_NET", "NO_ROUTE_DESTINATION", "CHANNEL_UNACCEPTABLE"),
        *("NORMAL_CLEARING", "USER_BUSY", "NO_USER_RESPONSE", "NO_ANSWER", "SUBSCRIBER_ABSENT", "CALL_REJECTED"),
        *("NUMBER_CHANGED", "REDIRECTION_TO_NEW_DESTINATION", "EXCHANGE_ROUTING_ERROR", "DESTINATION_OUT_OF_ORDER"),
        *("INVALID_NUMBER_FORMAT", "FACILITY_REJECTED", "NORMAL_UNSPECIFIED", "NORMAL_CIRCUIT_CONGESTION"),
        *("NETWORK_OUT_OF_ORDER", "NORMAL_TEMPORARY_FAILURE", "SWITCH_CONGESTION", "REQUESTED_CHAN_UNAVAIL"),
        *("OUTGOING_CALL_BARRED", "INCOMING_CALL_BARRED", "BEARERCAPABILITY_NOTAUTH", "BEARERCAPABILITY_NOTAVAIL"),
        *("SERVICE_UNAVAILABLE", "SERVICE_NOT_IMPLEMENTED", "CHAN_NOT_IMPLEMENTED", "INCOMPATIBLE_DESTINATION"),
        *("RECOVERY_ON_TIMER_EXPIRE", "MANDATORY_IE_MISSING", "PROTOCOL_ERROR", "INTERWORKING"),
        *("ORIGINATOR_CANCEL", "LOSE_RACE", "MANAGER_REQUEST", "ALLOTTED_TIMEOUT", "MEDIA_TIMEOUT", "CRASH"),
        *("SYSTEM_SHUTDOWN", "USER_NOT_REGISTERED", "PROGRESS_TIMEOUT", "ATTENDED_TRANSFER", "PICKED_OFF"),
        *("GATEWAY_DOWN", "INVALID_PROFILE", "INVALID_URL", "DECLINE", "BLIND_TRANSFER", "NO_PICKUP", "DOES_NOT_EXIST"),
    }
)
"""The call results that are told apart when results are counted; what a switch says besides is anything at all."""

_UNKNOWN_COMMAND = re.compile(r"(?:JS)?originate Command not found!?", re.IGNORECASE)


class Fields(Protocol):
    """An event of the event socket: its decoded fields by name."""

    def get(self, name: str, /) -> str | None:
        """The value of a field, None when the event has no such field."""


@frozen
class CallEnd:
    """How a call ended. `cause` is the call result to store, `answered` and `bridged` whether it ever was.

    `rang` are the seconds until it was answered or else ended, `talked` those from the answer to the end; None when the
    event did not tell.
    """

    cause: str
    answered: bool
    bridged: bool
    rang: float | None = field(default=None, eq=False)
    talked: float | None = field(default=None, eq=False)


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
    began, answer, end = (_time(event, name) for name in ("Created", "Answered", "Hangup"))
    return CallEnd(
        cause if answered else _never_answered(cause),
        answered,
        bridged,
        rang=_between(began, answer if answered else end),
        talked=_between(answer, end) if answered else None,
    )


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


def _time(event: Fields, name: str) -> int:
    """A time of the channel in microseconds since 1970; 0 when it is not there."""
    text = event.get(f"Caller-Channel-{name}-Time") or ""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else 0


def _between(first: int, then: int) -> float | None:
    """The seconds between two times of one clock, which somebody may have set meanwhile."""
    return (then - first) / 1e6 if first and then >= first else None


def _result(text: str) -> str:
    """The text as a call result. It may be anything, and goes into rows, lines and cells that are one line each."""
    # First cut, then looked at: there may be megabytes of it. Upper case may be longer.
    plain = "".join(
        character if character.isprintable() else "?" for character in text.strip()[:LONGEST_RESULT].upper()
    )
    return plain[:LONGEST_RESULT].strip() or "UNKNOWN"


def _never_answered(cause: str) -> str:
    """Nobody cleared a call that nobody answered: it is NO_ANSWER to the campaign."""
    return "NO_ANSWER" if cause == "NORMAL_CLEARING" else cause
