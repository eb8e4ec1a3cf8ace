"""The names of events, and the headers that every event starts with."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from attrs import frozen

from .wire import JSON, json_escape, url_encode

CALLING: Final[dict[str, tuple[str, str, int]]] = {
    "API": ("switch_loadable_module.c", "switch_api_execute", 3140),
    "BACKGROUND_JOB": ("mod_event_socket.c", "api_exec", 1580),
    "CHANNEL_ANSWER": ("switch_channel.c", "switch_channel_perform_mark_answered", 3848),
    "CHANNEL_BRIDGE": ("switch_ivr_bridge.c", "switch_ivr_multi_threaded_bridge", 1689),
    "CHANNEL_CREATE": ("switch_core_state_machine.c", "switch_core_session_run", 626),
    "CHANNEL_DATA": ("mod_commands.c", "uuid_dump_function", 6495),
    "CHANNEL_DESTROY": ("switch_core_session.c", "switch_core_session_perform_destroy", 1588),
    "CHANNEL_HANGUP": ("switch_channel.c", "switch_channel_perform_hangup", 3447),
    "CHANNEL_HANGUP_COMPLETE": ("switch_core_state_machine.c", "switch_core_session_reporting_state", 943),
    "CHANNEL_ORIGINATE": ("switch_core_state_machine.c", "switch_core_session_run", 632),
    "CHANNEL_OUTGOING": ("switch_core_session.c", "switch_core_session_outgoing_channel", 768),
    "CHANNEL_PROGRESS": ("switch_channel.c", "switch_channel_perform_mark_ring_ready_value", 3507),
    "CHANNEL_PROGRESS_MEDIA": ("switch_channel.c", "switch_channel_perform_mark_pre_answered", 3560),
    "CHANNEL_UNBRIDGE": ("switch_ivr_bridge.c", "switch_ivr_multi_threaded_bridge", 1879),
    "CUSTOM": ("sofia_reg.c", "sofia_reg_fire_custom_gateway_state_event", 156),
    "HEARTBEAT": ("switch_core.c", "send_heartbeat", 95),
    "SHUTDOWN": ("switch_core.c", "switch_core_destroy", 3033),
}
"""The events that the simulator fires, and where FreeSWITCH's source fires them."""

KNOWN: Final = frozenset(
    [
        "CUSTOM",
        "CLONE",
        "CHANNEL_CREATE",
        "CHANNEL_DESTROY",
        "CHANNEL_STATE",
        "CHANNEL_CALLSTATE",
        "CHANNEL_ANSWER",
        "CHANNEL_HANGUP",
        "CHANNEL_HANGUP_COMPLETE",
        "CHANNEL_EXECUTE",
        "CHANNEL_EXECUTE_COMPLETE",
        "CHANNEL_HOLD",
        "CHANNEL_UNHOLD",
        "CHANNEL_BRIDGE",
        "CHANNEL_UNBRIDGE",
        "CHANNEL_PROGRESS",
        "CHANNEL_PROGRESS_MEDIA",
        "CHANNEL_OUTGOING",
        "CHANNEL_PARK",
        "CHANNEL_UNPARK",
        "CHANNEL_APPLICATION",
        "CHANNEL_ORIGINATE",
        "CHANNEL_UUID",
        "API",
        "LOG",
        "INBOUND_CHAN",
        "OUTBOUND_CHAN",
        "STARTUP",
        "SHUTDOWN",
        "SHUTDOWN_REQUESTED",
        "PUBLISH",
        "UNPUBLISH",
        "TALK",
        "NOTALK",
        "SESSION_CRASH",
        "MODULE_LOAD",
        "MODULE_UNLOAD",
        "DTMF",
        "MESSAGE",
        "PRESENCE_IN",
        "NOTIFY_IN",
        "PRESENCE_OUT",
        "PRESENCE_PROBE",
        "MESSAGE_WAITING",
        "MESSAGE_QUERY",
        "ROSTER",
        "CODEC",
        "BACKGROUND_JOB",
        "DETECTED_SPEECH",
        "DETECTED_TONE",
        "PRIVATE_COMMAND",
        "HEARTBEAT",
        "TRAP",
        "ADD_SCHEDULE",
        "DEL_SCHEDULE",
        "EXE_SCHEDULE",
        "RE_SCHEDULE",
        "RELOADXML",
        "NOTIFY",
        "PHONE_FEATURE",
        "PHONE_FEATURE_SUBSCRIBE",
        "SEND_MESSAGE",
        "RECV_MESSAGE",
        "REQUEST_PARAMS",
        "CHANNEL_DATA",
        "GENERAL",
        "COMMAND",
        "SESSION_HEARTBEAT",
        "CLIENT_DISCONNECTED",
        "SERVER_DISCONNECTED",
        "SEND_INFO",
        "RECV_INFO",
        "RECV_RTCP_MESSAGE",
        "SEND_RTCP_MESSAGE",
        "CALL_SECURE",
        "NAT",
        "RECORD_START",
        "RECORD_STOP",
        "PLAYBACK_START",
        "PLAYBACK_STOP",
        "CALL_UPDATE",
        "FAILURE",
        "SOCKET_DATA",
        "MEDIA_BUG_START",
        "MEDIA_BUG_STOP",
        "CONFERENCE_DATA_QUERY",
        "CONFERENCE_DATA",
        "CALL_SETUP_REQ",
        "CALL_SETUP_RESULT",
        "CALL_DETAIL",
        "DEVICE_STATE",
        "TEXT",
        "ALL",
    ]
)
"""Every event name that FreeSWITCH accepts in `event` and `nixevent`."""


