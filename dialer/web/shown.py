"""What the answers of the interface hold: a model for each object. The tests hold every answer against them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from dialer.contact import CampaignType, DialingMode, RoutingMode, Status
from dialer.message import MessageKind, MessageState
from dialer.reasons import Code

_TAKEN_OVER = "a table that was taken over may hold others"

_Type = Annotated[CampaignType | str, Field(description=_TAKEN_OVER)]
_State = Annotated[Status | str, Field(description=_TAKEN_OVER)]
_Result = Annotated[
    str | None,
    Field(description="the hangup cause or why there was no call, such as `USER_BUSY` or `Invalid Gateway`"),
]
_Link = Literal["up", "down"]


def _count(meaning: str) -> Any:
    return Field(ge=0, description=meaning)


class Shown(BaseModel):
    """An object of an answer: each field is always there, null where it has no value. Times are in UTC."""

    model_config = ConfigDict(
        frozen=True,
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=False,
        json_schema_serialization_defaults_required=True,
    )


class ErrorDetail(BaseModel):
    """Why it was refused or failed."""

    code: Annotated[str, Field(description="one word for programs")]
    message: Annotated[str, Field(description="a sentence for people")]
    field: Annotated[str | None, Field(description="the field, parameter or header that is wrong, if it is one")]
    index: Annotated[
        int,
        Field(
            ge=0,
            description="only for lists: which entry is wrong, counted from 0",
            json_schema_extra=lambda schema: schema.pop("default"),
        ),
    ] = 0


class Error(Shown):
    """What every refusal and failure is answered with."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"error": {"code": "invalid", "message": "campaignType must be IVR or AGENT", "field": "campaignType"}}
            ]
        }
    )

    error: ErrorDetail


class Accepted(Shown):
    """What became of the contacts that were posted."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"accepted": 1, "duplicates": 0}]})

    accepted: Annotated[int, _count("stored now")]
    duplicates: Annotated[int, _count("known before, with the same content")]


class RejectedRow(Shown):
    """A row of a list that was not stored."""

    row: Annotated[
        int, Field(ge=1, description="counted from 1, as an editor or a spreadsheet shows it: a CSV's header is row 1")
    ]
    field: Annotated[str | None, Field(description="the field that is wrong, if it is one")]
    message: Annotated[str, Field(description="a sentence for people")]


class Uploaded(Accepted):
    """What became of the rows of a list in CSV or JSON lines."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "accepted": 2,
                    "duplicates": 0,
                    "rejected": 1,
                    "rejectedRows": [{"row": 4, "field": "id", "message": "id is required"}],
                }
            ]
        }
    )

    rejected: Annotated[int, _count("not stored")]
    rejected_rows: Annotated[list[RejectedRow], Field(max_length=1000, description="the first 1,000 of them")]


class UploadedInPart(Shown):
    """The database was lost, or too many wait for it: of a list in CSV or JSON lines the counts so far, of one in JSON
    the error alone."""

    model_config = ConfigDict(json_schema_extra=lambda schema: schema.update(required=["error"]))

    error: ErrorDetail
    accepted: Annotated[int, _count("stored now")]
    duplicates: Annotated[int, _count("known before, with the same content")]
    rejected: Annotated[int, _count("not stored")]
    rejected_rows: Annotated[list[RejectedRow], Field(max_length=1000, description="the first 1,000 of them")]


class StoredContact(Shown):
    """A contact as it was posted, and what became of it."""

    id: str
    customer_number: str
    campaign_type: _Type
    gateway_id: str
    campaign_id: str
    campaign_contact_id: str | None
    start_time: datetime | None
    end_time: datetime | None
    priority: int | None
    ivr: str | None
    dialing_mode: Annotated[DialingMode | str | None, Field(description=_TAKEN_OVER)]
    routing_mode: Annotated[RoutingMode | str | None, Field(description=_TAKEN_OVER)]
    resource_id: str | None
    queue_name: str | None
    tenant_id: str | None
    scheduling_metadata: Annotated[
        dict[str, Any] | Any, Field(description=f"the object that was posted; {_TAKEN_OVER}")
    ]
    status: _State
    call_result: _Result
    received_time: datetime
    dial_time: Annotated[datetime | None, Field(description="when it was taken to be called")]
    ended_time: Annotated[datetime | None, Field(description="when it became `ended` or `failed`")]


