"""What a line of the log must not show: passwords never, and customers' numbers if so configured."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

HIDDEN = "******"

SHORTEST_SECRET = 8
"""Characters from which on a password is looked for wherever it may stand: a shorter one may be a word of any text."""

SHORTEST_NUMBER = 7
"""Digits from which on something in a text counts as a customer's number, whoever wrote it there. The number of the
contact that a line is about is known, and masked at any length."""

SHOWN_DIGITS = 3
"""Digits that stay, so that two customers can be told apart. A number shorter than SHORTEST_NUMBER keeps none."""

# As in postgresql://user:password@host and in password='...' of libpq.
_IN_URL = re.compile(r"(://[^\s:/@]*:)[^\s/]*(?=@)")
_IN_CONNINFO = re.compile(r"(\bpassword\s*=\s*)(?:'(?:[^'\\]|\\.)*'|[^\s']+)", re.IGNORECASE)

_UUID = r"[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}"
_NUMBER = re.compile(rf"{_UUID}|(\+?[0-9*#]{{{SHORTEST_NUMBER},}})")


class Masking:
    """Masks the texts of one process's log. `secrets` are the passwords that it knows, `numbers` says whether
    customers' numbers are masked."""

    def __init__(self, *, numbers: bool = False, secrets: Collection[str] = ()) -> None:
        self._numbers = numbers
        # The longest first: one may be a part of another.
        known = sorted((secret for secret in secrets if len(secret) >= SHORTEST_SECRET), key=len, reverse=True)
        self._secrets = re.compile("|".join(map(re.escape, known))) if known else None

    def __call__(self, text: str, event: Mapping[str, Any]) -> str:
        """The text as it may be written, of an event or one of its facts.

        What the event names as `contact` and `campaign` is left as it is; its `customer` is a number to be masked.
        """
        if self._secrets is not None:
            text = self._secrets.sub(HIDDEN, text)
        if "://" in text:
            text = _IN_URL.sub(rf"\1{HIDDEN}", text)
        if "=" in text:
            text = _IN_CONNINFO.sub(rf"\1{HIDDEN}", text)
        return _without_numbers(text, event) if self._numbers else text


def _without_numbers(text: str, event: Mapping[str, Any]) -> str:
    ids = [str(event[name]) for name in ("contact", "campaign") if event.get(name)]

    def masked(match: re.Match[str]) -> str:
        number = match[1]
        if number is None or _digits(number) < SHORTEST_NUMBER or any(_within(match, each) for each in ids):
            return match[0]
        return _shortened(number)

    text = _NUMBER.sub(masked, text)
    customer = str(event.get("customer") or "")
    if customer and _digits(customer) < SHORTEST_NUMBER:
        whole = re.compile(rf"(?<![0-9A-Za-z])({re.escape(customer)})(?![0-9A-Za-z])")
        text = whole.sub(lambda match: match[0] if any(_within(match, each) for each in ids) else "***", text)
    return text


def _digits(number: str) -> int:
    return sum(map(str.isdigit, number))


def _within(match: re.Match[str], name: str) -> bool:
    """Whether what was found is a part of this name, which stands there as a whole."""
    at = name.find(match[1])
    return at >= 0 and match.start(1) >= at and match.string.startswith(name, match.start(1) - at)


def _shortened(number: str) -> str:
    return "***" + number[-SHOWN_DIGITS:]
