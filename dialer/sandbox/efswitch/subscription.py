"""Which events a connection hears."""

from __future__ import annotations

import re
from typing import Final

from .events import KNOWN
from .wire import JSON, PLAIN

_NO_KEYWORDS: Final = "-ERR no keywords supplied"


class Subscription:
    """The events, the format and the filters of one connection."""

    def __init__(self) -> None:
        self.form: str = PLAIN
        self.names: set[str] = set()
        self.subclasses: set[str] = set()
        self.filters: list[tuple[str, str]] = []
        self._listening = False

    def add(self, text: str) -> str:
        """`event [plain|json] NAME...`: the reply. The last format named holds for all events."""
        found, custom = False, False
        for position, word in enumerate(text.split()):
            name = word.upper()
            if position == 0 and name in ("PLAIN", "JSON"):
                self.form = JSON if name == "JSON" else PLAIN
            elif custom:
                self.subclasses.add(word)
            elif name in KNOWN:
                found = True
                custom = name == "CUSTOM"
                self.names.add(name)
        if not found:
            return _NO_KEYWORDS
        self._listening = True
        return f"+OK event listener enabled {self.form}"

    def remove(self, text: str) -> str:
        """`nixevent NAME...`: the reply."""
        found, custom = False, False
        for word in text.split():
            name = word.upper()
            if custom:
                self.subclasses.discard(word)
            elif name in KNOWN:
                found = True
                custom = name == "CUSTOM"
                if name == "ALL":
                    self.names.clear()
                elif not custom or "ALL" in self.names:
                    if "ALL" in self.names:
                        self.names = set(KNOWN - {"ALL"})
                    self.names.discard(name)
        return "+OK events nixed" if found else _NO_KEYWORDS

    def clear(self) -> str:
        """`noevents`: the reply."""
        if not self._listening:
            return "-ERR not listening for events"
        self._listening = False
        self.names.clear()
        self.subclasses.clear()
        return "+OK no longer listening for events"

    def filter(self, text: str) -> str:
        """`filter HEADER VALUE` and `filter delete HEADER|all [VALUE]`: the reply."""
        words = text.strip().split(" ", 2 if text.strip().lower().startswith("delete") else 1)
        if words[0].lower() == "delete":
            if len(words) < 2:
                return "-ERR invalid syntax"
            name, value = words[1], words[2] if len(words) > 2 else ""
            if name.lower() == "all":
                self.filters.clear()
            else:
                self.filters = [
                    (each, wanted)
                    for each, wanted in self.filters
                    if each.lower() != name.lower() or (value and wanted != value)
                ]
            return f"+OK filter deleted. [{name}][{value}]"
        if len(words) < 2:
            return "-ERR invalid syntax"
        self.filters.append((words[0], words[1]))
        return f"+OK filter added. [{words[0]}]=[{words[1]}]"

    def has(self, event: str) -> bool:
        """Whether events of that name are heard, filters and subclasses aside."""
        return event in self.names or "ALL" in self.names

    def wants(self, subclass: str) -> bool:
        """Whether a CUSTOM event of that subclass is wanted."""
        return "ALL" in self.names or not self.subclasses or subclass in self.subclasses

    def passes(self, headers: dict[str, str]) -> bool:
        """Whether an event with these headers passes the filters; with any filter, one must match."""
        send = False
        lower = {name.lower(): value for name, value in headers.items()}
        for name, wanted in self.filters:
            value = lower.get(name.lower())
            compared = wanted.lstrip("+- ")
            positive = "-" not in wanted[: len(wanted) - len(compared)]
            if value is None or (send and positive):
                continue
            if _matches(compared, value):
                send = positive
                if not positive:
                    break
        return send


def _matches(wanted: str, value: str) -> bool:
    if wanted.startswith("/"):
        return re.search(wanted.strip("/"), value) is not None
    return wanted.lower() == value.lower()
