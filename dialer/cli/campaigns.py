"""Campaigns: their counts, and start, stop and purge."""

from __future__ import annotations

from typing import Any

import click
from rich.table import Table

from dialer.cli.common import asks_the_dialer
from dialer.cli.exits import Failure
from dialer.cli.output import console, give_json, note, rows, say, table
from dialer.cli.service import Service

STATUSES = ("pending", "agent_pending", "dialed", "stopped", "ended", "failed")
OPEN = ("pending", "agent_pending", "dialed")
"""The states of contacts that the dialer is not done with, unless their campaign is stopped."""


def counted(campaigns: list[dict[str, Any]]) -> Table:
    """A table with a row for each campaign."""
    headings = [status.replace("_", " ") for status in STATUSES]
    found = table("campaign", *headings, "total", "results", numbers=[*headings, "total"])
    return rows(
        found,
        (
            (
                each["campaignId"],
                *(each["byStatus"].get(status, 0) for status in STATUSES),
                each["total"],
                ", ".join(f"{name} {number}" for name, number in sorted(each["byCallResult"].items(), key=_most)),
            )
            for each in campaigns
        ),
    )


def _most(result: tuple[str, int]) -> tuple[int, str]:
    return -result[1], result[0]


@click.command(short_help="Counts of contacts by status and result.")
@click.argument("campaign_ids", nargs=-1, metavar="[CAMPAIGN]...")
@asks_the_dialer
def campaigns(campaign_ids: tuple[str, ...], service: Service, as_json: bool) -> None:
    """Show how many contacts each campaign has, by status and by result.

    All campaigns, or those that are named.
    """
    found = [service.get("campaign", each) for each in campaign_ids] or service.get("campaigns")["campaigns"]
    if as_json:
        give_json({"campaigns": found})
    elif found:
        console().print(counted(found))
    else:
        say("There are no contacts.")


def _control(service: Service, campaign_id: str, control: str, as_json: bool, done: str) -> None:
    answer = service.post("campaign", campaign_id, control)
    if as_json:
        give_json(answer)
    else:
        say(f"{campaign_id}: {answer['contacts']} contacts {done}")


@click.command(short_help="Start a stopped campaign.")
@click.argument("campaign_id", metavar="CAMPAIGN")
@asks_the_dialer
def start(campaign_id: str, service: Service, as_json: bool) -> None:
    """Make the stopped contacts of a campaign wait to be called again."""
    _control(service, campaign_id, "start", as_json, "wait to be called again")


@click.command(short_help="Stop a campaign.")
@click.argument("campaign_id", metavar="CAMPAIGN")
@asks_the_dialer
def stop(campaign_id: str, service: Service, as_json: bool) -> None:
    """Stop a campaign: what waits is not called. Calls that are up go on."""
    _control(service, campaign_id, "stop", as_json, "stopped")


@click.command(short_help="Remove what waits in a campaign.")
@click.argument("campaign_id", metavar="CAMPAIGN")
@click.option("--yes", is_flag=True, help="Do not ask.")
@asks_the_dialer
def purge(campaign_id: str, yes: bool, service: Service, as_json: bool) -> None:
    """Remove the waiting contacts of a campaign, for good. Asks first, and says how many there are.

    Calls that are up go on, and contacts that are done, or stopped, are kept.
    """
    if not yes:
        waiting = service.get("campaign", campaign_id)["byStatus"].get("pending", 0)
        question = f"Remove {waiting} waiting contacts of campaign {campaign_id!a}, for good?"
        try:
            sure = click.confirm(question, err=True)
        except click.Abort:
            note("")
            sure = False
        if not sure:
            raise Failure("nothing was removed", code="not_confirmed")
    _control(service, campaign_id, "purge", as_json, "removed")
