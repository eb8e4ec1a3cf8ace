"""What goes into the log, and where it goes."""

from __future__ import annotations

from textwrap import indent
from typing import Any, TextIO

from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    LogLevel,
    LogLevelFilterPredicate,
    LogPublisher,
    formatEvent,
    formatTime,
)
from zope.interface import implementer

LEVELS = {"DEBUG": LogLevel.debug, "INFO": LogLevel.info, "WARN": LogLevel.warn, "ERROR": LogLevel.error}

QUIET = ("twisted.web", "twisted.internet", "txpostgres", "yoyo", "log_legacy")
"""Namespaces that tell of each connection they open and close: heard from warnings on."""


@implementer(ILogObserver)
class LineObserver:
    """Writes each event as one line, or with its traceback when it has one: time, level, namespace, text."""

    def __init__(self, *streams: TextIO) -> None:
        self._streams = streams
        self._second: tuple[int | None, str] = (None, formatTime(None))

    def __call__(self, event: dict[str, Any]) -> None:
        """Write to every stream; one that fails must not silence the others."""
        time = self._time(event.get("log_time"))
        level = event.get("log_level", LogLevel.info).name.upper()
        line = f"{time} {level:<8} {event.get('log_namespace', '-')} {_printable(formatEvent(event))}\n"
        if (failure := event.get("log_failure")) is not None:
            # Nor must one in the message of an exception.
            line += indent(failure.getTraceback(), "  ", lambda _: True)
        for stream in self._streams:
            try:
                stream.write(line)
                stream.flush()
            except (OSError, ValueError):
                continue

    def _time(self, when: float | None) -> str:
        """The time of an event to the second, made once for all events of that second."""
        second = None if when is None else int(when)
        if second != self._second[0]:
            self._second = (second, formatTime(second))
        return self._second[1]


def _printable(text: str) -> str:
    """The text on one line: what somebody sent must neither begin a line of its own nor steer the terminal."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


def observer(level: str, *streams: TextIO) -> ILogObserver:
    """An observer of what is at least as severe as `level` (a value of LOG_LEVEL)."""
    predicate = LogLevelFilterPredicate(defaultLogLevel=LEVELS[level])
    for namespace in QUIET:
        predicate.setLogLevelForNamespace(namespace, max(LogLevel.warn, LEVELS[level]))
    return FilteringLogObserver(LineObserver(*streams), [predicate])


def tee(*observers: ILogObserver) -> ILogObserver:
    """An observer that tells each of these."""
    publisher: ILogObserver = LogPublisher(*observers)
    return publisher
