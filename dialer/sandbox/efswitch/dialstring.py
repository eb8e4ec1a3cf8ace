"""The argument of `originate`, read by FreeSWITCH's own rules, its traps included.

FreeSWITCH cuts the whole argument at spaces, the brace block at its delimiter and each entry at `=`, and undoes quotes
and backslashes each of the three times. Pure: knows no gateway and no call.
"""

from __future__ import annotations

import re
from typing import Final

from attrs import field, frozen

MAX_VARIABLES: Final = 1024
"""Entries that FreeSWITCH reads from one brace block; what is left over stays glued to the last."""

MAX_WORDS: Final = 10
USAGE: Final = (
    "-USAGE: <call url> <exten>|&<application_name>(<app_args>) [<dialplan>] [<context>] [<cid_name>] [<cid_num>] "
    "[<timeout_sec>]\n"
)
DEFAULT_TIMEOUT: Final = 60.0
"""Seconds that FreeSWITCH lets a call ring when nothing else is said."""

_ESCAPES: Final = {"n": "\n", "r": "\r", "t": "\t", "s": " "}
_CLOSING: Final = {"{": "}", "[": "]"}
_BRACKETS: Final = {"{": re.compile(r"[{}]"), "[": re.compile(r"[\[\]]")}
_QUOTING = re.compile(r"[\\']")
_WORD_END = re.compile(r"[\\' ]")
_GATEWAY = re.compile(r"sofia/gateway/([^/]+)/(.*)", re.DOTALL)
_EXPANSION = re.compile(r"\$?\$\{[^}]*\}?")


class Unusable(Exception):
    """An argument that FreeSWITCH refuses without any channel; the text is its whole answer."""


@frozen
class DialOrder:
    """What to dial and what to do with it once it answers. `timeout` is seconds."""

    gateway: str
    number: str
    extension: str
    dialplan: str = "XML"
    context: str = "default"
    caller_name: str = ""
    caller_number: str = "0000000000"
    timeout: float = DEFAULT_TIMEOUT
    uuid: str = ""
    variables: dict[str, str] = field(factory=dict)

    @property
    def shown_number(self) -> str:
        """The caller's number as others see it: without a host."""
        return self.caller_number.partition("@")[0]

    @property
    def is_routable(self) -> bool:
        """Whether there is a dialplan for it; the simulated switch has just the one in XML."""
        return self.extension.startswith("&") or self.dialplan.upper() == "XML"

    @property
    def ignores_early_media(self) -> bool:
        """Whether only an answer counts, so that a 183 does not end the wait."""
        return self.variables.get("ignore_early_media", "") in ("true", "yes", "1", "on", "consume", "ring_ready")


def parse(argument: str) -> DialOrder:
    """Read the argument of `originate`.

    Raises Unusable with what FreeSWITCH answers: its usage, or `-ERR` and a cause.
    """
    words = split_words(argument, MAX_WORDS)
    if not 2 <= len(words) <= 7:
        raise Unusable(USAGE)
    variables, url = _variables(words[0])
    endpoint = _GATEWAY.fullmatch(url.split("|")[0].split(",")[0])
    if endpoint is None or ":_:" in words[0]:
        raise Unusable("-ERR CHAN_NOT_IMPLEMENTED\n")
    dialplan, context, name, number, timeout = (words[2:] + [""] * 5)[:5]
    return DialOrder(
        gateway=endpoint[1],
        number=endpoint[2],
        extension=words[1],
        dialplan=dialplan or "XML",
        context=context or "default",
        caller_name=variables.get("origination_caller_id_name", name),
        caller_number=variables.get("origination_caller_id_number", number) or "0000000000",
        timeout=_shortest(timeout, variables.get("originate_timeout"), variables.get("call_timeout")),
        uuid=variables.get("origination_uuid", ""),
        variables=variables,
    )


def _shortest(*texts: str | None) -> float:
    seconds = [float(text) for text in texts if text and text.isdecimal() and int(text)]
    return min(seconds, default=DEFAULT_TIMEOUT)


