"""Something that is made of files, and made anew when they change; what they hold that is broken never replaces it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Generic, TypeVar

from twisted.logger import Logger

from dialer.errors import DialerError

T = TypeVar("T")

_State = tuple[tuple[int, int, int] | None, ...]


class WrongFile(DialerError):
    """A file for TLS is wrong: one line that names the variables and says what is wrong."""


class Watched(Generic[T]):
    """What `load` makes of the `files`, which are paths by the variables that name them.

    `load` raises a ValueError for files that are wrong: that fails the making of this object with WrongFile, and is
    logged, with the old value kept, when they become so later. `meanwhile` says in words what that means.
    """

    log = Logger()

    def __init__(self, files: Mapping[str, str], load: Callable[[], T], meanwhile: str) -> None:
        self._files = dict(files)
        self._meanwhile = meanwhile
        self._load = load
        self._known = self._seen = self._state()
        self.problem: str | None = None
        """What is wrong with the files now, while `value` is that of those before; None when nothing is."""
        try:
            self.value = load()
        except ValueError as error:
            raise WrongFile(self._told(error)) from None

    def look(self) -> None:
        """Load again what has changed, once it is the same at two looks: it may be half written at one."""
        before, self._seen = self._seen, self._state()
        if self._seen == self._known or self._seen != before:
            return
        self._known = self._seen
        try:
            self.value = self._load()
        except ValueError as error:
            self.problem = self._told(error)
            self.log.error(
                "CERTIFICATE NOT RELOADED, {meanwhile}: {problem}", meanwhile=self._meanwhile, problem=self.problem
            )
        else:
            self.problem = None
            self.log.info("certificates read again: {variables}", variables=", ".join(self._files))

    def _told(self, error: ValueError) -> str:
        named = ", ".join(f"{variable}={path!a}" for variable, path in self._files.items())
        return f"{named}: {error}"

    def _state(self) -> _State:
        return tuple(map(_stamp, self._files.values()))


def _stamp(path: str) -> tuple[int, int, int] | None:
    """What is another for another file under that name, behind links as container engines renew them too."""
    try:
        found = Path(path).stat()
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
