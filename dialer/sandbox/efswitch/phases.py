"""The variables that each step of a call gives a channel, in the order a real FreeSWITCH sets them.

A channel's variables are the sum of its phases: setting a variable again moves it to the end, a line `-name` removes
it. `{slot}` is filled from the channel, `\\r\\n` stands for the two characters, and a line whose whole value is an
empty slot is left out, as FreeSWITCH has no empty variables. `*` is where the variables of the dial string stand.
"""

from __future__ import annotations

from typing import Final

from .blocks import (
    BRIDGED,
    CREATE,
    CREATE_AGENT,
    DIALOG,
    ENDED,
    EXECUTED,
    MEDIA,
    NETWORK,
    OK_BYE,
    REFUSED,
    ROUTED,
    RTP,
    remote_sdp,
)

PHASES: Final[dict[str, str]] = {
    # The INVITE
    "create": CREATE,
    "create_agent": CREATE_AGENT,
    # 180, 183 with media, 200
    "ring": NETWORK + DIALOG,
    "early": DIALOG
    + MEDIA.replace(
        "remote_audio_media_flow: sendrecv", "remote_audio_media_flow: sendrecv\naudio_media_flow: sendrecv"
    ),
    "early_marked": "endpoint_disposition: EARLY MEDIA",
    "dialog": NETWORK + DIALOG,
    "answer": MEDIA,
    "answered": "endpoint_disposition: ANSWER",
    "answered_agent": "endpoint_disposition: ANSWER\ncall_uuid: {other_uuid}",
    # A refusal before or after any other answer, and one by the network instead of the peer
    "first_reply": "sip_call_id: {call_id}",
    "refused": NETWORK + REFUSED,
    "unreachable": r"""
sip_call_id: {call_id}
sip_local_network_addr: {ip}
sip_reply_port: 0
sip_network_port: 0
"""
    + REFUSED,
    # The dialplan
    "routed": ROUTED + EXECUTED,
    "unroutable": ROUTED + "call_uuid: {uuid}",
    "executed": EXECUTED,
    "application": """
-current_application_data
current_application_data: {app_data}
current_application: {app}
""",
    "played": r"""
-current_application_data
-current_application
playback_last_offset_pos: 16000
playback_seconds: 2
playback_ms: 2000
playback_samples: 16000
current_application: hangup
""",
    "playback_broken": r"""
playback_last_offset_pos: 8000
playback_seconds: 2
playback_ms: 2000
playback_samples: 16000
current_application_response: PLAYBACK ERROR
""",
    # The customer's leg while it calls the agent
    "agent_dialed": r"""
originate_signal_bond: {other_uuid}
originated_legs: {other_uuid};Outbound Call;{other_number}
""",
    "agent_answered": "-originate_signal_bond\nswitch_m_sdp: "
    + remote_sdp("{other_remote_port}")
    + r"""
video_media_flow: inactive
text_media_flow: inactive
audio_media_flow: sendrecv
originate_disposition: SUCCESS
DIALSTATUS: SUCCESS
originate_causes: {other_uuid};NONE
signal_bond: {other_uuid}
""",
    "agent_refused": r"""
sip_invite_failure_status: {other_sip_status}
sip_invite_failure_phrase: {other_sip_phrase}
sip_hangup_phrase: {other_sip_phrase}
last_bridge_hangup_cause: {other_cause}
last_bridge_proto_specific_hangup_cause: sip:{other_sip_status}
""",
    "agent_failed": r"""
originate_disposition: {other_cause}
DIALSTATUS: {dialstatus}
originate_causes: {other_uuid};{other_cause}
originate_failed_cause: {other_cause}
""",
    "bridged": "bridge_to: {other_uuid}\n" + BRIDGED,
    "bridged_agent": BRIDGED,
    # Who said goodbye
    "bye_in_bridge": OK_BYE + "last_bridge_role: originator",
    "bye_in_bridge_agent": OK_BYE + "last_bridge_role: originatee",
    "bye": OK_BYE,
    "recv_bye": "sip_hangup_disposition: recv_bye",
    "other_bye": r"""
sip_hangup_phrase: OK
last_bridge_hangup_cause: {other_cause}
last_bridge_proto_specific_hangup_cause: sip:200
""",
    "other_killed": "last_bridge_hangup_cause: {other_cause}",
    "role": "last_bridge_role: originator",
    "role_agent": "last_bridge_role: originatee",
    "unbridged": "-bridge_to",
    "bridge_cause": "bridge_hangup_cause: {bridge_cause}",
    "dialplan_hangup": r"""
-current_application_data
-current_application
current_application: hangup
""",
    "ended": ENDED,
    "send_bye": "sip_hangup_disposition: send_bye",
    "send_cancel": r"""
sip_hangup_disposition: send_cancel
sip_invite_failure_status: 487
sip_invite_failure_phrase: CANCEL
""",
    "own_call": "call_uuid: {uuid}",
    "rtp": RTP,
}
"""Phase name to its variables."""
