"""The description of the HTTP interface: the OpenAPI document, and a page of it to read."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from functools import cached_property
from importlib.resources import files
from typing import Any

from twisted.web.iweb import IRequest

from dialer.web.endpoint import JSON, endpoint
from dialer.web.page import render
from dialer.web.streaming import Streamed

GUARDED = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    # The next version describes another interface.
    "Cache-Control": "no-cache",
}
"""The page needs its style sheet, and nothing else from anywhere."""


class Docs:
    """`describe` makes the OpenAPI document; it is called once, when the document is first asked for."""

    def __init__(self, describe: Callable[[], dict[str, Any]]) -> None:
        self._describe = describe

    @endpoint("GET", "/openapi.json", scope=None, answers={JSON: dict[str, Any]})
    async def get_openapi(self, request: IRequest) -> object:  # noqa: ARG002  as every handler
        """This description, as an OpenAPI 3.1 document."""
        return self._document

    @endpoint("GET", "/docs", scope=None, for_browsers=True, answers={"text/html": None})
    async def get_docs(self, request: IRequest) -> object:  # noqa: ARG002
        """This description, as a page to read."""
        return Streamed("text/html; charset=utf-8", _once(self._page), GUARDED)

    @endpoint("GET", "/docs/style.css", scope=None, for_browsers=True, answers={"text/css": None})
    async def get_style(self, request: IRequest) -> object:  # noqa: ARG002
        """The style sheet of that page."""
        return Streamed("text/css; charset=utf-8", _once(self._style), GUARDED)

    @cached_property
    def _document(self) -> dict[str, Any]:
        return self._describe()

    @cached_property
    def _page(self) -> bytes:
        return render(self._document).encode()

    @cached_property
    def _style(self) -> bytes:
        return files("dialer.web").joinpath("documentation/style.css").read_bytes()


async def _once(body: bytes) -> AsyncGenerator[bytes, None]:
    yield body
