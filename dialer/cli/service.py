"""The dialer as its HTTP interface shows it."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import httpx
import orjson

from dialer.cli.exits import Failure, Unanswered, Unreachable

CONNECT_TIMEOUT = 5.0
"""Seconds for a connection."""

ANSWER_TIMEOUT = 120.0
"""Seconds without a byte of an answer: a purge of a million contacts takes a minute."""


class Service:
    """One dialer. Methods fail with Unreachable, and with Failure for what it refuses."""

    def __init__(self, url: str, token: str | None) -> None:
        headers = {"User-Agent": "dialer-cli", "Accept": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        self.url = url
        # No proxy and no .netrc: the dialer is a neighbour, and its token is for nobody else.
        self._client = httpx.Client(
            headers=headers,
            trust_env=False,
            verify=ssl.create_default_context(),
            timeout=httpx.Timeout(ANSWER_TIMEOUT, connect=CONNECT_TIMEOUT),
        )

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def get(self, *path: str, params: Mapping[str, str] | None = None, also: tuple[int, ...] = ()) -> Any:
        """The JSON at this path; an answer with a status of `also` is no failure."""
        return self._asked("GET", path, also=also, params=dict(params or {}))

    def post(self, *path: str, content: bytes | None = None, content_type: str | None = None) -> Any:
        """What a POST there answers."""
        headers = {"Content-Type": content_type} if content_type else {}
        return self._asked("POST", path, content=content, headers=headers)

    @contextmanager
    def stream(self, *path: str, params: Mapping[str, str]) -> Iterator[Iterator[bytes]]:
        """The body at this path, piece by piece."""
        try:
            with self._client.stream("GET", self._to(path), params=dict(params)) as response:
                if response.status_code != 200:
                    response.read()
                    raise refusal(response)
                yield response.iter_bytes()
        except httpx.TransportError as error:
            raise self._unreachable(error) from None

    def _asked(self, method: str, path: tuple[str, ...], *, also: tuple[int, ...] = (), **more: Any) -> Any:
        try:
            response = self._client.request(method, self._to(path), **more)
        except httpx.TransportError as error:
            raise self._unreachable(error) from None
        if response.status_code != 200 and response.status_code not in also:
            raise refusal(response)
        try:
            return orjson.loads(response.content)
        except orjson.JSONDecodeError:
            raise Failure(f"what answers at {self.url} is no dialer", code="no_dialer") from None

    def _to(self, path: tuple[str, ...]) -> str:
        return "/".join((self.url, *(quote(part, safe="") for part in path)))

    def _unreachable(self, error: httpx.TransportError) -> Unreachable:
        reason = " ".join(str(error).split()) or type(error).__name__
        message = f"the dialer at {self.url} cannot be reached: {reason}"
        never_sent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.UnsupportedProtocol)
        return Unreachable(message) if never_sent else Unanswered(message)


class Refusal(Failure):
    """An answer other than 200, with its JSON if it has any."""

    def __init__(self, message: str, *, code: str, field: str | None, body: Any) -> None:
        super().__init__(message, code=code, field=field)
        self.body = body


class Unable(Unreachable):
    """A 503, likewise."""

    def __init__(self, message: str, *, code: str, field: str | None, body: Any) -> None:
        super().__init__(message, code=code, field=field)
        self.body = body


def refusal(response: httpx.Response) -> Refusal | Unable:
    """What an answer other than 200 means."""
    try:
        body = orjson.loads(response.content)
        error = body["error"]
        code, message, field = str(error["code"]), str(error["message"]), error.get("field")
    except (orjson.JSONDecodeError, LookupError, TypeError, AttributeError):
        body, code, field = None, "http", None
        message = f"the answer was {response.status_code} {response.reason_phrase}"
    # A gateway before the dialer that does not reach it says so with one of the other two.
    kind = Unable if response.status_code in (502, 503, 504) else Refusal
    return kind(message, code=code, field=field, body=body)
