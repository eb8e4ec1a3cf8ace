"""The variables that say where the voice connector is."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel

from dialer import rules
from dialer.variable import BaseUrl, by_rule, variable


class VCSettings(BaseModel):
    """The voice connector."""

    service_identifier: Annotated[str, by_rule(rules.SERVICE_IDENTIFIER)] = variable(
        "1218", "SERVICE-IDENTIFIER towards EFSwitch and the VC", rules.SERVICE_IDENTIFIER.allowed
    )
    voice_connector: BaseUrl | None = variable(
        None,
        "base URL of the VC",
        "a base URL, http:// or https://, without user, query and fragment",
        shown="required unless provided",
    )