def _variables(word: str) -> tuple[dict[str, str], str]:
    """The brace blocks at the start of the call url, and the url without them."""
    variables: dict[str, str] = {}
    word = word.lstrip(" ")
    while word and word[0] in _CLOSING:
        end = _closing(word)
        if end is None:
            raise Unusable("-ERR DESTINATION_OUT_OF_ORDER\n")
        block, word = word[1:end], word[end + 1 :].lstrip(" ")
        delimiter = ","
        if block.startswith("^^") and len(block) > 3:
            delimiter, block = block[2], block[3:]
        for entry in split_at(block, delimiter, MAX_VARIABLES):
            name, value = _pair(entry)
            value = _EXPANSION.sub("", value) if "$" in value else value
            variables.pop(name, None)
            if value:
                variables[name] = value
    return variables, word


def _pair(entry: str) -> tuple[str, str]:
    """An entry's name and value; the value is empty, which is none at all, when there is no `=`."""
    if "\\" in entry or "'" in entry:
        name, value = ([*split_at(entry, "=", 2), ""])[:2]
        return name, value
    name, _, value = entry.partition("=")
    return name.strip(" "), value.strip(" ")


def _closing(text: str) -> int | None:
    """Where the bracket that `text` starts with is closed; quotes do not protect it."""
    opening, depth = text[0], 0
    for match in _BRACKETS[opening].finditer(text):
        depth += 1 if match[0] == opening else -1
        if not depth:
            return match.start()
    return None


def split_words(text: str, limit: int) -> list[str]:
    """Cut at spaces outside of quotes; a quote that is never closed protects the rest."""
    if "'" not in text and "\\" not in text:
        return [word for word in text.split(" ") if word][:limit]
    words: list[str] = []
    start = _skip_spaces(text, 0)
    while start < len(text) and len(words) < limit:
        end = _word_end(text, start) if len(words) < limit - 1 else len(text)
        words.append(_clean(text[start:end], ""))
        start = _skip_spaces(text, end)
    return words


def _skip_spaces(text: str, index: int) -> int:
    while text[index : index + 1] == " ":
        index += 1
    return index


def _word_end(text: str, index: int) -> int:
    """Where the word that begins at `index` ends: at a space that is neither quoted nor behind a backslash."""
    quoted = False
    match = _WORD_END.search(text, index)
    while match is not None:
        if match[0] == " " and not quoted:
            return match.start()
        if match[0] == "'":
            quoted = not quoted
        match = _WORD_END.search(text, match.end() + (match[0] == "\\"))
    return len(text)


def split_at(text: str, delimiter: str, limit: int) -> list[str]:
    """Cut at `delimiter` outside of quotes into at most `limit` parts, the last of which keeps all that is left."""
    if "'" not in text and "\\" not in text:
        parts = text.split(delimiter, limit - 1)
        return [part.strip(" ") for part in (parts if parts[-1] else parts[:-1])]
    parts = []
    start = index = 0
    quoted = False
    last_quote = text.rfind("'")
    while index < len(text) and len(parts) < limit - 1:
        character = text[index]
        if character == "\\":
            index += 1
        elif character == "'" and (quoted or last_quote > index):
            quoted = not quoted
        elif character == delimiter and not quoted:
            parts.append(text[start:index])
            start = index + 1
        index += 1
    if start < len(text):
        parts.append(text[start:])
    return [_clean(part, delimiter) for part in parts]


def _clean(text: str, delimiter: str) -> str:
    """Undo quotes and backslashes once, and drop the spaces around, as FreeSWITCH does after each cut."""
    if "\\" not in text and "'" not in text:
        return text.strip(" ")
    text = text.lstrip(" ")
    last_quote = text.rfind("'")
    result, end, quoted, position = "", 0, False, 0
    while position < len(text):
        match = _QUOTING.search(text, position)
        plain = text[position : match.start() if match else len(text)]
        result += plain
        kept = plain if quoted else plain.rstrip(" ")
        if kept:
            end = len(result) - len(plain) + len(kept)
        if match is None:
            break
        position = match.end()
        following = text[position : position + 1]
        if match[0] == "\\" and following and (following in "'\"\\" or following == delimiter or following in _ESCAPES):
            result += following if following == delimiter else _ESCAPES.get(following, following)
            end, position = len(result), position + 1
        elif match[0] == "'" and (quoted or last_quote >= position):
            quoted = not quoted
            end = len(result) if quoted else end
        else:
            result += match[0]
            end = len(result)
    return result[:end]
