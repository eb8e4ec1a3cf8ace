"""Reading a password from a file, as container engines and systemd hand it over."""

from __future__ import annotations

from pathlib import Path

LONGEST = 4096
"""Bytes of such a file: far more than a password has, far less than a file that was named by mistake may have."""


def read(path: str, longest: int = LONGEST) -> str:
    """The text of the file, of `longest` bytes at most, without the line break that editors end it with.

    Raises ValueError, which says why and nothing of what is in it.
    """
    try:
        with Path(path).open("rb") as file:
            content = file.read(longest + 1)
    except (OSError, ValueError) as error:  # ValueError: a path with NUL
        raise ValueError(f"it cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if len(content) > longest:
        raise ValueError(f"it is longer than {longest} bytes")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise ValueError("it is empty")
    return text
