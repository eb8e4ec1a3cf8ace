"""Answers as the HTTP interface gives them: JSON, and `{"error": {"code", "message", "field"}}` for an error."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256
from types import MappingProxyType
from typing import Any, cast

import orjson
from attrs import field, frozen
from twisted.web.http import CACHED
from twisted.web.iweb import IRequest

from dialer.errors import DialerError
from dialer.store.errors import DatabaseError
from dialer.store.share import Busy

RETRY_AFTER = 5
"""Seconds that a 503 asks its caller to wait."""


class HttpError(DialerError):
    """An answer other than 200. `code` is one word for programs, the message a sentence for people."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        field: str | None = None,
        index: int | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        super().__init__(message)
        self.headers = headers
        self.status = status
        self.code = code
        self.field = field
        self.index = index

    def body(self) -> dict[str, Any]:
        """The JSON object of the answer."""
        error: dict[str, Any] = {"code": self.code, "message": str(self), "field": self.field}
        if self.index is not None:
            error["index"] = self.index
        return {"error": error}


def no_database(error: DatabaseError, *, advice: str = "try again") -> HttpError:
    """The answer when the database has not served a request, or was not asked as too many others wait for it."""
    if isinstance(error, Busy):
        return HttpError(503, "busy", f"too many others are asking; {advice}")
    return HttpError(503, "database_down", f"the database cannot be reached; {advice}")


def shown(value: object) -> object:
    """A value as JSON shows it: times in UTC, an enum's member as its text."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return str(value) if isinstance(value, StrEnum) else value


@frozen
class Answer:
    """A body with a status of its own, for a handler that tells what it knows and yet does not succeed."""

    status: int
    body: object


@frozen
class Content:
    """A body that is not JSON, ready to be sent. Who has it already, by its hash, is told so in place of it."""

    content_type: str
    body: bytes
    headers: Mapping[str, str] = field(factory=dict)


def write_content(request: IRequest, content: Content) -> bytes:
    """Set the headers; the body to return, nothing when the caller has it."""
    request.setHeader(b"content-type", content.content_type.encode())
    request.setHeader(b"x-content-type-options", b"nosniff")
    for name, value in content.headers.items():
        request.setHeader(name.encode(), value.encode())
    etag = b'"%s"' % sha256(content.body).hexdigest()[:32].encode()
    return b"" if cast(Any, request).setETag(etag) is CACHED else content.body


def write_json(request: IRequest, value: object, status: int = 200) -> bytes:
    """Set status and headers; the body to return. A 503 says when to try again."""
    request.setResponseCode(status)
    if status == 503:
        request.setHeader(b"retry-after", str(RETRY_AFTER).encode())
    request.setHeader(b"content-type", b"application/json; charset=utf-8")
    request.setHeader(b"x-content-type-options", b"nosniff")
    return orjson.dumps(value, option=orjson.OPT_UTC_Z)


def write_error(request: IRequest, error: HttpError) -> bytes:
    """The answer for an error."""
    for name, value in error.headers.items():
        request.setHeader(name.encode(), value.encode())
    return write_json(request, error.body(), error.status)


def finish(request: IRequest, body: bytes) -> None:
    """Send a body, and be done with the request."""
    if body:
        request.setHeader(b"content-length", b"%d" % len(body))
    request.write(body)
    cast(Any, request).finish()
