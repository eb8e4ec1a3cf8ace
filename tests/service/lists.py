"""Lists of contacts for uploads, in pieces that a test makes when it wants to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any
from uuid import uuid4

from attrs import define
from twisted.internet.defer import Deferred
from twisted.web.iweb import UNKNOWN_LENGTH, IBodyProducer
from zope.interface import implementer

from tests.service.world import Reply, World

CSV = "text/csv"
NDJSON = "application/x-ndjson"
LATER = "2099-01-01T00:00:00Z"

HEADER = b"id;Customer Number;campaign_type;gateway_id;campaign_id;start_time\n"


def campaign() -> str:
    """A campaign that nobody else has."""
    return f"c-{uuid4()}"


def rows(campaign_id: str, numbers: Iterable[int], start: str = LATER) -> bytes:
    """Contacts `campaign-number` of a campaign, as rows under HEADER."""
    return b"".join(
        f"{campaign_id[:30]}-{number};+44{number:09};IVR;gw-1;{campaign_id};{start}\r\n".encode() for number in numbers
    )


@implementer(IBodyProducer)
@define(eq=False)
class Pieces:
    """A body of unknown length. What its making fails with breaks the request off."""

    pieces: AsyncIterator[bytes]
    length: Any = UNKNOWN_LENGTH
    _held: Deferred[None] | None = None
    _stopped: bool = False

    def startProducing(self, consumer: Any) -> Deferred[None]:
        """Write the pieces as fast as they are made and taken."""

        async def write() -> None:
            async for piece in self.pieces:
                if self._held is not None:
                    await self._held
                if self._stopped:
                    return
                consumer.write(piece)

        return Deferred.fromCoroutine(write())

    def pauseProducing(self) -> None:
        """The connection is full."""
        self._held = self._held or Deferred()

    def resumeProducing(self) -> None:
        """There is room again."""
        held, self._held = self._held, None
        if held is not None:
            held.callback(None)

    def stopProducing(self) -> None:
        """The connection is gone."""
        self._stopped = True
        self.resumeProducing()


async def upload(
    world: World, body: bytes | AsyncIterator[bytes], content_type: str = CSV, query: Mapping[str, str] | None = None
) -> Reply:
    """Post a list."""
    data = body if isinstance(body, bytes) else Pieces(body)
    return await world.request(
        "POST", "/contacts", data=data, headers={"Content-Type": content_type}, params=dict(query or {})
    )
