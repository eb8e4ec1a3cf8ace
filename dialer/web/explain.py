"""Why nothing is dialing, over HTTP."""

from __future__ import annotations

from twisted.web.iweb import IRequest

from dialer.explainer import Explainer
from dialer.reasons import Explanation
from dialer.web.answers import shown
from dialer.web.campaigns import no_campaign
from dialer.web.endpoint import Scope, endpoint
from dialer.web.shown import Explained, ExplainedCampaign


class Explain:
    """Answers also, and above all, while the database is down: with 200, as the explanation is what was asked for."""

    def __init__(self, explainer: Explainer) -> None:
        self._explainer = explainer

    @endpoint("GET", "/explain", scope=Scope.READ, answers=Explained)
    async def get_explanation(self, request: IRequest) -> object:  # noqa: ARG002  as every handler
        """Why nothing is dialing, or that something is: reasons in plain sentences, the most important one first."""
        explanation = await self._explainer.explain()
        assert explanation is not None
        return _rendered(explanation)

    @endpoint("GET", "/campaign/<campaign_id>/explain", scope=Scope.READ, answers=ExplainedCampaign, errors=[404])
    async def get_campaign_explanation(self, request: IRequest, campaign_id: str) -> object:  # noqa: ARG002
        """Why a campaign is not being dialed, or that it is."""
        explanation = None if "\0" in campaign_id else await self._explainer.explain(campaign_id)
        if explanation is None:
            raise no_campaign(campaign_id)
        return {"campaignId": campaign_id, **_rendered(explanation)}


def _rendered(explanation: Explanation) -> dict[str, object]:
    return {
        "dialing": explanation.dialing,
        "reasons": [
            {"code": str(reason.code), "message": reason.message, "since": shown(reason.since)}
            for reason in explanation.reasons
        ],
        "next": shown(explanation.next),
    }
