"""Contacts are posted to several dialers while everything that can die does; then all records are compared."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from threading import Event
from typing import Any

from tests.chaos.report import text
from tests.chaos.run import run
from tests.chaos.world import Plan
from tests.processes import RunFailed, run_to_its_end


def _plan(arguments: list[str]) -> Plan:
    default = Plan()
    parser = ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--contacts", type=int, default=default.contacts, help="posted at most (%(default)s)")
    parser.add_argument("--faults", type=int, default=default.faults, help="at most (%(default)s)")
    parser.add_argument("--seed", type=int, default=default.seed, help="of contacts and faults (%(default)s)")
    parser.add_argument("--dialers", type=int, default=default.dialers, help="processes (%(default)s)")
    parser.add_argument("--duration", type=float, default=0.0, metavar="SECONDS", help="after which no more is posted")
    parser.add_argument("--rate", type=float, default=default.rate, help="calls a second aimed at (%(default)g)")
    parser.add_argument("--fsync", action="store_true", help="have PostgreSQL wait for the disk")
    parser.add_argument("--policy", choices=("hold", "fail"), default="hold", help="EFSWITCH_DOWN_POLICY (%(default)s)")
    parser.add_argument("--keep", action="store_true", help="keep the logs and the database, and say where")
    return Plan(**vars(parser.parse_args(arguments)))


async def _main(reactor: Any, plan: Plan, cancelled: Event) -> None:
    try:
        report = await run(reactor, plan, cancelled)
    except RunFailed as error:
        sys.stderr.write(f"chaos, seed {plan.seed}: {error}\n")
        raise SystemExit(1) from None
    sys.stdout.write(text(report))
    if report.violations:
        raise SystemExit(1)


def main() -> None:
    """Run once; status 1 when anything is violated."""
    plan = _plan(sys.argv[1:])
    run_to_its_end(lambda reactor, cancelled: _main(reactor, plan, cancelled))


if __name__ == "__main__":
    main()
