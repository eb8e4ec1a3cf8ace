"""`dialer check`: what works, what does not, and what to do."""

from __future__ import annotations

import os
import sys
from typing import Any

import click
from attrs import asdict
from twisted.internet.defer import Deferred

from dialer import environment
from dialer.cli.common import asks_the_dialer
from dialer.cli.exits import Exit, Failure
from dialer.cli.findings import Finding, State
from dialer.cli.output import console, give_json, rows, say, table
from dialer.cli.service import Service


@click.command(short_help="What works, what does not, what to do.")
@asks_the_dialer
def check(service: Service, as_json: bool) -> None:
    """Check the configuration, the database, EFSwitch with its gateways, and the VC.

    It reads the environment that the dialer would read, and connects by itself, whether the dialer runs or not.
    Nothing is called and nothing is changed. It fails when something does not work.
    """
    found = _configured()
    found.append(_running(service))
    ok = all(each.state is not State.FAILED for each in found)
    if as_json:
        give_json({"ok": ok, "checks": [asdict(each) for each in found]})
    else:
        console().print(
            rows(table("what", "state", "found"), ((each.name, each.state, each.message) for each in found))
        )
        for each in found:
            if each.advice is not None:
                say(f"{each.name}: {each.advice}")
    if not ok:
        sys.exit(Exit.FAILED)


def _configured() -> list[Finding]:
    """What the environment names, if it can be read."""
    try:
        settings = environment.load(os.environ)
    except environment.SettingsError as error:
        return [Finding("configuration", State.FAILED, str(error), "the variables are in the README")]
    message = "nothing is configured: everything is simulated" if settings.nothing_configured else "is complete"
    found = [Finding("configuration", State.NOTE if settings.nothing_configured else State.OK, message)]
    # Only now: it installs the reactor.
    from twisted.internet.task import react  # noqa: PLC0415

    from dialer.cli.probes import probe_all  # noqa: PLC0415

    async def look(reactor: Any) -> None:
        found.extend(await probe_all(reactor, settings))

    try:
        react(lambda reactor: Deferred.fromCoroutine(look(reactor)))
    except SystemExit as ended:
        if ended.code:
            raise Failure("the check itself failed; see above") from None
    return found


def _running(service: Service) -> Finding:
    """Whether a dialer runs: it need not."""
    try:
        ready = service.get("readyz", also=(503,))
        told = bool(ready["ready"]), "; ".join(str(reason) for reason in ready["reasons"])
    except Failure as error:
        return Finding("dialer", State.NOTE, f"does not run: {error.message}")
    except (LookupError, TypeError):
        return Finding("dialer", State.NOTE, f"what answers at {service.url} is no dialer")
    if told[0]:
        return Finding("dialer", State.OK, f"runs at {service.url} and can dial")
    return Finding("dialer", State.FAILED, f"runs at {service.url} and cannot dial: {told[1]}", "see `dialer explain`")
