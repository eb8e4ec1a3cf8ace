"""The variables that say who may call the HTTP interface."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict

from dialer.variable import ApiTokens, BaseUrls, Networks, Number, Text, above_zero, in_file, variable


class AccessSettings(BaseModel):
    """Who may call."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    api_tokens: ApiTokens = variable(
        "",
        "who may call the HTTP interface, `name:scope+scope:token` each, with spaces or line breaks between them; "
        "scopes: `contacts` `control` `read` `agent`, or `all`",
        "name:scope+scope:token, or several with spaces or line breaks between them",
        shown="empty: everybody may do everything",
        secret=True,
    )
    api_tokens_file: Text | None = in_file("those")
    trusted_networks: Networks = variable(
        "",
        "networks (CIDR) whose callers need no token, with commas between them",
        "networks such as 10.1.0.0/16 or fd00::/64, or single addresses, with commas between them",
        shown="empty",
    )
    public_url: BaseUrls = variable(
        "",
        "where browsers find the dialer, when that is behind a proxy or at a name with dots in it: a base URL, or "
        "several with commas between them",
        "base URLs, http:// or https://, without user, query and fragment, with commas between them",
        shown="empty",
    )
    session_lifetime: Annotated[Number, above_zero(720, unit=3600)] = variable(
        "12",
        "how long who signed in at the dashboard stays so",
        "hours, above 0, at most 720",
        shown="`12` h",
    )
