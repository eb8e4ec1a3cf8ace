"""Shows a dialer at work: loads the sample campaigns over HTTP and shows their progress until all are done."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, TextIO
from uuid import uuid4

import orjson
import treq
from attrs import evolve
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.defer import TimeoutError as NoAnswer
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.client import Agent
from twisted.web.http_headers import Headers

from dialer.rate import CallRate
from dialer.sandbox.display import Display, display_for
from dialer.sandbox.progress import Campaign, Counts, Progress, calls_so_far, read_counts, reckon
from dialer.sandbox.samples import sample_contacts

POLL_INTERVAL = 1.0
"""Seconds between two looks at the dialer."""
ANSWER_TIMEOUT = 10.0
"""Seconds; a dialer that takes longer is shown as not reachable."""


class _Unreachable(Exception):
    """The dialer gave no answer."""


class Demo(Service):
    """Loads the samples into the dialer at `base_url` once it is ready, and shows on `output` what becomes of them.

    Without `load` it shows the campaigns that are there. It uses nothing but the dialer's HTTP interface; trouble with
    that is shown, never raised. `interval` is in seconds; `token` is shown to a dialer that asks for one.
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        *,
        base_url: str,
        output: TextIO,
        load: bool = True,
        interval: float = POLL_INTERVAL,
        token: str | None = None,
    ) -> None:
        self._reactor = reactor
        self._token = token
        self._url = base_url.rstrip("/")
        self._load = load
        self._interval = interval
        self._agent = Agent(reactor, connectTimeout=ANSWER_TIMEOUT)
        self._display: Display = display_for(output, reactor.seconds)
        self._progress = Progress()
        self._rate = CallRate()
        self._running: Deferred[None] | None = None
        self._over = False
        self._waiters: list[Deferred[None]] = []

    def startService(self) -> None:
        """Begin."""
        super().startService()
        self._over = False
        running: Deferred[None] = Deferred.fromCoroutine(self._run())
        self._running = running
        running.addBoth(self._ended)

    def stopService(self) -> Deferred[None]:
        """Fires once nothing is under way and the terminal is given back."""
        super().stopService()
        if self._running is None:
            return succeed(None)
        stopped: Deferred[None] = Deferred.fromCoroutine(self.finished())
        self._running.cancel()
        return stopped

    async def finished(self) -> None:
        """Returns when the summary was shown or the service stopped."""
        if not self._over:
            waiter: Deferred[None] = Deferred()
            self._waiters.append(waiter)
            await waiter

    def say(self, line: str) -> None:
        """Print one line without disturbing the display; for a log that shares its terminal."""
        self._display.say(line)

    def _ended(self, result: object) -> None:
        self._over, self._running = True, None
        try:
            self._display.finish()
        except (OSError, ValueError) as closed:
            result = closed
        error = result.value if isinstance(result, Failure) else result
        if isinstance(error, OSError | ValueError):
            # The output was closed, such as the end of a pipe: no reason to disturb anyone.
            self.log.warn("Progress is shown no more: {reason}", reason=str(error))
        elif isinstance(result, Failure) and not isinstance(error, CancelledError):
            self.log.failure("Progress is shown no more", result)
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.callback(None)

    async def _run(self) -> None:
        await self._ready()
        before: Counts = {}
        watched: tuple[str, ...] | None = None
        if self._load:
            before = await self._insist(self._counts)
            contacts = sample_contacts(datetime.now(UTC), lambda: str(uuid4()))
            refused = await self._insist(lambda: self._post(contacts))
            if refused is not None:
                self._display.say(f"The dialer refused the sample campaigns: {refused}")
                self._display.say(f"The dialer keeps serving at {self._url}")
                return
            watched = tuple(dict.fromkeys(contact["campaignId"] for contact in contacts))
            self._display.say(f"{len(contacts)} sample contacts loaded into {len(watched)} campaigns")
        campaigns = await self._watch(before, watched)
        self._display.finish()
        self._display.say(f"All contacts are done: {sum(campaign.done for campaign in campaigns)} in all")
        self._display.summarize(campaigns)
        self._display.say(f"The dialer keeps serving at {self._url}")

    async def _ready(self) -> None:
        while True:
            try:
                status, shown = await self._call("GET", "/readyz")
            except _Unreachable as error:
                self._trouble(str(error))
            else:
                if status == 200:
                    return
                self._trouble(f"dialer not ready: {_reasons(shown) or f'HTTP {status}'}")
            await self._pause()

    async def _watch(self, before: Counts, watched: Iterable[str] | None) -> tuple[Campaign, ...]:
        """Show the progress until no contact is open; returns the last of it."""
        while True:
            try:
                counts = await self._counts()
                status = await self._get("/status")
            except _Unreachable as error:
                self._trouble(str(error))
            else:
                self._progress = Progress(
                    reckon(counts if watched is None else watched, before, counts),
                    self._rate.note(self._reactor.seconds(), calls_so_far(counts)),
                    _number(status, "callsPerSecond"),
                    _number(status, "activeCalls"),
                    _number(status, "maxConcurrentCalls"),
                )
                self._display.show(self._progress)
                if not any(campaign.open for campaign in self._progress.campaigns):
                    return self._progress.campaigns
            await self._pause()

    async def _insist(self, ask: Any) -> Any:
        while True:
            try:
                return await ask()
            except _Unreachable as error:
                self._trouble(str(error))
            await self._pause()

    async def _counts(self) -> Counts:
        try:
            return read_counts(await self._get("/campaigns"))
        except ValueError as error:
            raise _Unreachable(f"dialer not understood: {error}") from None

    async def _post(self, contacts: list[dict[str, Any]]) -> str | None:
        """Post the samples; returns why they were refused. May be repeated: an id is stored once."""
        status, shown = await self._call("POST", "/contacts", contacts)
        if status == 200:
            return None
        reason = f"HTTP {status} {_reasons(shown)}".strip()
        if status >= 500 or status in (408, 425, 429):
            raise _Unreachable(f"dialer takes no contacts: {reason}")
        return reason

    async def _get(self, path: str) -> Any:
        status, shown = await self._call("GET", path)
        if status != 200:
            raise _Unreachable(f"dialer answers {path} with HTTP {status} {_reasons(shown)}".strip())
        return shown

    async def _call(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """One request. Fails with _Unreachable when there is no answer, or one that is not JSON."""
        asked: Deferred[tuple[int, bytes]] = Deferred.fromCoroutine(self._exchange(method, path, body))
        try:
            status, raw = await asked.addTimeout(ANSWER_TIMEOUT, self._reactor)
            return status, orjson.loads(raw)
        except orjson.JSONDecodeError:
            raise _Unreachable(f"dialer not understood: {path} is not JSON") from None
        except Exception as error:  # whatever it was, it is shown and tried again
            if not self.running:
                raise CancelledError from None
            raise _Unreachable(f"dialer not reachable: {_why(error)}"[:200]) from None

    async def _exchange(self, method: str, path: str, body: object) -> tuple[int, bytes]:
        data = None if body is None else orjson.dumps(body)
        headers = Headers({"content-type": ["application/json"]})
        if self._token is not None:
            headers.addRawHeader("authorization", f"Bearer {self._token}")
        response = await treq.request(method, self._url + path, data=data, headers=headers, agent=self._agent)
        return response.code, await treq.content(response)

    def _trouble(self, trouble: str) -> None:
        self._progress = evolve(self._progress, trouble=trouble)
        self._display.show(self._progress)

    async def _pause(self) -> None:
        await deferLater(self._reactor, self._interval, lambda: None)


def _why(error: Exception) -> str:
    """The cause in words: Twisted wraps what befell a connection in lists of failures."""
    causes = getattr(error, "reasons", None)
    if causes:
        return _why(causes[0].value)
    return f"no answer within {ANSWER_TIMEOUT:g} s" if isinstance(error, NoAnswer) else str(error) or repr(error)


def _reasons(shown: Any) -> str:
    """What an answer gives as reasons, in whichever of the dialer's forms."""
    if not isinstance(shown, dict):
        return ""
    if isinstance(shown.get("reasons"), list):
        return "; ".join(str(reason) for reason in shown["reasons"])[:300]
    error = shown.get("error")
    return str(error.get("message", ""))[:300] if isinstance(error, dict) else ""


def _number(shown: Any, name: str) -> Any:
    value = shown.get(name) if isinstance(shown, dict) else None
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
