"""What the voice connector (VC) gets: the body of each of its three requests.

The connector builds from these models what it sends, and the OpenAPI document describes them. They hold no rule for the
texts: a row of a table that was taken over may break it, and its result must reach the VC all the same.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

_ServiceId = Annotated[str, Field(description="`SERVICE_IDENTIFIER` of the dialer")]
_Customer = Annotated[str, Field(description="the contact's `customerNumber`")]
_Contact = Annotated[str, Field(description="the contact's `id`")]


class Body(BaseModel):
    """The JSON object of one request."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=False,
        json_schema_serialization_defaults_required=True,
    )

    def wire(self) -> dict[str, Any]:
        """The JSON value, by the names that it has on the wire."""
        return self.model_dump(mode="json", by_alias=True)


class AgentRequestBody(Body):
    """An agent is wanted for a contact; the VC replies by `POST /agent`."""

    calling_number: _Customer
    call_uid: Annotated[_Contact, Field(description="the contact's `id`: the `uuid` of the reply")]
    esl_host: Annotated[str, Field(description="the contact's `tenantId`, else `EFSWITCH_IP`")]
    service_identifier: _ServiceId
    direction: Literal["OUTBOUND"] = "OUTBOUND"
    call_sip_id: Literal[""] = ""
    priority: Annotated[int | None, Field(description="the contact's `priority`")]
    queue: Annotated[str | None, Field(description="the contact's `queueName`, else its `resourceId`")]
    queue_type: Annotated[Literal["NAME", "ID"], Field(description="which of the two `queue` is")]


class NotificationBody(Body):
    """A contact became `ended` or `failed`."""

    id: _Contact
    service_id: _ServiceId
    customer_num: _Customer
    call_result: Annotated[
        str, Field(description="the contact's `callResult` in capitals with `_` for spaces, such as `INVALID_GATEWAY`")
    ]


class EndChatBody(Body):
    """An agent was reserved for this customer but will not talk."""

    customer_id: _Customer
    service_id: _ServiceId
