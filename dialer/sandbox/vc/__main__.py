"""Runs the voice connector sandbox alone until SIGINT or SIGTERM."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.task import react
from twisted.logger import (
    FilteringLogObserver,
    LogLevel,
    LogLevelFilterPredicate,
    globalLogBeginner,
    textFileLogObserver,
)

from dialer.sandbox.vc.connector import VoiceConnector
from dialer.sandbox.vc.ledger import MAX_RECORDS


def options(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line. Exits with a message when it is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m dialer.sandbox.vc",
        description="Voice connector sandbox",
        epilog="A dialer that asks for a token is shown that of the variable DIALER_TOKEN.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="interface to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=0, help="port to listen on, 0 for a free one (%(default)s)")
    parser.add_argument("--dialer", default="http://127.0.0.1:8080", help="base URL of the dialer (%(default)s)")
    parser.add_argument("--agents", type=int, default=10, help="agents in the pool (%(default)s)")
    parser.add_argument("--queues", default="Sales,Support", help="queues that they are at home in (%(default)s)")
    parser.add_argument("--reply-delay", type=float, default=0.2, help="seconds before an agent reply (%(default)s)")
    parser.add_argument("--hold-time", type=float, default=300.0, help="seconds an agent is held at most (%(default)s)")
    parser.add_argument("--records", type=int, default=MAX_RECORDS, help="records kept (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="decides which occasions a fraction hits (%(default)s)")
    return parser.parse_args(arguments)


async def run(reactor: Any, given: argparse.Namespace) -> None:
    """Serve until the reactor shuts down. Raises SystemExit with one line when it cannot."""
    try:
        connector = VoiceConnector(
            reactor,
            dialer_url=given.dialer,
            dialer_token=os.environ.get("DIALER_TOKEN") or None,
            agents=given.agents,
            reply_delay=given.reply_delay,
            seed=given.seed,
            queues=tuple(queue for queue in given.queues.split(",") if queue),
            hold_time=given.hold_time,
            records=given.records,
        )
        connector.listen(given.host, given.port)
    except (ValueError, CannotListenError) as error:
        print(f"voice connector sandbox: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    reactor.addSystemEventTrigger("before", "shutdown", lambda: Deferred.fromCoroutine(connector.stop()))
    await Deferred()


def main() -> None:
    """Log to standard output and serve."""
    given = options(sys.argv[1:])
    # Of Twisted, which notes every port, only what went wrong.
    levels = LogLevelFilterPredicate(LogLevel.warn)
    levels.setLogLevelForNamespace("dialer", LogLevel.info)
    shown = FilteringLogObserver(textFileLogObserver(sys.stdout), [levels])
    globalLogBeginner.beginLoggingTo([shown], redirectStandardIO=False)
    react(lambda reactor: Deferred.fromCoroutine(run(reactor, given)))


if __name__ == "__main__":
    main()
