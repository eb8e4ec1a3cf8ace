"""What a test leaves behind that pytest-twisted does not notice: timers, errors nobody handled, logged failures."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twisted.logger import LogEvent, LogLevel, formatEvent, globalLogPublisher


class LoggedFailures:
    """The critical events of one test: `log.failure`, and errors of Deferreds that nobody handled."""

    def __init__(self) -> None:
        self._events: list[LogEvent] = []

    def __call__(self, event: LogEvent) -> None:
        # An error in a Deferred is announced by an event of its own before the one that carries it.
        if event.get("log_level") is LogLevel.critical and "log_failure" in event:
            self._events.append(event)

    def flush(self, *kinds: type[BaseException]) -> list[BaseException]:
        """The logged exceptions of these kinds (all if none is named), which the test expects; they are forgotten.

        Errors of Deferreds that are no longer reachable are among them.
        """
        gc.collect()
        found = [event for event in self._events if not kinds or event["log_failure"].check(*kinds)]
        self._events = [event for event in self._events if event not in found]
        return [event["log_failure"].value for event in found]

    def complaints(self) -> Iterator[str]:
        """What is left, for a reader."""
        for event in self._events:
            yield f"logged: {formatEvent(event)}\n{event['log_failure'].getTraceback()}"


def watch(reactor: Any, one_turn: Callable[[], Any]) -> Iterator[LoggedFailures]:
    """The body of a fixture that fails the test around it for what it leaves behind.

    `one_turn` lets the reactor do what is due.
    """
    before = set(reactor.getDelayedCalls())
    failures = LoggedFailures()
    globalLogPublisher.addObserver(failures)
    try:
        yield failures
        # What ends with the next turns of the reactor is no leak: Twisted and txpostgres finish many things that way.
        for _ in range(3):
            if set(reactor.getDelayedCalls()) <= before:
                break
            one_turn()
        left = [call for call in reactor.getDelayedCalls() if call not in before]
        for call in left:
            call.cancel()
        gc.collect()
    finally:
        globalLogPublisher.removeObserver(failures)
    complaints = [*(f"left in the reactor: {call}" for call in left), *failures.complaints()]
    if complaints:
        pytest.fail("\n".join(complaints), pytrace=False)
