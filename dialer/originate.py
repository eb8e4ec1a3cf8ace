"""The commands that make EFSwitch call a customer, written so that no value can change what they mean.

Each value is checked here once more, whatever was checked when it came in: rows may have been taken over from another
product's table. What FreeSWITCH makes of a value in `{name=value,...}` was recorded from a real one: it unescapes three
times, at spaces, at `,` and at `=`. Between quotes, with each `,` escaped and with none of what `dialer.rules` refuses,
a value arrives as it was sent. Spaces around it would be lost; taking them off would name another queue, so such a
value is refused like the others.
"""

from __future__ import annotations

from dialer.contact import AgentReply, NewContact
from dialer.errors import DialerError
from dialer.rules import (
    CUSTOMER_NUMBER,
    EXTENSION,
    GATEWAY_ID,
    ID,
    QUEUE,
    RESOURCE_ID,
    SERVICE_IDENTIFIER,
    Rule,
    is_host,
)


class CannotBeCarried(DialerError):
    """A value cannot be sent to EFSwitch as it is. `field` names it, `reason` says what is allowed."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


def ivr_arguments(contact: NewContact, *, efswitch_ip: str, default_ivr: str) -> str:
    """What follows `JSoriginate ` to bridge the answered customer to the contact's IVR, else to `default_ivr`.

    Raises CannotBeCarried.
    """
    number = _checked("ivr", contact.ivr, EXTENSION) if contact.ivr else _checked("default_ivr", default_ivr, EXTENSION)
    host = _host(efswitch_ip)
    return (
        "{session_in_hangup_hook=true"
        f",domain_name={host}"
        ",record_session=true"
        f",origination_caller_id_name={number}"
        f",origination_caller_id_number={number}"
        ",call_direction=outbound"
        f",origination_uuid={_call_id(contact)}}}"
        f"{_destination(contact)} {number} XML {host}"
    )


def agent_arguments(contact: NewContact, reply: AgentReply, *, efswitch_ip: str, service_identifier: str) -> str:
    """What follows `JSoriginate ` to bridge the answered customer to the agent of `reply`.

    The queue is that of the reply, else the contact's by name, else by its `resource_id`. Raises CannotBeCarried.
    """
    call_id, host = _call_id(contact), _host(efswitch_ip)
    agent = _checked("agent", reply.agent, EXTENSION)
    queue_type, queue = _queue(contact, reply)
    return (
        "{ignore_early_media=true"
        ",session_in_hangup_hook=true"
        f",sip_h_X-Destination-Number={_checked('service_identifier', service_identifier, SERVICE_IDENTIFIER)}"
        ",sip_h_X-CallType=PROGRESSIVE"
        f",customer_number={_checked('customer_number', contact.customer_number, CUSTOMER_NUMBER)}"
        f",sip_h_X-CALL-VARIABLE0={call_id}"
        f",sip_h_X-Call-Id={call_id}"
        f",domain_name={host}"
        ",record_session=true"
        ",call_direction=outbound"
        f",sip_h_X-queueType={queue_type}"
        f",sip_h_X-queue={queue}"
        f",origination_uuid={call_id}"
        f",origination_caller_id_name={agent}"
        f",origination_caller_id_number={agent}"
        f",sip_h_X-agentExtension={agent}}}"
        f"{_destination(contact)} agent XML {host}"
    )


def _checked(field: str, value: str | None, rule: Rule) -> str:
    if value is None or not rule.accepts(value):
        raise CannotBeCarried(field, f"must be {rule.allowed}")
    return value


def _host(efswitch_ip: str) -> str:
    if not is_host(efswitch_ip):
        raise CannotBeCarried("efswitch_ip", "must be a host name or an IP address")
    return efswitch_ip


def _call_id(contact: NewContact) -> str:
    return _checked("id", contact.id, ID)


def _destination(contact: NewContact) -> str:
    gateway = _checked("gateway_id", contact.gateway_id, GATEWAY_ID)
    number = _checked("customer_number", contact.customer_number, CUSTOMER_NUMBER)
    return f"sofia/gateway/{gateway}/{number}"


def _queue(contact: NewContact, reply: AgentReply) -> tuple[str, str]:
    """The type and the quoted value of the queue; an empty name is none."""
    if reply.queue:
        return "NAME", _quoted("queue", reply.queue, QUEUE)
    if contact.queue_name:
        return "NAME", _quoted("queue_name", contact.queue_name, QUEUE)
    return "ID", _quoted("resource_id", contact.resource_id, RESOURCE_ID)


def _quoted(field: str, value: str | None, rule: Rule) -> str:
    escaped = _checked(field, value, rule).replace(",", r"\,")
    return f"'{escaped}'"
