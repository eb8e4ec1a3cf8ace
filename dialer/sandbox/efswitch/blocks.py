"""Variables that several phases set together, in the order and the wording of a real FreeSWITCH; see `phases`."""

from __future__ import annotations

LOCAL_SDP = (
    r"v=0\r\no=FreeSWITCH {sdp_id} {sdp_version} IN IP4 {ip}\r\ns=FreeSWITCH\r\nc=IN IP4 {ip}\r\nt=0 0\r\n"
    r"m=audio {rtp_port} RTP/AVP "
)
CUSTOMER_SDP = LOCAL_SDP + (
    r"0 8 101 13\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\n"
    r"a=fmtp:101 0-15\r\na=rtpmap:13 CN/8000\r\na=ptime:20\r\na=sendrecv\r\n"
)
AGENT_SDP = LOCAL_SDP + (
    r"0 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\n"
    r"a=sendrecv\r\n"
)


def remote_sdp(port: str) -> str:
    """The description of the media that the far side of a leg offers at `port`."""
    return (
        r"v=0\r\no=u 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio "
        + port
        + r" RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
    )


PROFILE = r"""
rtp_local_sdp_str: {sdp}
sip_outgoing_contact_uri: <sip:gw+{gateway}@{ip}:5080;transport=udp;gw={gateway}>
sip_req_uri: {number}@{peer}
sip_to_host: {peer}
sip_from_host: {ip}
sofia_profile_name: external
recovery_profile_name: external
sofia_profile_url: sip:mod_sofia@{ip}:5080
"""

CREATE = r"""
direction: outbound
is_outbound: true
uuid: {uuid}
call_uuid: {uuid}
session_id: {session}
sip_gateway_name: {gateway}
sip_local_network_addr: {ip}
sip_profile_name: gateway
video_media_flow: disabled
text_media_flow: disabled
channel_name: {channel}
sip_destination_url: sip:{number}@{peer}
*
originate_early_media: {early_media}
originate_endpoint: sofia
rtp_use_codec_string: PCMU,PCMA
local_media_ip: {ip}
local_media_port: {rtp_port}
advertised_media_ip: {ip}
audio_media_flow: sendrecv
""" + PROFILE.replace("{sdp}", CUSTOMER_SDP)

CREATE_AGENT = (
    r"""
direction: outbound
is_outbound: true
uuid: {uuid}
session_id: {session}
sip_gateway_name: {gateway}
sip_local_network_addr: {ip}
sip_profile_name: gateway
text_media_flow: disabled
channel_name: {channel}
sip_destination_url: sip:{number}@{peer}
*
max_forwards: 69
originator_codec: PCMU@8000h@20i
originator: {other_uuid}
signal_bond: {other_uuid}
switch_m_sdp: """
    + remote_sdp("{other_remote_port}")
    + r"""
call_uuid: {other_uuid}
ignore_early_media: true
originate_early_media: false
originating_leg_uuid: {other_uuid}
originate_endpoint: sofia
rtp_use_codec_string: PCMU@8000h@20i
local_media_ip: {ip}
local_media_port: {rtp_port}
advertised_media_ip: {ip}
audio_media_flow: sendrecv
video_media_flow: inactive
"""
    + PROFILE.replace("{sdp}", AGENT_SDP)
)

NETWORK = r"""
sip_local_network_addr: {ip}
sip_reply_host: {peer_host}
sip_reply_port: {peer_port}
sip_network_ip: {peer_host}
sip_network_port: {peer_port}
"""

DIALOG = r"""
sip_recover_contact: <sip:{peer};transport=UDP>
sip_full_via: SIP/2.0/UDP {ip}:5080;rport;branch={branch}
sip_recover_via: SIP/2.0/UDP {ip}:5080;rport;branch={branch}
sip_from_display: {from_name}
sip_full_from: {from_display}<sip:{from_number}@{ip}>;tag={from_tag}
sip_full_to: <sip:{number}@{peer}>;tag={to_tag}
sip_from_user: {from_number}
sip_from_uri: {from_number}@{ip}
sip_from_host: {ip}
sip_to_user: {to_user}
sip_to_port: {peer_port}
sip_to_uri: {to_user}@{peer}
sip_to_host: {peer_host}
sip_contact_params: transport=UDP
sip_contact_user: nobody
sip_contact_port: {peer_port}
sip_contact_uri: nobody@{peer}
sip_contact_host: {peer_host}
sip_to_tag: {to_tag}
sip_from_tag: {from_tag}
sip_cseq: {cseq}
sip_call_id: {call_id}
"""