class HistoryLine(Shown):
    """One thing that happened to a contact."""

    time: datetime
    event: Annotated[
        str, Field(description="such as `received` `taken` `sent` `answered` `ended` `notification_delivered`")
    ]
    taking: Annotated[int | None, Field(description="how often it had been taken from its queue")]
    dialer: Annotated[str | None, Field(description="`DIALER_ID` of the dialer that did it or saw it")]
    detail: str | None


class ContactHistory(Shown):
    """What happened to a contact, oldest first; the latest 1,000 lines."""

    id: str
    history: list[HistoryLine]


class AgentReplyResult(Shown):
    """The state of the contact once its agent reply was acted on."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"id": "2f0b6a52-6f0e-4b8e-9d55-0d3f6b7f2a10", "status": "dialed", "callResult": None}]
        }
    )

    id: str
    status: _State
    call_result: _Result


class Controlled(Shown):
    """What a control did to a campaign."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"campaignId": "reminders", "contacts": 12}]})

    campaign_id: str
    contacts: Annotated[int, _count("contacts that changed")]


class CampaignCounts(Shown):
    """How many contacts a campaign has."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "campaignId": "reminders",
                    "total": 3,
                    "byStatus": {"pending": 1, "ended": 2},
                    "byCallResult": {"NORMAL_CLEARING": 1, "NO_ANSWER": 1},
                }
            ]
        }
    )

    campaign_id: str
    total: Annotated[int, _count("in all")]
    by_status: Annotated[dict[str, int], Field(description="by `status`; one that no contact has is left out")]
    by_call_result: Annotated[dict[str, int], Field(description="by `callResult`, of the contacts that have one")]


class CampaignList(Shown):
    """Every campaign of which there is a contact in any state."""

    campaigns: list[CampaignCounts]


class ListedContact(Shown):
    """A contact in a list: without what only its own campaign type has, and without its metadata."""

    id: str
    customer_number: str
    campaign_type: _Type
    gateway_id: str
    campaign_contact_id: str | None
    status: _State
    call_result: _Result
    priority: int | None
    received_time: datetime
    start_time: datetime | None
    end_time: datetime | None
    dial_time: Annotated[datetime | None, Field(description="when it was taken to be called")]
    ended_time: Annotated[datetime | None, Field(description="when it became `ended` or `failed`")]


class ContactPage(Shown):
    """Some of a campaign's contacts, in the order of their arrival."""

    campaign_id: str
    contacts: list[ListedContact]
    next: Annotated[int | None, Field(description="the `after` of the next page; null on the last")]


class MinuteOutcomes(Shown):
    """How contacts ended in one minute."""

    time: Annotated[datetime, Field(description="when the minute began")]
    by_call_result: Annotated[dict[str, int], Field(description="contacts by `callResult`; an empty text for none")]


class HourOutcomes(Shown):
    """How contacts ended in each minute of the last hour, oldest first, the one that it is last."""

    minutes: list[MinuteOutcomes]


class Message(Shown):
    """A message that the VC, or the receiver of a webhook, does not have yet."""

    id: int
    contact_id: str
    campaign_id: Annotated[str | None, Field(description="null when the contact is no longer there")]
    kind: MessageKind
    customer_number: str
    call_result: _Result
    state: MessageState
    attempts: Annotated[int, _count("how often it was tried")]
    created_time: datetime
    next_time: Annotated[datetime | None, Field(description="not tried again before; null when it is parked")]
    last_error: Annotated[str | None, Field(description="why it was not delivered so far")]
    event: Annotated[str | None, Field(description="what a webhook tells, such as `ended`; null for the VC's messages")]
    destination: Annotated[
        str | None,
        Field(
            description="who gets a webhook: `RESULT_WEBHOOK_URL`, or `host:port` of the contact's own; null: the VC"
        ),
    ]


