"""`python -m dialer.sandbox.efswitch`: the simulator by itself."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorCore
from twisted.internet.task import react
from twisted.logger import Logger, globalLogBeginner, textFileLogObserver

from . import EFSwitch, Rules

log = Logger(namespace="efswitch")


def options() -> ArgumentParser:
    """What the command line takes."""
    parser = ArgumentParser(prog="python -m dialer.sandbox.efswitch", description="A simulated EFSwitch (FreeSWITCH).")
    parser.add_argument("--host", default="127.0.0.1", help="IPv4 address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=8021, help="0 for any free one (%(default)s)")
    parser.add_argument("--password", default="ClueCon")
    parser.add_argument("--seed", type=int, help="makes the choices repeatable")
    parser.add_argument("--sps", type=int, default=30, help="sessions per second (%(default)s)")
    parser.add_argument("--max-sessions", type=int, default=1000, help="(%(default)s)")
    parser.add_argument("--records", type=int, default=20_000, help="calls remembered (%(default)s)")
    parser.add_argument("--rules", type=Path, metavar="FILE", help="JSON list of rules; without it an ordinary mixture")
    parser.add_argument(
        "--gateway",
        action="append",
        metavar="NAME[=STATE]",
        help="a gateway, UP or DOWN; may be repeated; without it any name is valid",
    )
    parser.add_argument("--jsoriginate", action="store_true", help="have the command JSoriginate")
    return parser


async def _run(reactor: IReactorCore, arguments: list[str]) -> None:
    parser = options()
    given = parser.parse_args(arguments)
    try:
        rules = Rules.from_file(given.rules, seed=given.seed) if given.rules else Rules.mixed(seed=given.seed)
    except (OSError, ValueError, TypeError) as error:
        parser.error(f"--rules {given.rules}: {error}")
    gateways = dict(_gateway(each) for each in given.gateway or ())
    switch = EFSwitch(
        reactor,  # type: ignore[arg-type]
        password=given.password,
        rules=rules,
        gateways=gateways or "any",
        sessions_per_second=given.sps,
        max_sessions=given.max_sessions,
        js_originate=given.jsoriginate,
        records_limit=given.records,
        seed=given.seed,
    )
    await switch.listen(reactor, given.host, given.port)  # type: ignore[arg-type]
    address = switch.address()
    log.info("EFSwitch simulator listening on {host}:{port}", host=address.host, port=address.port)
    stopped: Deferred[None] = Deferred()
    reactor.addSystemEventTrigger("before", "shutdown", stopped.callback, None)
    await stopped
    await switch.stop()


def _gateway(text: str) -> tuple[str, str]:
    name, _, state = text.partition("=")
    return name, state or "UP"


def main() -> None:
    """Run until a signal ends it."""
    globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stdout)], redirectStandardIO=False)
    react(lambda reactor: Deferred.fromCoroutine(_run(reactor, sys.argv[1:])))


if __name__ == "__main__":
    main()
