"""Campaigns as they go on, until all is done or Ctrl-C."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import click
from rich.console import Group
from rich.live import Live

from dialer.cli.campaigns import OPEN, counted
from dialer.cli.common import asks_the_dialer
from dialer.cli.exits import Unreachable
from dialer.cli.output import console, give_json, shown
from dialer.cli.service import Service


@click.command(short_help="Campaigns as they go on.")
@click.argument("campaign_ids", nargs=-1, metavar="[CAMPAIGN]...")
@click.option("--until-done", is_flag=True, help="End once nothing waits and nobody is being called.")
@click.option(
    "--interval",
    type=click.FloatRange(0.1, 3600),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="How often to look.",
)
@asks_the_dialer
def watch(campaign_ids: tuple[str, ...], until_done: bool, interval: float, service: Service, as_json: bool) -> None:
    """Show campaigns as they go on, until Ctrl-C.

    All campaigns, or those that are named. A dialer that goes away is waited for, once it was there. With --json each
    change is a line.
    """
    for campaign_id in campaign_ids:
        # A name that nobody knows is a failure, and not a campaign of which nothing is left to do.
        service.get("campaign", campaign_id)
    latest = look(service, campaign_ids)
    if as_json:
        give_json(latest)
    with Live(console=console(), auto_refresh=False, transient=False) as live:
        while True:
            if not as_json:
                live.update(picture(latest), refresh=True)
            if until_done and latest["error"] is None and not _open(latest):
                return
            time.sleep(interval)
            before = latest
            try:
                latest = look(service, campaign_ids)
            except Unreachable as error:
                latest = {**before, "error": {"code": error.code, "message": error.message, "field": None}}
            if as_json and latest != before:
                give_json(latest)


def look(service: Service, campaign_ids: tuple[str, ...]) -> dict[str, Any]:
    """Campaigns and status now; `error` when the status is told with one, such as that the database is down."""
    every = service.get("campaigns")["campaigns"]
    found = [each for each in every if not campaign_ids or each["campaignId"] in campaign_ids]
    status = service.get("status", also=(503,))
    return {"campaigns": found, "status": status, "error": status.get("error")}


def _open(latest: dict[str, Any]) -> bool:
    return any(each["byStatus"].get(status) for each in latest["campaigns"] for status in OPEN)


def picture(latest: dict[str, Any]) -> Group:
    """What is shown of that."""
    status, error = latest["status"], latest["error"]
    lines = list(_lines(status))
    if error is not None:
        # Either it came with this status, or nothing has come since.
        lines.append(f"{'' if error == status.get('error') else 'Since then: '}{error['message']}")
    return Group(counted(latest["campaigns"]), shown(""), *map(shown, lines))


def _lines(status: dict[str, Any]) -> Iterator[str]:
    if "maxConcurrentCalls" not in status:
        return  # refused before anything was looked at: there is nothing but the error
    used, slots = status["activeCalls"], status["maxConcurrentCalls"]
    told = (
        f"{used} of {slots} slots in use"
        if used is not None
        else f"{slots} slots, and how many are in use is not known"
    )
    yield f"{told}, at most {status['callsPerSecond']:g} calls per second"
    shown_as = (("database", "database"), ("EFSwitch", "efswitch"), ("VC", "voiceConnector"))
    yield ", ".join(f"{name} {status[key]}" for name, key in shown_as)
