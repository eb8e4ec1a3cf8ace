"""The published benchmark, repeated: each contact posted alone, at a steady rate, and looked for everywhere."""

from __future__ import annotations

import json
import os
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path
from threading import Event
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from tests.bench.run import Plan, run
from tests.bench.table import table
from tests.processes import ROOT, RunFailed

MOST = 20_000
"""Contacts: the simulator and the VC sandbox remember no more."""


def _contacts(text: str) -> int:
    if not (text.isdigit() and 2 <= int(text) <= MOST):
        raise ArgumentTypeError(f"from 2 to {MOST}")
    return int(text)


def _options(arguments: list[str]) -> Namespace:
    parser = ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--contacts", type=_contacts, default=2000, help="how many are posted (%(default)s)")
    parser.add_argument("--rate", type=float, default=30.0, help="posted and dialed a second (%(default)g)")
    parser.add_argument("--seed", type=int, default=1, help="makes ids, numbers and calls repeatable (%(default)s)")
    parser.add_argument("--keep", action="store_true", help="keep the logs and the database, and say where")
    parser.add_argument(
        "--json", type=Path, default=ROOT / "build" / "bench.json", metavar="FILE", help="figures (%(default)s)"
    )
    return parser.parse_args(arguments)


async def _main(reactor: Any, given: Namespace, cancelled: Event) -> None:
    try:
        report = await run(reactor, Plan(given.contacts, given.rate, given.seed, given.keep), cancelled)
    except RunFailed as error:
        sys.stderr.write(f"bench: {error}\n")
        raise SystemExit(1) from None
    report["cores"] = os.cpu_count()
    given.json.parent.mkdir(parents=True, exist_ok=True)
    given.json.write_text(json.dumps(report, indent=1) + "\n")
    sys.stdout.write(f"{table(report)}Figures, in full: {given.json}\n")
    if report["problems"]:
        raise SystemExit(1)


def main() -> None:
    """Run once; status 1 when anything is missing."""
    given = _options(sys.argv[1:])

    def go(reactor: Any) -> Deferred[None]:
        cancelled = Event()
        ended = Deferred.fromCoroutine(_main(reactor, given, cancelled))

        over: Deferred[None] = Deferred()

        def tell(result: object) -> object:
            over.callback(None)
            return result

        def call_off() -> Deferred[None]:
            """On a signal: let the run stop what it started."""
            cancelled.set()
            return over

        reactor.addSystemEventTrigger("before", "shutdown", call_off)
        return ended.addBoth(tell)

    react(go)


if __name__ == "__main__":
    main()