class MessagePage(Shown):
    """Some of the messages that the VC, or the receivers of webhooks, do not have, by id."""

    notifications: list[Message]
    next: Annotated[int | None, Field(description="the `after` of the next page; null on the last")]


class Undelivered(Shown):
    """The messages that their receivers do not have."""

    waiting: Annotated[int, _count("tried again by themselves")]
    parked: Annotated[int, _count("not tried again by themselves")]
    waiting_since: datetime | None


class UndeliveredToVC(Undelivered):
    """The messages that the VC does not have."""

    parked: Annotated[int, _count("notifications that are not tried again by themselves")]
    end_chats_parked: Annotated[int, _count("END_CHATs that the VC did not take in time: none is sent again")]


class SwitchState(Shown):
    """One EFSwitch."""

    name: Annotated[str, Field(description="`host:port`")]
    ready: bool
    reason: Annotated[str | None, Field(description="why it is not ready")]
    slowed_down_to: Annotated[
        float | None, Field(description="calls per second, when the switch was over its own limits; else null")
    ]


class CertificateState(Shown):
    """A certificate of the dialer's own."""

    name: Annotated[str, Field(description="the variable that names its file")]
    expires: datetime
    problem: Annotated[str | None, Field(description="why a file that has changed since is not read; else null")]


class DialerStatus(Shown):
    """What this process is doing, and what it depends on. What only the database knows is null while it is down."""

    max_concurrent_calls: Annotated[int, _count("call slots of this process")]
    active_calls: Annotated[int | None, Field(description="its contacts that are `dialed` or `agent_pending`")]
    free_slots: int | None
    calls_per_second: Annotated[float, Field(description="its limit")]
    database: _Link
    efswitch: _Link
    voice_connector: _Link
    total_active_calls: Annotated[int | None, Field(description="active contacts of all dialers on this database")]
    results_waiting: Annotated[int, _count("results of calls that the database does not take just now")]
    results_dropped: Annotated[int, _count("results given up because too many waited")]
    notifications: Annotated[UndeliveredToVC | None, Field(description="what the VC does not have")]
    authentication: Annotated[
        Literal["tokens", "none"], Field(description="none: whoever reaches the dialer may do everything")
    ]
    webhooks: Annotated[
        Undelivered | None,
        Field(description="what the receivers of webhooks do not have; null also when there are none"),
    ]
    switches: list[SwitchState]
    certificates: list[CertificateState]


class DialerStatusInOutage(DialerStatus):
    """What is known while the database is down."""

    error: ErrorDetail


class Liveness(Shown):
    """The process is alive."""

    status: Literal["ok"]


class Readiness(Shown):
    """Whether it can dial, and if not, why."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"ready": True, "reasons": []},
                {"ready": False, "reasons": ["EFSwitch switch1.example:8021: connection refused"]},
            ]
        }
    )

    ready: bool
    reasons: list[str]


class ExplainedReason(Shown):
    """Why nothing is dialing, or that something is."""

    code: Annotated[Code, Field(description="one word for programs")]
    message: Annotated[str, Field(description="a sentence or two for people")]
    since: Annotated[datetime | None, Field(description="since when, where that is known")]


class Explained(Shown):
    """Whether calls are being placed, and what stops or slows them."""

    dialing: Annotated[bool, Field(description="calls are being placed, or nothing is in the way")]
    reasons: Annotated[list[ExplainedReason], Field(min_length=1, description="the most important one first")]
    next: Annotated[
        datetime | None, Field(description="when the first waiting contact may be dialed by itself, if none may now")
    ]


class ExplainedCampaign(Explained):
    """Whether calls of a campaign are being placed, and what stops or slows them."""

    campaign_id: str
