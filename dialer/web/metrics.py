"""The metrics over HTTP."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from twisted.web.iweb import IRequest

from dialer.metrics.exposition import Exposition
from dialer.web.endpoint import Scope, endpoint
from dialer.web.streaming import Streamed


class Metrics:
    """Hands out the page that Prometheus scrapes."""

    def __init__(self, exposition: Exposition) -> None:
        self._exposition = exposition

    @endpoint("GET", "/metrics", scope=Scope.READ, answers={"text/plain": None, "application/openmetrics-text": None})
    async def get_metrics(self, request: IRequest) -> object:
        """Figures for Prometheus, in its text format, or as OpenMetrics for who accepts that; what only the database
        knows is missing while it is down."""
        accept = request.getHeader(b"accept") or b""
        content_type, text = await self._exposition.scrape(accept.decode("latin-1"))
        return Streamed(content_type, _whole(text))


async def _whole(text: bytes) -> AsyncGenerator[bytes, None]:
    yield text
