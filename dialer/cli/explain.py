"""Why nothing is dialed, in the dialer's own words."""

from __future__ import annotations

import click

from dialer.cli.common import asks_the_dialer
from dialer.cli.output import give_json, say
from dialer.cli.service import Service


@click.command(short_help="Why nothing is dialed.")
@click.argument("campaign_id", metavar="[CAMPAIGN]", required=False)
@asks_the_dialer
def explain(campaign_id: str | None, service: Service, as_json: bool) -> None:
    """Say why the dialer, or a campaign, is not dialing, and when it will."""
    told = service.get("explain") if campaign_id is None else service.get("campaign", campaign_id, "explain")
    if as_json:
        give_json(told)
        return
    say("Dialing." if told["dialing"] else "Not dialing.")
    for reason in told["reasons"]:
        since = f" (since {reason['since']})" if reason.get("since") else ""
        say(f"- {reason['message']}{since}")
    if told.get("next"):
        say(f"Next: {told['next']}")