MEDIA = (
    "switch_r_sdp: "
    + remote_sdp("{remote_port}")
    + r"""
ep_codec_string: CORE_PCM_MODULE.PCMU@8000h@20i@64000b
rtp_use_codec_string: {codecs}
remote_video_media_flow: inactive
remote_text_media_flow: inactive
remote_audio_media_flow: sendrecv
rtp_audio_recv_pt: 0
rtp_use_codec_name: PCMU
rtp_use_codec_rate: 8000
rtp_use_codec_ptime: 20
rtp_use_codec_channels: 1
rtp_last_audio_codec_string: PCMU@8000h@20i@1c
read_codec: PCMU
original_read_codec: PCMU
read_rate: 8000
original_read_rate: 8000
write_codec: PCMU
write_rate: 8000
dtmf_type: info
local_media_ip: {ip}
local_media_port: {rtp_port}
advertised_media_ip: {ip}
rtp_use_timer_name: soft
rtp_use_pt: 0
rtp_use_ssrc: {ssrc}
remote_media_ip: {ip}
remote_media_port: {remote_port}
"""
)

REFUSED = r"""
sip_hangup_disposition: recv_refuse
sip_invite_failure_status: {sip_status}
sip_invite_failure_phrase: {sip_phrase}
sip_term_status: {sip_status}
proto_specific_hangup_cause: sip:{sip_status}
sip_term_cause: {q850}
"""

OK_BYE = r"""
sip_term_status: 200
proto_specific_hangup_cause: sip:200
sip_term_cause: 16
"""

ROUTED = r"""
max_forwards: 70
transfer_history: {transfer}
transfer_source: {transfer}
"""

EXECUTED = r"""
pre_transfer_caller_id_name: {cid_name}
pre_transfer_caller_id_number: {from_number}
channel_cid_flipped: yes
call_uuid: {uuid}
"""

ENDED = r"""
hangup_cause: {cause}
hangup_cause_q850: {q850}
digits_dialed: none
start_stamp: {start_stamp}
profile_start_stamp: {profile_stamp}
answer_stamp: {answer_stamp}
bridge_stamp: {bridge_stamp}
progress_stamp: {progress_stamp}
progress_media_stamp: {media_stamp}
end_stamp: {end_stamp}
start_epoch: {start_epoch}
start_uepoch: {created_us}
profile_start_epoch: {profile_epoch}
profile_start_uepoch: {profile_us}
answer_epoch: {answer_epoch}
answer_uepoch: {answered_us}
bridge_epoch: {bridge_epoch}
bridge_uepoch: {bridged_us}
last_hold_epoch: 0
last_hold_uepoch: 0
hold_accum_seconds: 0
hold_accum_usec: 0
hold_accum_ms: 0
resurrect_epoch: 0
resurrect_uepoch: 0
progress_epoch: {progress_epoch}
progress_uepoch: {progress_us}
progress_media_epoch: {media_epoch}
progress_media_uepoch: {media_us}
end_epoch: {end_epoch}
end_uepoch: {hangup_us}
last_app: {app}
last_arg: {app_data}
caller_id: {caller_display}<{caller_number}>
duration: {duration}
billsec: {billsec}
progresssec: {progresssec}
answersec: {answersec}
waitsec: {waitsec}
progress_mediasec: {mediasec}
flow_billsec: {flowsec}
mduration: {mduration}
billmsec: {billmsec}
progressmsec: {progressmsec}
answermsec: {answermsec}
waitmsec: {waitmsec}
progress_mediamsec: {mediamsec}
flow_billmsec: {flowmsec}
uduration: {uduration}
billusec: {billusec}
progressusec: {progressusec}
answerusec: {answerusec}
waitusec: {waitusec}
progress_mediausec: {mediausec}
flow_billusec: {flowusec}
"""

RTP = r"""
rtp_audio_in_raw_bytes: 0
rtp_audio_in_media_bytes: 0
rtp_audio_in_packet_count: 0
rtp_audio_in_media_packet_count: 0
rtp_audio_in_skip_packet_count: {packets}
rtp_audio_in_jitter_packet_count: 0
rtp_audio_in_dtmf_packet_count: 0
rtp_audio_in_cng_packet_count: 0
rtp_audio_in_flush_packet_count: 0
rtp_audio_in_largest_jb_size: 0
rtp_audio_in_jitter_min_variance: 0.00
rtp_audio_in_jitter_max_variance: 0.00
rtp_audio_in_jitter_loss_rate: 0.00
rtp_audio_in_jitter_burst_rate: 0.00
rtp_audio_in_mean_interval: 0.00
rtp_audio_in_flaw_total: 0
rtp_audio_in_quality_percentage: 100.00
rtp_audio_in_mos: 4.50
rtp_audio_out_raw_bytes: {sent_bytes}
rtp_audio_out_media_bytes: {sent_bytes}
rtp_audio_out_packet_count: {sent}
rtp_audio_out_media_packet_count: {sent}
rtp_audio_out_skip_packet_count: 0
rtp_audio_out_dtmf_packet_count: 0
rtp_audio_out_cng_packet_count: 0
rtp_audio_rtcp_packet_count: 0
rtp_audio_rtcp_octet_count: 0
"""

BRIDGED = r"""
last_bridge_to: {other_uuid}
bridge_channel: {other_channel}
bridge_uuid: {other_uuid}
signal_bond: {other_uuid}
last_sent_callee_id_name: Outbound Call
last_sent_callee_id_number: {other_number}
"""
