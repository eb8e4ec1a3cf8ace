"""The bodies of requests."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from twisted.web.iweb import IRequest

from dialer.web.answers import HttpError
from dialer.web.endpoint import JSON
from dialer.web.incoming import BodyLost
from dialer.web.schema import parse_json, parse_json_steps


def content_type(request: IRequest) -> str | None:
    """The media type that a request announces, in lower case and without parameters; None when it announces none."""
    given = request.getHeader(b"content-type")
    return None if given is None else media_type(given)


def media_type(given: bytes) -> str:
    """A media type in lower case and without parameters."""
    return given.split(b";")[0].strip().lower().decode("latin-1")


def posted(request: IRequest) -> object:
    """The JSON of a request's body. Fails with Invalid (400), an HttpError 415, or BodyLost when nobody is there any
    more."""
    return parse_json(_json_body(request))


def posted_steps(request: IRequest, *, others: Sequence[str] = ()) -> Generator[None, None, object]:
    """The same of what may be a long list, read in steps; a 415 names the `others` that are taken, too."""
    return parse_json_steps(_json_body(request, others))


def _json_body(request: IRequest, others: Sequence[str] = ()) -> bytes:
    if content_type(request) not in (None, JSON):
        wanted = " or ".join((JSON, *others))
        raise HttpError(415, "unsupported_media_type", f"send {wanted}", field="Content-Type")
    content: Any = request.content
    if content.closed:
        # Lists wait for their turn, and not all of their clients do.
        raise BodyLost("the client went away before its request was read")
    body: bytes = content.read()
    return body
