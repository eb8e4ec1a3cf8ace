"""The life of one dialer: what it waits for as it starts, and how it stops."""

from __future__ import annotations

from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import CannotListenError
from twisted.logger import Logger

from dialer.errors import DialerError
from dialer.interface import Interface
from dialer.masking import SHORTEST_SECRET
from dialer.parts import Parts
from dialer.settings import Settings
from dialer.shutdown import Shutdown
from dialer.store.database import DatabaseError
from dialer.store.migrate import migrate
from dialer.surroundings import Surroundings
from dialer.tls.certificates import Certificates

STOP_WITHIN = 6.5
"""Seconds for an ordered stop of everything but what is provided; the exit is due within 10 (SPEC 1)."""


class Dialer(Service):
    """One dialer process.

    Started before PostgreSQL, EFSwitch or the VC are there, it waits for them. A start that cannot succeed ends the
    process with status 1 and one line that says why.
    """

    log = Logger()
    name = "dialer"

    def __init__(self, reactor: Any, settings: Settings) -> None:
        self._reactor = reactor
        self._settings = settings
        self._surroundings = Surroundings(reactor, settings)
        self._starting: Deferred[Any] | None = None
        self._waits_for: str | None = "starting"
        self._parts: Parts | None = None
        self._interface: Interface | None = None
        self._certificates: Certificates | None = None
        self.port: Any = None
        """The IListeningPort where HTTP is served, once it is."""

    def startService(self) -> None:
        """Begin to start; parts that wait for something else keep waiting in the background."""
        super().startService()
        self._starting = Deferred.fromCoroutine(self._start())
        self._starting.addErrback(self._start_failed)

    @property
    def started(self) -> Deferred[None]:
        """Fires when the start is complete; dialing may still wait for EFSwitch."""
        done: Deferred[None] = Deferred()

        def ended(result: object) -> object:
            done.callback(None)
            return result

        if self._starting is not None:
            self._starting.addBoth(ended)
        return done

    async def _start(self) -> None:
        settings = self._settings
        surroundings = self._surroundings
        certificates = self._certificates = Certificates(self._reactor, settings)
        await surroundings.start()
        parts = self._parts = Parts(self._reactor, settings, surroundings, certificates)
        interface = self._interface = Interface(
            self._reactor, settings, surroundings, certificates, parts, lambda: self._waits_for
        )
        if not settings.api_tokens:
            self.log.warn("NO API_TOKENS: whoever reaches the HTTP interface may do everything")
        for variable in settings.shorter_secrets(SHORTEST_SECRET):
            self.log.warn(
                "{variable} is shorter than {characters} characters, and may be a word of any text: "
                "the log hides it in URLs and connection strings only",
                variable=variable,
                characters=SHORTEST_SECRET,
            )
        factory = certificates.wrap(interface.site)
        self.port = self._reactor.listenTCP(settings.http_port, factory, interface=settings.http_interface)
        certificates.startService()
        address = self.port.getHost()
        host = f"[{address.host}]" if ":" in address.host else address.host
        self.log.info(
            "HTTP interface listening on {scheme}://{host}:{port}",
            scheme="https" if certificates.https else "http",
            host=host,
            port=address.port,
        )
        surroundings.dialer_is_at(host, address.port)
        self._waits_for = "waiting for the database"
        await migrate(self._reactor, surroundings.conninfo, on_failure=parts.database.failed)
        parts.database.startService()
        parts.lease_database.startService()
        await parts.database.when_up()
        self._waits_for = "waiting for the lease on DIALER_ID"
        await parts.lease.claim()
        while True:
            try:
                await parts.reconcile.recover()
                break
            except DatabaseError:
                await parts.database.pause()
        self._waits_for = None
        parts.begin()

    def _start_failed(self, failure: Any) -> None:
        if failure.check(CancelledError):
            return
        self._waits_for = str(failure.value)
        if failure.check(DialerError, OSError, CannotListenError):
            self.log.critical("The dialer cannot start: {error}", error=failure.value)
        else:
            self.log.failure("The dialer cannot start", failure=failure)
        self._surroundings.end_process(str(failure.value))

    async def stopService(self) -> None:
        """Dial no new call, let commands under way finish, store what is known, release the lease."""
        super().stopService()
        stop = Shutdown(self._reactor, STOP_WITHIN)
        await stop.step("demonstration", self._surroundings.stop_demo)
        if self._starting is not None:
            self._starting.cancel()
        if self._certificates is not None:
            self._certificates.stopService()
        if self.port is not None:
            await stop.step("HTTP interface", self.port.stopListening)
        if self._interface is not None:
            self._interface.close()
        if self._parts is not None:
            await self._parts.end(stop)
        await self._surroundings.stop()
        self.log.info("The dialer has stopped")