@frozen
class Identity:
    """What a switch says of itself in each event."""

    core_uuid: str
    hostname: str = "efswitch"
    switchname: str = "efswitch"
    ipv4: str = "127.0.0.1"
    ipv6: str = "::1"

    def headers(self) -> dict[str, str]:
        """The headers of each event, in order, without the times."""
        return {
            "Core-UUID": self.core_uuid,
            "FreeSWITCH-Hostname": self.hostname,
            "FreeSWITCH-Switchname": self.switchname,
            "FreeSWITCH-IPv4": self.ipv4,
            "FreeSWITCH-IPv6": self.ipv6,
        }


def write(headers: dict[str, str], form: str) -> str:
    """Headers as lines, or as JSON members each with a comma before it."""
    if form == JSON:
        return "".join(f',"{json_escape(name)}":"{json_escape(value)}"' for name, value in headers.items())
    return "".join(f"{name}: {url_encode(value)}\n" for name, value in headers.items())


_SOURCE: Final = {
    (event, form): write(
        {"Event-Calling-File": file, "Event-Calling-Function": function, "Event-Calling-Line-Number": str(line)}, form
    )
    for event, (file, function, line) in CALLING.items()
    for form in ("plain", JSON)
}


class Envelopes:
    """Numbers events and writes what stands before their own headers. `now` gives microseconds since 1970."""

    def __init__(self, identity: Identity, now: Callable[[], int]) -> None:
        self._now = now
        self.sequence = 0
        self.rename(identity)

    def rename(self, identity: Identity) -> None:
        """Speak as `identity` from now on."""
        self.identity = identity
        self._second = -1
        self._dated: dict[str, str] = {}

    def next(self) -> int:
        """The number of the next event."""
        self.sequence += 1
        return self.sequence

    def head(self, event: str, form: str, sequence: int, subclass: str = "") -> str:
        """The headers up to and with `Event-Sequence`."""
        now = self._now()
        second = now // 1_000_000
        if second != self._second:
            self._second = second
            at = datetime.fromtimestamp(second, UTC)
            dated = {
                **self.identity.headers(),
                "Event-Date-Local": at.strftime("%Y-%m-%d %H:%M:%S"),
                "Event-Date-GMT": at.strftime("%a, %d %b %Y %H:%M:%S GMT"),
            }
            self._dated = {each: write(dated, each) for each in ("plain", JSON)}
        dated_text, source = self._dated[form], _SOURCE[event, form]
        if form == JSON:
            first = f'"Event-Subclass":"{json_escape(subclass)}",' if subclass else ""
            return (
                f'{{{first}"Event-Name":"{event}"{dated_text},"Event-Date-Timestamp":"{now}"{source}'
                f',"Event-Sequence":"{sequence}"'
            )
        first = f"Event-Subclass: {url_encode(subclass)}\n" if subclass else ""
        return (
            f"{first}Event-Name: {event}\n{dated_text}Event-Date-Timestamp: {now}\n{source}Event-Sequence: {sequence}\n"
        )
