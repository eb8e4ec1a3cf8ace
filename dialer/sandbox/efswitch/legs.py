"""The two kinds of legs: the customer's and the agent's."""

from __future__ import annotations

from .channel import Channel
from .dialstring import DialOrder
from .exchange import Exchange
from .gateways import Gateway


def _leg_facts(exchange: Exchange, gateway: Gateway, session: int) -> dict[str, str]:
    return {
        "session": str(session),
        "ip": exchange.ip,
        "peer": f"{gateway.host}:{gateway.port}",
        "peer_host": gateway.host,
        "peer_port": str(gateway.port),
        "rtp_port": str(16384 + session * 2 % 16384),
        "remote_port": "16000",
        "sdp_id": str(1_795_400_000 + session),
        "sdp_version": str(1_795_400_001 + session),
        "branch": f"z9hG4bK{session:013d}",
        "from_tag": f"F{session:012d}",
        "to_tag": f"{session}SIPpTag01{session}",
        "cseq": str(123_157_000 + session),
        "call_id": f"{session:08x}-61ba-1240-f89e-1e837cd24897",
        "ssrc": str(1_000_000_000 + session * 7919 % 1_000_000_000),
    }


def new_customer(exchange: Exchange, order: DialOrder, gateway: Gateway, uuid: str) -> Channel:
    """The leg that an `originate` asks for."""
    name, number = order.caller_name, order.caller_number
    display = name.rpartition('"')[2]
    early = "false" if order.ignores_early_media else "true"
    return Channel(
        uuid=uuid,
        agent=False,
        now=exchange.now(),
        texts={
            "gateway": gateway.name,
            "number": order.number,
            "to_user": order.number or "nobody",
            "channel": f"sofia/external/{order.number}",
            "cid_name": name,
            "cid_number": number,
            "caller_name": name,
            "caller_number": order.shown_number,
            "callee_number": order.number or "unknown",
            "destination": order.number,
            "from_name": display,
            "from_number": order.shown_number,
            "from_display": f'"{display}" ' if display else "",
            "shown_call_uuid": uuid,
        },
        facts={
            **_leg_facts(exchange, gateway, exchange.new_session()),
            "codecs": "PCMU,PCMA",
            "early_media": early,
            "other_type": "originatee",
        },
        variables=order.variables,
    )


def new_agent(exchange: Exchange, customer: Channel, order: DialOrder, gateway: Gateway, extension: str) -> Channel:
    """The leg to the agent; the customer\'s leg learns of it."""
    channel, uuid = f"sofia/external/{extension}", exchange.new_uuid()
    agent = Channel(
        uuid=uuid,
        agent=True,
        now=exchange.now(),
        texts={
            "gateway": gateway.name,
            "number": extension,
            "to_user": extension or "nobody",
            "channel": channel,
            "cid_name": order.caller_name,
            "cid_number": order.caller_number,
            "caller_name": "Outbound Call",
            "caller_number": order.number,
            "callee_number": extension,
            "destination": extension,
            "context": order.context,
            "dialplan": order.dialplan,
            "rdnis": order.number,
            "network_addr": exchange.ip,
            "from_name": "Outbound Call",
            "from_number": order.number,
            "from_display": '"Outbound Call" ',
            "shown_call_uuid": customer.uuid,
            "other_uuid": customer.uuid,
            "other_channel": customer.slots["channel"],
            "other_number": order.number,
            "other_dialplan": order.dialplan,
            "other_caller_number": order.number,
            "other_callee_name": order.caller_name,
            "other_callee_number": order.shown_number,
            "other_destination": order.extension,
            "other_context": order.context,
            "other_rdnis": order.number,
        },
        facts={
            **_leg_facts(exchange, gateway, exchange.new_session()),
            "codecs": "PCMU@8000h@20i",
            "other_type": "originator",
            "other_remote_port": customer.slots["remote_port"],
        },
        variables=customer.inherited(),
    )
    customer.set_texts(
        {
            "other_uuid": uuid,
            "other_channel": channel,
            "other_number": extension,
            "other_dialplan": order.dialplan,
            "other_caller_number": order.number,
            "other_callee_name": "Outbound Call",
            "other_callee_number": extension,
            "other_destination": extension,
            "other_context": order.context,
            "other_rdnis": order.number,
        }
    )
    customer.slots["other_created_us"] = agent.slots["created_us"]
    customer.slots["other_remote_port"] = agent.slots["remote_port"]
    return agent
