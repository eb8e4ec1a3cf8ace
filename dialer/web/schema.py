"""What may be posted, checked in one place, and how a contact is shown.

The models are the rules of the HTTP interface: its OpenAPI document is made from them. Text is strict: a number is no
customer number. Three things happen before a rule is asked:

- A null field is absent, and so is one that is unknown or the dialer's own (`status`, `callResult`, `receivedTime`,
  `dialTime`, `endedTime`).
- An empty string is absent where a text is optional: real VCs send `""` for what they do not know. It is no time,
  and no value of a required field.
- The seed's snake_case names stand for the camelCase ones. Both with different values are refused.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from functools import cache
from typing import Annotated, Any, ClassVar, Self

import orjson
from attrs import asdict, fields_dict
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, PydanticCustomError

from dialer import rules
from dialer.contact import AgentReply, CampaignType, Contact, DialingMode, NewContact, RoutingMode
from dialer.errors import DialerError
from dialer.happenings import Happening
from dialer.web import metadata
from dialer.web.answers import shown
from dialer.web.examples import FOR_AN_AGENT, FOR_AN_IVR
from dialer.web.leniency import allow_absent
from dialer.web.pieces import loads_steps
from dialer.web.times import ALLOWED, Time

MAX_CONTACTS = 10_000
"""Contacts in one list."""

STEP = 50
"""Contacts checked in one step, during which nothing else is served; a hundred take 3.3 ms."""

STEP_TEXT = 500_000
"""Characters of metadata in one step, since there they may outweigh all else."""


class Invalid(DialerError):
    """What was posted is not valid."""

    def __init__(self, message: str, field: str | None = None, index: int | None = None) -> None:
        """`field` is the public name of what is wrong; `index` counts the entries of a list from 0."""
        super().__init__(message)
        self.field = field
        self.index = index


class TooLong(Invalid):
    """A list of more contacts than one may have."""


def _text(rule: rules.Rule) -> Any:
    """A strict text by `rule`; what the pattern cannot say is left to `_also`."""
    never = [re.escape(rule.forbidden)] if rule.forbidden else []
    never += [f"^{re.escape(rule.forbidden_start)}"] if rule.forbidden_start else []
    refused: Any = {"not": {"type": "string", "pattern": "|".join(never)}} if never else None
    return Field(
        strict=True,
        pattern=rule.pattern,
        max_length=rule.max_length,
        description=rule.allowed,
        json_schema_extra=refused,
    )


def _also(rule: rules.Rule) -> AfterValidator:
    def check(text: str) -> str:
        if not rule.accepts(text):
            raise PydanticCustomError("rule", "not accepted")
        return text

    return AfterValidator(check)


def _metadata(value: object) -> str:
    try:
        return metadata.to_text(value)
    except metadata.Unfit as error:
        raise _refused("schedulingMetadata", f"schedulingMetadata {error}") from None


def _refused(field: str, message: str) -> PydanticCustomError:
    return PydanticCustomError("refused", "{message}", {"field": field, "message": message})


Metadata = Annotated[str, BeforeValidator(_metadata), WithJsonSchema({"type": "object"})]

_WHEN = Field(description=ALLOWED)


_KEPT = Field(
    description=f"an object, kept; at most {metadata.MAX_DEPTH} levels deep and {metadata.MAX_TEXT} bytes of JSON, "
    "without NUL characters and with integers within 64 bits"
)
_PRIORITY = Field(strict=True, ge=1, le=10, description="an integer from 1 to 10")


class Posted(BaseModel):
    """What the two kinds of bodies have in common: names in two spellings, and what counts as absent."""

    model_config = ConfigDict(extra="ignore", frozen=True, alias_generator=to_camel, hide_input_in_errors=True)

    blank: ClassVar[frozenset[str]] = frozenset()
    """Fields in which an empty string is absent."""

    @model_validator(mode="before")
    @classmethod
    def _spell(cls, posted: Any) -> dict[str, Any]:
        given: dict[str, Any] = {}
        for snake, camel, blank in _spellings(cls):
            value = posted.get(camel)
            if value is None or (blank and value == ""):
                value = None
            if snake != camel and (other := posted.get(snake)) is not None and not (blank and other == ""):
                if value is not None and _differ(value, other):
                    raise _refused(camel, f"{camel} and {snake} are the same field, but have different values")
                value = other
            if value is not None:
                given[camel] = value
        return given

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """What `_spell` lets pass: the schema of each spelling is made of this one (`leniency.py`)."""
        schema = handler(core_schema)
        allow_absent(handler.resolve_ref_schema(schema), {to_camel(name) for name in cls.blank})
        return schema


@cache
def _spellings(model: type[Posted]) -> tuple[tuple[str, str, bool], ...]:
    return tuple((name, to_camel(name), name in model.blank) for name in model.model_fields)


def _differ(one: object, other: object) -> bool:
    try:
        return one != other
    except RecursionError:  # nobody can tell; and nobody nests values so deeply in good faith
        return True


class ContactIn(Posted):
    """A contact as the campaign manager posts it.

    `startTime` must not be after `endTime`. An AGENT contact needs `dialingMode`, `routingMode`, and a `resourceId`
    unless it has a `queueName` and `routingMode` `QUEUE`.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [FOR_AN_IVR, FOR_AN_AGENT]})

    blank = frozenset(
        {
            "campaign_contact_id",
            "ivr",
            "dialing_mode",
            "routing_mode",
            "resource_id",
            "queue_name",
            "tenant_id",
        }
    )

    id: Annotated[str, _text(rules.ID)]
    customer_number: Annotated[str, _text(rules.CUSTOMER_NUMBER)]
    campaign_type: Annotated[CampaignType, Field(description="IVR or AGENT")]
    gateway_id: Annotated[str, _text(rules.GATEWAY_ID)]
    campaign_id: Annotated[str, _text(rules.NAME)]
    campaign_contact_id: Annotated[str | None, _text(rules.PRINTABLE)] = None
    start_time: Annotated[Time | None, _WHEN] = None
    end_time: Annotated[Time | None, _WHEN] = None
    priority: Annotated[int | None, _PRIORITY] = None
    ivr: Annotated[str | None, _text(rules.EXTENSION)] = None
    dialing_mode: Annotated[DialingMode | None, Field(description="PREDICTIVE, PREVIEW or PROGRESSIVE")] = None
    routing_mode: Annotated[RoutingMode | None, Field(description="AGENT or QUEUE")] = None
    resource_id: Annotated[str | None, _text(rules.RESOURCE_ID), _also(rules.RESOURCE_ID)] = None
    queue_name: Annotated[str | None, _text(rules.QUEUE), _also(rules.QUEUE)] = None
    tenant_id: Annotated[str | None, _text(rules.NAME)] = None
    scheduling_metadata: Annotated[Metadata | None, _KEPT] = None

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.start_time is not None and self.end_time is not None and self.start_time > self.end_time:
            raise _refused("endTime", "endTime must not be before startTime")
        if self.campaign_type is CampaignType.AGENT:
            self._check_agent()
        return self

    def _check_agent(self) -> None:
        if self.dialing_mode is None:
            raise _refused("dialingMode", "dialingMode is required when campaignType is AGENT")
        if self.routing_mode is None:
            raise _refused("routingMode", "routingMode is required when campaignType is AGENT")
        if self.resource_id is None and self.routing_mode is RoutingMode.AGENT:
            raise _refused("resourceId", "resourceId is required when routingMode is AGENT")
        if self.resource_id is None and self.queue_name is None:
            raise _refused("resourceId", "resourceId is required when routingMode is QUEUE without a queueName")


