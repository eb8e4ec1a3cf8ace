"""The pages for people: the dashboard, a campaign, a contact, and what they are told as it happens.

The pages are files below `static`, shipped with the package; they load nothing from anywhere else, and ask the JSON
interface like everybody. What they are not allowed to do, the browser is told in each answer.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from importlib.resources import files

from twisted.web.iweb import IRequest

from dialer.live import Live, OneLooksTooMuch, TooManyLook, Viewer
from dialer.web.answers import RETRY_AFTER, Content, HttpError
from dialer.web.endpoint import Scope, endpoint
from dialer.web.events import RETRY, Telling, beat
from dialer.web.gate import counted_as
from dialer.web.streaming import Streamed

HEARTBEAT = 5.0
"""Seconds after which somebody who was told nothing is told that nothing has changed."""

GUARDED: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    # A version that is replaced must not be mixed with the next one; asking costs an answer without a body.
    "Cache-Control": "no-cache",
}

TYPES = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
}

HTML = {"text/html": None}
ASSETS = {"text/javascript": None, "text/css": None, "image/svg+xml": None}

EVENT_STREAM = "text/event-stream; charset=utf-8"


class TooManyViewers(HttpError):
    """Too many look: 429 when it is one caller, else 503."""

    def __init__(self, many: TooManyLook) -> None:
        status = 429 if isinstance(many, OneLooksTooMuch) else 503
        super().__init__(status, "too_many", str(many), headers={"Retry-After": str(RETRY_AFTER)})


class Pages:
    """Serves the files, read once, and tells each viewer of `live` what has changed."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._telling = Telling()
        self._files = {
            file.name: Content(TYPES[file.name.rpartition(".")[2]], file.read_bytes(), GUARDED)
            for file in files("dialer.web").joinpath("static").iterdir()
        }

    @endpoint("GET", "/", scope=None, answers=HTML, for_browsers=True)
    async def get_dashboard(self, request: IRequest) -> object:  # noqa: ARG002  as every handler
        """The dashboard."""
        return self._files["dashboard.html"]

    @endpoint("GET", "/ui/campaign/<campaign_id>", scope=None, answers=HTML, for_browsers=True)
    async def get_campaign_page(self, request: IRequest, campaign_id: str) -> object:  # noqa: ARG002
        """The page of a campaign."""
        return self._files["campaign.html"]

    @endpoint("GET", "/ui/contact/<contact_id>", scope=None, answers=HTML, for_browsers=True)
    async def get_contact_page(self, request: IRequest, contact_id: str) -> object:  # noqa: ARG002
        """The page of a contact."""
        return self._files["contact.html"]

    @endpoint("GET", "/signin", scope=None, answers=HTML, for_browsers=True)
    async def get_signin_page(self, request: IRequest) -> object:  # noqa: ARG002
        """The page to sign in on."""
        return self._files["signin.html"]

    @endpoint("GET", "/ui/static/<name>", scope=None, answers=ASSETS, errors=[404], for_browsers=True)
    async def get_static(self, request: IRequest, name: str) -> object:  # noqa: ARG002
        """A script, a style sheet or a picture of the pages."""
        if (content := self._files.get(name)) is None or name.endswith(".html"):
            raise HttpError(404, "not_found", f"there is no file {name!r}")
        return content

    @endpoint(
        "GET", "/events", scope=Scope.READ, answers={"text/event-stream": None}, errors=[429, 503], for_browsers=True
    )
    async def get_events(self, request: IRequest) -> object:
        """What the dashboard shows, as server-sent events: all of it first, then what has changed."""
        try:
            viewer = self._live.look(counted_as(request))
        except TooManyLook as many:
            raise TooManyViewers(many) from many
        # A proxy must pass on each event as it comes.
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return Streamed(EVENT_STREAM, self._events(viewer), headers, viewer.leave)

    async def _events(self, viewer: Viewer) -> AsyncGenerator[bytes, None]:
        told = None
        try:
            yield b"retry: %d\n\n" % RETRY
            while not viewer.gone:
                # Who reads slowly is told the difference to what they have, not each step to it.
                latest = await viewer.next(told, HEARTBEAT)
                if latest is not None:
                    event = self._telling.event(told, latest)
                    told = latest
                    yield event
                elif not viewer.gone:
                    yield beat()
        finally:
            viewer.leave()
