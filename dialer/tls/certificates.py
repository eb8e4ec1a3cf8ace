"""Every file for TLS that the settings name: read at the start and when it changes, and its end told in time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from attrs import frozen
from twisted.application.service import Service
from twisted.internet import ssl
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.web.iweb import IPolicyForHTTPS

from dialer.settings import Settings
from dialer.tls.options import ClientPolicy, ServerConnections, Trust, check_client, server_options
from dialer.tls.pem import EXPIRES_SOON, Identity, read_certificates, read_identity
from dialer.tls.watched import Watched

INTERVAL = 3.0
"""Seconds between two looks at the files: new ones are in use after two. A look is a stat of each."""

WARN_EVERY = timedelta(days=1)


@frozen
class Shown:
    """One of our own certificates: the variable that names it, when it expires, what is wrong with its file now."""

    variable: str
    expires: datetime
    problem: str | None


class Certificates(Service):
    """The certificates of one process. Making it reads the files; fails with WrongFile. `now` is in UTC."""

    log = Logger()

    def __init__(
        self, clock: IReactorTime, settings: Settings, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._clock = clock
        self._now = now
        self._watched: list[Watched[Any]] = []
        self._own: list[tuple[str, Watched[Any], Callable[[], Identity]]] = []
        self._told: dict[str, datetime] = {}
        self._looking = LoopingCall(self.look)
        self._looking.clock = clock
        self._server = self._for_http(settings)
        self._trust = self._for_vc(settings)
        self._for_database(settings)

    def startService(self) -> None:
        """Look now, and then every INTERVAL."""
        super().startService()
        if self._watched:
            self._looking.start(INTERVAL)

    def stopService(self) -> None:
        """Look no more."""
        super().stopService()
        if self._looking.running:
            self._looking.stop()

    @property
    def https(self) -> bool:
        """Whether the HTTP interface speaks TLS."""
        return self._server is not None

    def wrap(self, site: Any) -> Any:
        """The factory for the HTTP interface's port: `site` itself, or behind TLS."""
        if self._server is None:
            return site
        server = self._server
        return TLSMemoryBIOFactory(ServerConnections(lambda: server.value[0]), False, site, clock=self._clock)

    @property
    def vc_policy(self) -> IPolicyForHTTPS | None:
        """For requests to the VC; None: as the platform trusts."""
        trust = self._trust
        return None if trust is None else ClientPolicy(lambda: trust.value)

    def shown(self) -> list[Shown]:
        """Our own certificates, those in use."""
        return [Shown(variable, identity().expires, files.problem) for variable, files, identity in self._own]

    def look(self) -> None:
        """Read what has changed, and warn of what expires soon; once a day each."""
        for watched in self._watched:
            watched.look()
        now = self._now()
        for variable, _, identity in self._own:
            expires = identity().expires
            told = self._told.get(variable)
            if expires - now > EXPIRES_SOON or (told is not None and now - told < WARN_EVERY):
                continue
            self._told[variable] = now
            warn = self.log.error if expires <= now else self.log.warn
            warn(
                "CERTIFICATE EXPIRES: the one of {variable} {is_over} {expires}",
                variable=variable,
                is_over="has expired on" if expires <= now else "expires on",
                expires=f"{expires:%Y-%m-%d %H:%M} UTC",
            )

    def _for_http(self, settings: Settings) -> Watched[tuple[ssl.CertificateOptions, Identity]] | None:
        certificate, key, ca = settings.http_tls_cert, settings.http_tls_key, settings.http_tls_client_ca
        if certificate is None or key is None:
            return None

        def load() -> tuple[ssl.CertificateOptions, Identity]:
            identity = read_identity(certificate, key)
            return server_options(identity, read_certificates(ca) if ca else None), identity

        watched = self._watch(load, HTTP_TLS_CERT=certificate, HTTP_TLS_KEY=key, HTTP_TLS_CLIENT_CA=ca)
        self._own.append(("HTTP_TLS_CERT", watched, lambda: watched.value[1]))
        return watched

    def _for_vc(self, settings: Settings) -> Watched[Trust] | None:
        ca, certificate, key = settings.vc_tls_ca, settings.vc_tls_cert, settings.vc_tls_key
        if not ca and not certificate:
            return None

        def load() -> Trust:
            identity = read_identity(certificate, key) if certificate and key else None
            return check_client(Trust(read_certificates(ca) if ca else None, identity))

        watched = self._watch(load, VC_TLS_CA=ca, VC_TLS_CERT=certificate, VC_TLS_KEY=key)
        if certificate:
            self._own.append(("VC_TLS_CERT", watched, lambda: _identity_of(watched.value)))
        return watched

    def _for_database(self, settings: Settings) -> None:
        """PostgreSQL's library reads its files itself, for each connection; here they are looked at."""
        certificate, key, ca = settings.db_tls_cert, settings.db_tls_key, settings.db_tls_ca

        def load() -> Identity | None:
            if ca:
                read_certificates(ca)
            return read_identity(certificate, key) if certificate and key else None

        if ca or certificate:
            meanwhile = "connections to PostgreSQL that stand stay, and new ones may fail"
            watched = self._watch(load, meanwhile, DB_TLS_CA=ca, DB_TLS_CERT=certificate, DB_TLS_KEY=key)
            if certificate:
                self._own.append(("DB_TLS_CERT", watched, lambda: watched.value))

    def _watch(
        self, load: Callable[[], Any], meanwhile: str = "what was read before stays in use", **files: str | None
    ) -> Watched[Any]:
        watched = Watched({variable: path for variable, path in files.items() if path}, load, meanwhile)
        self._watched.append(watched)
        return watched


def _identity_of(trust: Trust) -> Identity:
    assert trust.identity is not None
    return trust.identity