ContactList = Annotated[
    list[ContactIn], Field(max_length=MAX_CONTACTS, description="the same id twice needs the same content")
]


class AgentReplyIn(Posted):
    """What the VC answers to an agent request; `agent` empty, null or absent says that none is available."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"uuid": FOR_AN_AGENT["id"], "agent": "1005", "queue": "Sales"}, {"uuid": "c1", "agent": ""}]
        }
    )

    blank = frozenset({"agent", "queue"})

    uuid: Annotated[str, _text(rules.ID)]
    agent: Annotated[str, _text(rules.EXTENSION)] = ""
    queue: Annotated[str | None, _text(rules.QUEUE), _also(rules.QUEUE)] = None


def parse_json(body: bytes) -> object:
    """Read a body. Raises Invalid with the place of what is no JSON; NaN is none, nor is a lone surrogate."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        reason = str(error)
    raise _no_json(reason)


def parse_json_steps(body: bytes) -> Generator[None, None, object]:
    """`parse_json` in steps that are short enough to serve others in between, when the body is a list of objects."""
    try:
        return (yield from loads_steps(body))
    except orjson.JSONDecodeError as error:
        reason = str(error)
    raise _no_json(reason)


def _no_json(reason: str) -> Invalid:
    return Invalid(f"the body is not JSON in UTF-8: {reason}")


