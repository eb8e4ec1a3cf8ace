"""What goes into the log, how it looks, and where it goes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

import orjson
from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    LogLevel,
    LogLevelFilterPredicate,
    LogPublisher,
    formatEvent,
    formatTime,
)
from twisted.python.reflect import safe_str
from zope.interface import implementer

from dialer.masking import Masking

LEVELS = {"DEBUG": LogLevel.debug, "INFO": LogLevel.info, "WARN": LogLevel.warn, "ERROR": LogLevel.error}

LogFormat = Literal["text", "json"]

QUIET = ("twisted.web", "twisted.internet", "txpostgres", "yoyo", "log_legacy")
"""Namespaces that tell of each connection they open and close: heard from warnings on."""

Event = Mapping[str, Any]
Render = Callable[[Event], str]
"""The text of an event with its line end."""


class TextLines:
    """One line for people: time, level, namespace, text; below it the traceback when there is one."""

    def __init__(self, mask: Masking) -> None:
        self._mask = mask
        self._second: tuple[int | None, str] = (None, formatTime(None))

    def __call__(self, event: Event) -> str:
        """The line of an event."""
        text = _printable(self._mask(formatEvent(dict(event)), event))
        line = f"{self._time(event.get('log_time'))} {_level(event):<8} {_namespace(event)} {text}\n"
        # Nor must a line of ours begin in the message of an exception.
        return line + "".join(f"  {below}\n" for below in _traceback(event, self._mask))

    def _time(self, when: float | None) -> str:
        """The time of an event to the second, made once for all events of that second."""
        second = None if when is None else int(when)
        if second != self._second[0]:
            self._second = (second, formatTime(second))
        return self._second[1]


class JsonLines:
    """One JSON object in a line, for programs: `time` in UTC, `level`, `logger`, `message`; `contact` and `campaign` of
    what is about a contact; the facts of the message in `fields`; `traceback` when there is one."""

    def __init__(self, mask: Masking) -> None:
        self._mask = mask

    def __call__(self, event: Event) -> str:
        """The line of an event."""
        line: dict[str, object] = {
            "time": _utc(event.get("log_time")),
            "level": _level(event),
            "logger": _namespace(event),
            "message": _printable(self._mask(formatEvent(dict(event)), event)),
        }
        line |= {name: _printable(str(event[name])) for name in ("contact", "campaign") if event.get(name)}
        if fields := self._fields(event):
            line["fields"] = fields
        if traceback := _traceback(event, self._mask):
            line["traceback"] = "\n".join(traceback)
        return orjson.dumps(line).decode() + "\n"

    def _fields(self, event: Event) -> dict[str, object]:
        """The facts of an event of ours; what libraries attach to theirs is for observers within the process."""
        if not _namespace(event).startswith("dialer"):
            return {}
        return {
            name: self._value(value, event)
            for name, value in event.items()
            if not name.startswith("log_") and name not in _ELSEWHERE
        }

    def _value(self, value: object, event: Event) -> object:
        if value is None or isinstance(value, bool | float):
            return value
        # JSON's readers count no further than this.
        if isinstance(value, int) and abs(value) < 2**53:
            return value
        return _printable(self._mask(safe_str(value), event))


_ELSEWHERE = frozenset({"contact", "campaign", "customer", "format", "time", "message", "isError", "failure", "why"})
"""What stands elsewhere in the line, and what Twisted adds for observers of its older kind; `customer` is not told."""


@implementer(ILogObserver)
class LineObserver:
    """Writes what `render` makes of each event."""

    def __init__(self, render: Render, *streams: TextIO) -> None:
        self._render = render
        self._streams = streams

    def __call__(self, event: dict[str, Any]) -> None:
        """Write to every stream; one that fails must not silence the others."""
        line = self._render(event)
        for stream in self._streams:
            try:
                stream.write(line)
                stream.flush()
            except (OSError, ValueError):
                continue


def _level(event: Event) -> str:
    return str(event.get("log_level", LogLevel.info).name.upper())


def _namespace(event: Event) -> str:
    return str(event.get("log_namespace", "-"))


def _utc(when: float | None) -> str | None:
    if when is None:
        return None
    return datetime.fromtimestamp(when, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _traceback(event: Event, mask: Masking) -> list[str]:
    failure = event.get("log_failure")
    if failure is None:
        return []
    return [_printable(line) for line in mask(failure.getTraceback(), event).splitlines()]


def _printable(text: str) -> str:
    """The text on one line: what somebody sent must neither begin a line of its own nor steer the terminal."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


def observer(level: str, *streams: TextIO, form: LogFormat = "text", mask: Masking | None = None) -> ILogObserver:
    """An observer of what is at least as severe as `level` (a value of LOG_LEVEL), in this form (LOG_FORMAT)."""
    predicate = LogLevelFilterPredicate(defaultLogLevel=LEVELS[level])
    for namespace in QUIET:
        predicate.setLogLevelForNamespace(namespace, max(LogLevel.warn, LEVELS[level]))
    render = (JsonLines if form == "json" else TextLines)(mask or Masking())
    return FilteringLogObserver(LineObserver(render, *streams), [predicate])


def tee(*observers: ILogObserver) -> ILogObserver:
    """An observer that tells each of these."""
    publisher: ILogObserver = LogPublisher(*observers)
    return publisher
