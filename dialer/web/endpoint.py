"""What an endpoint of the HTTP interface is: its route, who may call it, what it takes and what it answers.

Each handler is declared where it stands. The routes (`api.py`) and the description of the interface are both made from
the declarations, so that they cannot differ.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence, Set
from inspect import cleandoc
from typing import Any, TypeVar

from attrs import frozen

from dialer.access.scope import Scope

__all__ = ["JSON", "PART", "Endpoint", "Scope", "endpoint", "endpoints_of", "template_of"]

JSON = "application/json"

PART = re.compile(r"<(?:[^<>]*:)?([A-Za-z_]+)>")
"""A part of a path in werkzeug's notation."""


def template_of(path: str) -> str:
    """The path as others write it, `/contact/{contact_id}`."""
    return PART.sub(r"{\1}", path)


@frozen
class Endpoint:
    """One path and method. `takes` and `query` are pydantic types, and so is what `answers` holds: by content type,
    what a success is made of; None for a text."""

    method: str
    path: str
    """In werkzeug's notation, `/contact/<contact_id>`."""

    scope: Scope | None
    """None: open to everybody."""

    takes: Mapping[str, Any]
    """By content type, the type of the request's body."""

    arriving: Set[str]
    """The content types of bodies that are taken as they arrive, however long they are: lists, whose rows have the type
    that `takes` says."""

    query: type | None
    answers: Mapping[str, Any]
    errors: Sequence[int]
    """Statuses with the error object that a caller must expect, besides those that any call may have."""

    others: Mapping[int, Any]
    """Statuses other than 200 that have a JSON body of their own, and its type."""

    alias: str | None
    """Another path that serves the same, for who knows only that."""

    for_browsers: bool
    """Whether it belongs to the dialer's own pages. Those are not for programs, and change as the pages do."""

    handler: Callable[..., Awaitable[object]]

    @property
    def name(self) -> str:
        """The handler's name, which no other endpoint has."""
        return str(getattr(self.handler, "__name__"))  # noqa: B009  a Callable need not have one

    @property
    def group(self) -> str:
        """The class that declares it."""
        return str(getattr(self.handler, "__qualname__")).split(".")[-2]  # noqa: B009  as above

    @property
    def summary(self) -> str:
        """What it does: the handler's docstring."""
        return cleandoc(self.handler.__doc__ or "")

    @property
    def paths(self) -> Sequence[str]:
        """Where it is served."""
        return (self.path,) if self.alias is None else (self.path, self.alias)


Handler = TypeVar("Handler", bound=Callable[..., Awaitable[object]])


def endpoint(
    method: str,
    path: str,
    *,
    scope: Scope | None,
    takes: Any = None,
    arriving: Set[str] = frozenset(),
    query: type | None = None,
    answers: Any = None,
    errors: Sequence[int] = (),
    others: Mapping[int, Any] | None = None,
    alias: str | None = None,
    for_browsers: bool = False,
) -> Callable[[Handler], Handler]:
    """Declare a handler: a method `async (self, request, **parts of the path)` that returns the answer's JSON value, an
    Answer, a Content or a Streamed, or fails with what `api.py` knows to be an error.

    `takes` and `answers` are types for JSON, or mappings from content types to types.
    The docstring of the handler is its description in the OpenAPI document (CommonMark).
    """

    def declare(handler: Handler) -> Handler:
        handler.endpoint = Endpoint(  # type: ignore[attr-defined]
            method=method,
            path=path,
            scope=scope,
            takes=_by_content_type(takes),
            arriving=arriving,
            query=query,
            answers=_by_content_type(answers),
            errors=errors,
            others=others or {},
            alias=alias,
            for_browsers=for_browsers,
            handler=handler,
        )
        return handler

    return declare


def endpoints_of(group: object) -> Iterator[Endpoint]:
    """The endpoints that a class, or an instance of it, declares, in the order in which they stand there."""
    members = vars(group if isinstance(group, type) else type(group))
    for member in members.values():
        if isinstance(declared := getattr(member, "endpoint", None), Endpoint):
            yield declared


def _by_content_type(given: Any) -> Mapping[str, Any]:
    if given is None:
        return {}
    return given if isinstance(given, Mapping) else {JSON: given}
