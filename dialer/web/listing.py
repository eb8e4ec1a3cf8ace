"""What stands behind the counts over HTTP: a campaign's contacts in pages, and how contacts ended minute by minute."""

from __future__ import annotations

from typing import Annotated, Any, Literal, cast

from attrs import fields_dict
from pydantic import Field
from pydantic.alias_generators import to_camel
from twisted.web.iweb import IRequest

from dialer.contact import Status
from dialer.outcomes import Outcomes
from dialer.store.campaigns import CampaignStore
from dialer.store.listing import ListedContact, ListingStore
from dialer.web.answers import shown
from dialer.web.campaigns import no_campaign
from dialer.web.endpoint import Scope, endpoint
from dialer.web.query import LARGEST_ID, Query, parse_query, whole
from dialer.web.shown import ContactPage, HourOutcomes

PAGE = 100
"""Contacts on a page that does not say how many it wants."""

LARGEST_PAGE = 1000
"""Contacts on a page at most: some 400 kB of JSON."""

_NAMES = {name: to_camel(name) for name in fields_dict(ListedContact) if name != "arrival"}


class ContactsQuery(Query):
    """A page of contacts in this state and with this call result, those that arrived after the one numbered `after`."""

    status: Annotated[
        Literal[Status.PENDING, Status.AGENT_PENDING, Status.DIALED, Status.ENDED, Status.STOPPED, Status.FAILED]
        | None,
        Field(description="pending, agent_pending, dialed, ended, stopped or failed"),
    ] = None
    result: Annotated[
        str | None, Field(min_length=1, max_length=40, pattern=r"^[^\x00]*$", description="at most 40 characters")
    ] = None
    limit: whole(1, LARGEST_PAGE) = PAGE  # type: ignore[valid-type]
    after: whole(0, LARGEST_ID) = 0  # type: ignore[valid-type]


class Listing:
    """Lists, and counts by minute."""

    def __init__(self, campaigns: CampaignStore, contacts: ListingStore, outcomes: Outcomes) -> None:
        self._campaigns = campaigns
        self._contacts = contacts
        self._outcomes = outcomes

    @endpoint(
        "GET",
        "/campaign/<campaign_id>/contacts",
        scope=Scope.READ,
        query=ContactsQuery,
        answers=ContactPage,
        errors=[400, 404, 503],
    )
    async def get_campaign_contacts(self, request: IRequest, campaign_id: str) -> object:
        """A page of a campaign's contacts, in the order of their arrival."""
        asked = parse_query(ContactsQuery, cast(Any, request).args)
        if "\0" in campaign_id:
            raise no_campaign(campaign_id)
        found = await self._contacts.page(
            campaign_id, status=asked.status, result=asked.result, limit=asked.limit + 1, after=asked.after
        )
        if not found and not await self._campaigns.count(campaign_id):
            raise no_campaign(campaign_id)
        page = found[: asked.limit]
        return {
            "campaignId": campaign_id,
            "contacts": [
                {public: shown(getattr(contact, name)) for name, public in _NAMES.items()} for contact in page
            ],
            "next": page[-1].arrival if len(found) > asked.limit else None,
        }

    @endpoint("GET", "/outcomes", scope=Scope.READ, answers=HourOutcomes, errors=[503])
    async def get_outcomes(self, request: IRequest) -> object:  # noqa: ARG002  as every handler
        """How contacts ended in each minute of the last hour, at all dialers on the database; up to 3 s old."""
        return {
            "minutes": [
                {"time": shown(minute.began), "byCallResult": minute.counts}
                for minute in await self._outcomes.last_hour()
            ]
        }
