"""The tokens that callers show: written by operators as `name:scope+scope:token`, kept as hashes only."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from hmac import compare_digest

from attrs import field, frozen

from dialer.access.scope import EVERYTHING, Scope

SHORTEST = 32
"""Characters of a token: 128 bits in hexadecimal digits, which nobody guesses."""

LONGEST = 200
"""Characters of a token: more than any way to make one gives, far less than a header may have."""

MOST = 1000
"""Tokens. Each call is held against all of them: some 0.1 ms for so many."""

ALL = "all"
"""In place of scopes: every one that there is."""

HASHED = "sha256$"

_NAME = re.compile(r"[A-Za-z0-9._-]{1,40}")
# What RFC 6750 allows after "Bearer".
_TOKEN = re.compile(rf"(?=.{{{SHORTEST},{LONGEST}}}\Z)[A-Za-z0-9._~+/-]+=*")
_HASH = re.compile(r"[0-9A-Fa-f]{64}")
_COMMENT = re.compile(r"^[ \t]*#.*$", re.MULTILINE)


@frozen
class Token:
    """Who shows it is called `name` and may do what `scopes` say. `digest` is the SHA-256 of what is shown."""

    name: str
    scopes: frozenset[Scope]
    digest: bytes = field(repr=False)


def digest(shown: str) -> bytes:
    """What is kept of a token."""
    return sha256(shown.encode("utf-8", "surrogateescape")).digest()


def find(tokens: Iterable[Token], shown: str) -> Token | None:
    """The token that is shown, or None. It takes as long whichever it is, and how much of it is right."""
    presented = digest(shown)
    found = None
    for token in tokens:
        if compare_digest(token.digest, presented):
            found = token
    return found


def parse_tokens(text: str) -> tuple[Token, ...]:
    """Read entries with spaces or line breaks between them; a line that begins with `#` is a comment.

    Raises a ValueError that says which entry is wrong and why, and nothing of what stands there: who forgets a colon
    has the token in the place of the name.
    """
    entries = _COMMENT.sub("", text).split()
    # Blank text would let in everybody where somebody meant to keep them out.
    if text and not entries:
        raise ValueError("there is no entry")
    if len(entries) > MOST:
        raise ValueError(f"there are more than {MOST} entries")
    tokens = tuple(_entries(entries))
    _check_different("name", [token.name for token in tokens])
    _check_different("token", [token.digest for token in tokens])
    return tokens


def _entries(entries: Iterable[str]) -> Iterator[Token]:
    for number, entry in enumerate(entries, 1):
        where = f"entry {number}"
        parts = entry.split(":")
        if len(parts) != 3:
            raise ValueError(f"{where} is not name:scope+scope:token")
        name, scopes, token = parts
        if not _NAME.fullmatch(name):
            raise ValueError(f"the name of {where} is not 1 to 40 letters, digits, . _ or -")
        yield Token(name, _scopes(scopes, where), _digest_of(token, where))


def _scopes(text: str, where: str) -> frozenset[Scope]:
    if text == ALL:
        return EVERYTHING
    try:
        return frozenset(map(Scope, text.split("+")))
    except ValueError:
        known = ", ".join(Scope)
        raise ValueError(f"the scopes of {where} are not some of {known} with + between them, or {ALL}") from None


def _digest_of(text: str, where: str) -> bytes:
    if text.startswith(HASHED):
        hashed = text.removeprefix(HASHED)
        if not _HASH.fullmatch(hashed):
            raise ValueError(f"what follows {HASHED} in {where} is not the 64 hexadecimal digits of a SHA-256")
        return bytes.fromhex(hashed)
    if not _TOKEN.fullmatch(text):
        raise ValueError(
            f"the token of {where} is not {SHORTEST} to {LONGEST} letters, digits, - . _ ~ + /, with = at its end only"
        )
    return digest(text)


def _check_different(what: str, values: Sequence[object]) -> None:
    first: dict[object, int] = {}
    for number, value in enumerate(values, 1):
        if (before := first.setdefault(value, number)) != number:
            raise ValueError(f"the entries {before} and {number} have the same {what}")