def parse_contact(data: object) -> NewContact:
    """Check one contact. Raises Invalid."""
    if not isinstance(data, dict):
        raise Invalid("the body must be an object: one contact")
    return _contact(data, None)


def parse_contacts(data: object) -> list[NewContact]:
    """Check a list of contacts at one go. Raises Invalid, with the index of the first wrong one."""
    return [contact for step in parse_contacts_steps(data) for contact in step]


def parse_contacts_steps(data: object, most: int = MAX_CONTACTS) -> Iterator[list[NewContact]]:
    """Check a list of contacts in steps that are short enough to serve others in between.

    An empty list is valid. The same contact twice is too, and yielded twice; the same id with other content is not.
    Raises Invalid, with the index of the first wrong contact; TooLong for more than `most`.
    """
    if not isinstance(data, list):
        raise Invalid("the body must be a list of contacts")
    if len(data) > most:
        raise TooLong(f"the list must not have more than {most} contacts; this one has {len(data)}")
    seen: dict[str, tuple[int, NewContact]] = {}
    step: list[NewContact] = []
    size = 0
    for index, entry in enumerate(data):
        if not isinstance(entry, dict):
            raise Invalid("each entry of the list must be an object: one contact", index=index)
        contact = _contact(entry, index)
        first, same = seen.setdefault(contact.id, (index, contact))
        if same != contact:
            raise Invalid(f"id is also that of entry {first}, which has other content", "id", index)
        step.append(contact)
        size += len(contact.scheduling_metadata or "")
        if len(step) >= STEP or size >= STEP_TEXT:
            yield step
            step, size = [], 0
    if step:
        yield step


def parse_reply(data: object) -> AgentReply:
    """Check the VC's reply to an agent request. Raises Invalid."""
    if not isinstance(data, dict):
        raise Invalid("the body must be an object: the reply to an agent request")
    try:
        reply = _REPLY.validate_python(data)
    except ValidationError as error:
        raise _invalid(AgentReplyIn, error, None) from None
    return AgentReply(contact_id=reply.uuid, agent=reply.agent, queue=reply.queue)


def check_field(name: str, value: object) -> None:
    """Check one field of a contact by its public name, as far as it can be wrong by itself. Raises Invalid."""
    info = next(info for info in ContactIn.model_fields.values() if info.alias == name)
    kind: Any = info.annotation
    try:
        TypeAdapter(Annotated[kind, Field(description=info.description), *info.metadata]).validate_python(value)
    except ValidationError:
        raise Invalid(f"{name} must be {info.description}", name) from None


_CONTACT = TypeAdapter(ContactIn)
_REPLY = TypeAdapter(AgentReplyIn)


def _contact(data: dict[Any, Any], index: int | None) -> NewContact:
    try:
        return NewContact(**vars(_CONTACT.validate_python(data)))
    except ValidationError as error:
        raise _invalid(ContactIn, error, index) from None


def _invalid(model: type[Posted], error: ValidationError, index: int | None) -> Invalid:
    first = error.errors(include_url=False, include_input=False)[0]
    if first["type"] == "refused":
        return Invalid(first["ctx"]["message"], first["ctx"]["field"], index)
    field = str(first["loc"][0])
    if first["type"] == "missing":
        return Invalid(f"{field} is required", field, index)
    allowed = next(info.description for info in model.model_fields.values() if info.alias == field)
    return Invalid(f"{field} must be {allowed}", field, index)


_SHOWN = {
    name: to_camel(name)
    for name in (*fields_dict(NewContact), "status", "call_result", "received_time", "dial_time", "ended_time")
}

SHOWN: tuple[str, ...] = tuple(_SHOWN.values())
"""The names of the fields of a contact as it is shown, in their order."""


def render_contact(contact: Contact) -> dict[str, object]:
    """Return a contact as GET shows it: every field of the interface, null where it has no value, times in UTC."""
    body = {public: shown(getattr(contact, name)) for name, public in _SHOWN.items()}
    if contact.scheduling_metadata is not None:
        body["schedulingMetadata"] = metadata.from_text(contact.scheduling_metadata)
    return body


def render_happening(happening: Happening) -> dict[str, object]:
    """Return one line of a contact's history, times in UTC."""
    names = {"at": "time"}
    return {names.get(name, name): shown(value) for name, value in asdict(happening).items()}
