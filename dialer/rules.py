"""What the texts that come from outside may hold: one rule per kind of value, whatever door it comes through.

ASCII is spelled out: `\\d` and `str.isdigit` accept the digits of every script. The patterns are the common ground of
Python's `re`, Rust's regex (pydantic) and ECMA 262 (OpenAPI), so that one text serves all three. What FreeSWITCH makes
of each character was recorded from a real one: in `{name=value,...}` a backslash, quote, brace, `$` or control
character changes the command, `:_:` starts another originate, and a value that starts with `ARRAY::` is a list.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address

from attrs import field, frozen

_CONTROL = r"\x00-\x1f\x7f-\x9f\u2028\u2029"
"""C0 with NUL, DEL, C1 and the two line separators of Unicode."""


def encodable(text: str) -> bool:
    """Whether `text` has an UTF-8 form; one with a lone surrogate has none."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


@frozen
class Rule:
    """A kind of text: `allowed` says in words what `pattern`, `max_length` (characters), `forbidden` and
    `forbidden_start` say exactly."""

    allowed: str
    pattern: str
    max_length: int
    forbidden: str | None = None
    forbidden_start: str | None = None
    _matcher: re.Pattern[str] = field(init=False, repr=False, eq=False)

    @_matcher.default
    def _compile(self) -> re.Pattern[str]:
        return re.compile(self.pattern.removeprefix("^").removesuffix("$"))

    def accepts(self, text: str) -> bool:
        """Whether `text` may be stored, and where it goes there, be carried to EFSwitch."""
        return (
            len(text) <= self.max_length
            and self._matcher.fullmatch(text) is not None
            and (self.forbidden is None or self.forbidden not in text)
            and (self.forbidden_start is None or not text.startswith(self.forbidden_start))
            and encodable(text)
        )


ID = Rule("1 to 40 letters, digits or -", "^[A-Za-z0-9-]+$", 40)
CUSTOMER_NUMBER = Rule("1 to 20 characters: digits, * or #, with a + at most as the first", r"^\+?[0-9*#]+$", 20)
GATEWAY_ID = Rule("1 to 40 letters, digits, . _ or -", "^[A-Za-z0-9._-]+$", 40)
NAME = Rule("1 to 40 letters, digits, . _ : or -", "^[A-Za-z0-9._:-]+$", 40)
"""A campaign or a tenant."""

_ARRAY = "ARRAY::"

RESOURCE_ID = Rule(
    f"1 to 40 letters, digits, . _ : or -, without :_: and not beginning with {_ARRAY}",
    NAME.pattern,
    40,
    forbidden=":_:",
    forbidden_start=_ARRAY,
)
"""A queue or an agent by its id: like `NAME`, but EFSwitch gets it."""

PRINTABLE = Rule("at most 40 characters, none of them a control character", f"^[^{_CONTROL}]*$", 40)
EXTENSION = Rule("1 to 20 digits, letters, * # _ - or +", "^[0-9A-Za-z*#_+-]+$", 20)
"""An IVR or an agent: what EFSwitch dials on our side."""

QUEUE = Rule(
    r"1 to 20 characters, none of them \ ' { } $ or a control character, without :_:, without spaces around it and not "
    rf"beginning with {_ARRAY}",
    rf"^[^ \\'{{}}${_CONTROL}]([^\\'{{}}${_CONTROL}]*[^ \\'{{}}${_CONTROL}])?$",
    20,
    forbidden=":_:",
    forbidden_start=_ARRAY,
)
"""The name of a queue. FreeSWITCH loses spaces around it."""

SERVICE_IDENTIFIER = Rule("1 to 40 letters, digits, . _ or -", GATEWAY_ID.pattern, 40)
DIALER_ID = Rule("1 to 64 letters, digits, . _ or -", GATEWAY_ID.pattern, 64)

_HOST_NAME = re.compile(
    r"(?=.{1,253}\Z)[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*"
)
_DOTTED_DIGITS = re.compile(r"[0-9.]+")


def _parses(kind: Callable[[str], object], text: str) -> bool:
    try:
        kind(text)
    except ValueError:
        return False
    return True


def is_ipv6(text: str) -> bool:
    """Whether `text` is an IPv6 address, without brackets and without a zone."""
    return "%" not in text and _parses(IPv6Address, text)


def is_host(text: str) -> bool:
    """Whether `text` is an IP address without brackets or a host name, underscores as in container networks allowed."""
    if _DOTTED_DIGITS.fullmatch(text):
        return _parses(IPv4Address, text)
    return _HOST_NAME.fullmatch(text) is not None or is_ipv6(text)
