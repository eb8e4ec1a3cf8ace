"""Campaigns over HTTP: their counts, and start, stop and purge."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from twisted.web.iweb import IRequest

from dialer.store.campaigns import CampaignCount, CampaignStore
from dialer.web.answers import HttpError
from dialer.web.endpoint import Scope, endpoint
from dialer.web.shown import CampaignCounts, CampaignList, Controlled


class Campaigns:
    """`on_contacts` is called after a campaign was started."""

    def __init__(self, campaigns: CampaignStore, *, on_contacts: Callable[[], None]) -> None:
        self._campaigns = campaigns
        self._on_contacts = on_contacts

    @endpoint("POST", "/campaign/<campaign_id>/start", scope=Scope.CONTROL, answers=Controlled, errors=[404, 503])
    async def start_campaign(self, request: IRequest, campaign_id: str) -> object:  # noqa: ARG002  as every handler
        """Make what is stopped pending again."""
        started = await _control(campaign_id, self._campaigns.start)
        self._on_contacts()
        return started

    @endpoint("POST", "/campaign/<campaign_id>/stop", scope=Scope.CONTROL, answers=Controlled, errors=[404, 503])
    async def stop_campaign(self, request: IRequest, campaign_id: str) -> object:  # noqa: ARG002
        """Make what is pending stopped, and what is under way as soon as it comes back."""
        return await _control(campaign_id, self._campaigns.stop)

    @endpoint("POST", "/campaign/<campaign_id>/purge", scope=Scope.CONTROL, answers=Controlled, errors=[404, 503])
    async def purge_campaign(self, request: IRequest, campaign_id: str) -> object:  # noqa: ARG002
        """Remove what is pending, and what is under way as soon as it comes back."""
        return await _control(campaign_id, self._campaigns.purge)

    @endpoint("GET", "/campaigns", scope=Scope.READ, answers=CampaignList, errors=[503])
    async def get_campaigns(self, request: IRequest) -> object:  # noqa: ARG002
        """The counts of every campaign."""
        return {"campaigns": [_rendered(count) for count in await self._campaigns.count()]}

    @endpoint("GET", "/campaign/<campaign_id>", scope=Scope.READ, answers=CampaignCounts, errors=[404, 503])
    async def get_campaign(self, request: IRequest, campaign_id: str) -> object:  # noqa: ARG002
        """The counts of one campaign."""
        counts = [] if "\0" in campaign_id else await self._campaigns.count(campaign_id)
        if not counts:
            raise no_campaign(campaign_id)
        return _rendered(counts[0])


def no_campaign(campaign_id: str) -> HttpError:
    """The answer for a campaign of which there is no contact in any state."""
    return HttpError(404, "not_found", f"no contact of campaign {campaign_id!r} is known", field="campaignId")


async def _control(campaign_id: str, control: Callable[[str], Awaitable[int | None]]) -> object:
    changed = None if "\0" in campaign_id else await control(campaign_id)
    if changed is None:
        raise no_campaign(campaign_id)
    return {"campaignId": campaign_id, "contacts": changed}


def _rendered(count: CampaignCount) -> dict[str, object]:
    return {
        "campaignId": count.campaign_id,
        "total": count.total,
        "byStatus": count.by_status,
        "byCallResult": count.by_call_result,
    }
