"""What FreeSWITCH makes of the arguments of `originate`, by the rules that its recorded answers show.

Written from the recordings, apart from `dialer.originate`, to judge it: `test_originate` holds this reader against
each of the recordings first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from attrs import frozen

_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "s": " "}
_MOST_VARIABLES = 1024


class Refused(Exception):
    """FreeSWITCH makes no call of it."""


@frozen
class Originate:
    """One call: the variables set on it, in order, where it goes, and the words after that."""

    items: tuple[tuple[str, str], ...]
    destination: str
    words: tuple[str, ...]

    @property
    def variables(self) -> dict[str, str]:
        """The variables by name."""
        return dict(self.items)


def read_arguments(arguments: str) -> Originate:
    """What FreeSWITCH does on `originate ARGUMENTS`; raises Refused."""
    # A line of the event socket ends at any of these, whatever follows.
    line = re.split("[\r\n\0]", arguments, maxsplit=1)[0]
    words = [_unescape(word, "") for word in _split_at_spaces(line)]
    if len(words) < 2:
        raise Refused("usage")
    if ":_:" in words[0]:
        raise Refused("two calls, each with a part of the block")
    block, destination = _block(words[0])
    if not re.fullmatch(r"sofia/gateway/[^/,|{}]+/[^,|{}]*", destination):
        raise Refused(f"no destination: {destination}")
    return Originate(tuple(_variables(block)), destination, tuple(words[1:]))


def _variables(block: str) -> Iterator[tuple[str, str]]:
    delimiter = ","
    if block.startswith("^^"):
        delimiter, block = block[2], block[3:]
    for item in [_unescape(part, delimiter) for part in _split_at(block, delimiter)][:_MOST_VARIABLES]:
        name, *value = [_unescape(part, "=") for part in _split_at(item, "=", most=2)]
        if value and value[0] and "${" not in value[0]:
            yield name, value[0]


def _block(word: str) -> tuple[str, str]:
    """The inside of the leading braces, found by counting them alone, and what follows."""
    if not word.startswith("{"):
        return "", word
    depth = 0
    for place, character in enumerate(word):
        depth += (character == "{") - (character == "}")
        if depth == 0:
            return word[1:place], word[place + 1 :]
    raise Refused("the block has no end")


def _split_at_spaces(text: str) -> list[str]:
    words, word, quoted, place = [], "", False, 0
    text = text.strip(" ")
    while place < len(text):
        character = text[place]
        if character == "\\":
            word += text[place : place + 2]
            place += 2
            continue
        if character == "'":
            quoted = not quoted
        if character == " " and not quoted:
            if word:
                words.append(word)
            word = ""
        else:
            word += character
        place += 1
    return [*words, word] if word else words


def _split_at(text: str, delimiter: str, most: int = 0) -> list[str]:
    parts, begin, quoted, place = [], 0, False, 0
    while place < len(text):
        character = text[place]
        if character == "\\":
            place += 2
            continue
        if character == "'" and (quoted or "'" in text[place + 1 :]):
            quoted = not quoted
        elif character == delimiter and not quoted and (not most or len(parts) < most - 1):
            parts.append(text[begin:place])
            begin = place + 1
        place += 1
    return [*parts, text[begin:]]


def _unescape(text: str, delimiter: str) -> str:
    """Takes quotes, one level of escapes, and the spaces around it off."""
    text = text.lstrip(" ")
    kept, end, quoted, place = [], 0, False, 0
    while place < len(text):
        character, following = text[place], text[place + 1 : place + 2]
        if (
            character == "\\"
            and following
            and (following in "'\"\\" or following == delimiter or following in _ESCAPES)
        ):
            kept.append(_ESCAPES.get(following, following))
            end, place = len(kept), place + 2
            continue
        if character == "'" and (quoted or "'" in text[place + 1 :]):
            quoted = not quoted
            if quoted:
                end = len(kept)
        else:
            kept.append(character)
            if character != " " or quoted:
                end = len(kept)
        place += 1
    return "".join(kept[:end])
