"""Fakes that cannot drift from what they stand in for."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def stands_in_for(real: type, *, but: frozenset[str] = frozenset()) -> Callable[[type[T]], type[T]]:
    """Refuses a fake whose public methods the real class does not have with the same parameters.

    `but` names those that are for the test alone.
    """

    def check(fake: type[T]) -> type[T]:
        for name, method in vars(fake).items():
            if name.startswith("_") or name in but or not inspect.isfunction(method):
                continue
            ours = list(inspect.signature(method).parameters)
            theirs = list(inspect.signature(getattr(real, name)).parameters)
            assert ours == theirs, f"{real.__name__}.{name} takes {theirs}, its stand-in {ours}"
        return fake

    return check
