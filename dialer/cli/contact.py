"""One contact, and what happened to it."""

from __future__ import annotations

import click
import orjson

from dialer.cli.common import asks_the_dialer
from dialer.cli.output import console, give_json, rows, say, table
from dialer.cli.service import Refusal, Service


@click.command(short_help="A contact and its history.")
@click.argument("contact_id", metavar="ID")
@asks_the_dialer
def contact(contact_id: str, service: Service, as_json: bool) -> None:
    """Show a contact and its history.

    The history of a contact that was removed is shown as long as it is kept.
    """
    try:
        history = service.get("contact", contact_id, "history")["history"]
    except Refusal as refused:
        if refused.code != "not_found":
            raise
        history = []
    try:
        found = service.get("contact", contact_id)
    except Refusal as refused:
        if refused.code != "not_found" or not history:
            raise
        found = None
    if as_json:
        give_json({"contact": found, "history": history})
        return
    if found is None:
        say("The contact was removed.")
    else:
        known = [(name, value) for name, value in found.items() if value is not None]
        texts = ((name, value if isinstance(value, str) else orjson.dumps(value).decode()) for name, value in known)
        console().print(rows(table("field", "value"), texts))
    say("")
    lines = ((each["time"], each["event"], each["taking"], each["dialer"], each["detail"]) for each in history)
    console().print(rows(table("time", "event", "taking", "dialer", "detail", numbers=["taking"]), lines))
