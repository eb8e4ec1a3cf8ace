"""The voice connector (VC): its wire format, and what became of each request.

*In*: contacts and outbox messages. *Out*: HTTP POSTs with JSON bodies, and for each one a value that says what is
known. Nothing is sent twice in here; whoever calls decides what is tried again.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import orjson
from attrs import frozen
from treq.client import HTTPClient
from treq.cookies import IndexableCookieJar
from twisted.internet.defer import Deferred
from twisted.web.client import URI, Agent, HTTPConnectionPool
from twisted.web.iweb import IAgentEndpointFactory, IPolicyForHTTPS

from dialer.bodies import AgentRequestBody, Body, EndChatBody, NotificationBody
from dialer.contact import Contact
from dialer.handshake import HandshakenEndpoints
from dialer.message import MessageKind, OutboxMessage
from dialer.outcome import wire_result
from dialer.posting import Address, Exchange, Poster
from dialer.reachability import Reachability
from dialer.trouble import Trouble

REQUEST_AGENT = "/request-agent"
NOTIFICATION = "/send-delivery-notification"
END_CHAT = "/end-chat"
"""What is asked of a VC, below its base URL (SPEC 4)."""

TENANT = "tenantid"
"""The header that names the contact's tenant, if it has one."""

IDEMPOTENCY_KEY = "Idempotency-Key"
"""The header that is the same for all tries to deliver one message."""

CONNECT_TIMEOUT = 5.0
"""Seconds until a connection stands and the request is written; after that nothing is sent any more."""

ANSWER_TIMEOUT = 10.0
"""Seconds from the request's being written to the status of the answer."""

IDLE_CONNECTION = 1.5
"""Seconds for which an idle connection is kept: less than HTTP servers keep theirs (2 s and more), since a request
written to a connection that the server is just closing counts as sent."""

IDLE_CONNECTIONS = 32
"""Idle connections kept at most: as many as deliveries may be under way."""

CLOSE_TIMEOUT = 1.0
"""Seconds for closing the idle connections."""

RETRIED_STATUSES = frozenset({408, 425, 429})
"""The 4xx that say "later" and not "never"."""


class AgentRequestKind(Enum):
    """What is known about an agent request."""

    ACCEPTED = auto()
    """2xx."""
    REFUSED = auto()
    """Any other status."""
    UNDELIVERABLE = auto()
    """Nothing of it was sent."""
    UNANSWERED = auto()
    """It was written and no status came back: the VC may have it."""


@frozen
class AgentRequest:
    """The fate of one agent request. `status` is that of the HTTP answer, if any; `reason` is for the log."""

    kind: AgentRequestKind
    reason: str
    status: int | None = None


class DeliveryKind(Enum):
    """What is known about one try to deliver a message."""

    ACCEPTED = auto()
    REJECTED = auto()
    """A 4xx that no further try can change."""
    TRY_AGAIN = auto()


@frozen
class Delivery:
    """The fate of one try to deliver a message. `reason` is for the log and for the message's row."""

    kind: DeliveryKind
    reason: str


class Connector:
    """A VC under one base URL.

    `client` is a treq `HTTPClient`, `pool` the pool under it, which `close` empties: see `Connector.persistent`.
    """

    def __init__(
        self,
        reactor: Any,
        client: Any,
        base_url: str,
        service_identifier: str,
        *,
        pool: HTTPConnectionPool | None = None,
    ) -> None:
        self._reactor = reactor
        self._poster = Poster(reactor, client)
        self._base_url = base_url.rstrip("/")
        self._addresses = {path: Address.of(self._base_url + path) for path in (REQUEST_AGENT, NOTIFICATION, END_CHAT)}
        self._service_identifier = service_identifier
        self._pool = pool
        address = URI.fromBytes(self._base_url.encode("ascii"))
        self._reachability = Reachability(
            reactor, f"Voice connector {self._base_url}", address.host.decode("ascii"), address.port
        )

    @classmethod
    def persistent(
        cls, reactor: Any, base_url: str, service_identifier: str, *, policy: IPolicyForHTTPS | None = None
    ) -> Connector:
        """A connector over connections that are kept for a short while and never repeat a request by themselves.

        `policy` says which certificates are trusted; by default those that the platform trusts.
        """
        client, pool = persistent_client(reactor, HandshakenEndpoints(reactor, CONNECT_TIMEOUT, policy))
        return cls(reactor, client, base_url, service_identifier, pool=pool)

    @property
    def up(self) -> bool:
        """Whether the VC gave any HTTP answer when last asked or, asked nothing for a while, took a connection."""
        return self._reachability.up

    @property
    def known(self) -> bool:
        """Whether anything is known of the VC yet."""
        return self._reachability.known

    @property
    def reason(self) -> str:
        """Why `up` is what it is."""
        return self._reachability.reason

    @property
    def trouble(self) -> Trouble | None:
        """For how long the VC has not answered, and why it last did not; None while it does."""
        return self._reachability.trouble

    def start(self) -> None:
        """Keep `up` fresh from now on, also while nothing is sent."""
        self._reachability.start()

    async def close(self) -> None:
        """End what is under way (each call returns what is known) and close the connections, within CLOSE_TIMEOUT."""
        self._reachability.stop()
        self._poster.give_up()
        if self._pool is not None:
            await close_idle(self._reactor, self._pool)

    async def request_agent(self, contact: Contact, *, esl_host_default: str) -> AgentRequest:
        """Ask for an agent for this contact; never fails, and answers within CONNECT_TIMEOUT + ANSWER_TIMEOUT.

        `esl_host_default` is EFSWITCH-IP, named for a contact without a tenant. A cancelled call, too, returns
        whether the request was sent.
        """
        body = AgentRequestBody(
            calling_number=contact.customer_number,
            call_uid=contact.id,
            esl_host=contact.tenant_id or esl_host_default,
            service_identifier=self._service_identifier,
            priority=contact.priority,
            queue=contact.queue_name or contact.resource_id,
            queue_type="NAME" if contact.queue_name else "ID",
        )
        exchange = await self._post(REQUEST_AGENT, body, _tenant(contact.tenant_id), CONNECT_TIMEOUT)
        if exchange.accepted:
            kind = AgentRequestKind.ACCEPTED
        elif exchange.status is not None:
            kind = AgentRequestKind.REFUSED
        else:
            kind = AgentRequestKind.UNANSWERED if exchange.sent else AgentRequestKind.UNDELIVERABLE
        return AgentRequest(kind, exchange.reason, exchange.status)

    async def deliver(self, message: OutboxMessage, *, send_within: float = CONNECT_TIMEOUT) -> Delivery:
        """Try once to deliver this message; never fails, and answers within CONNECT_TIMEOUT + ANSWER_TIMEOUT.

        After `send_within` seconds (CONNECT_TIMEOUT at most) it is not sent any more. Raises ValueError for a webhook,
        which is not for the VC.
        """
        path, body = self._written(message)
        headers = {**_tenant(message.tenant_id), IDEMPOTENCY_KEY: message.idempotency_key}
        exchange = await self._post(path, body, headers, min(max(send_within, 0.0), CONNECT_TIMEOUT))
        return Delivery(fate_of(exchange), exchange.reason)

    def _written(self, message: OutboxMessage) -> tuple[str, Body]:
        """Where a message goes, and what it says there."""
        match message.kind:
            case MessageKind.NOTIFICATION:
                return NOTIFICATION, NotificationBody(
                    id=message.contact_id,
                    service_id=self._service_identifier,
                    customer_num=message.customer_number,
                    call_result=wire_result(message.call_result or ""),
                )
            case MessageKind.END_CHAT:
                return END_CHAT, EndChatBody(customer_id=message.customer_number, service_id=self._service_identifier)
        raise ValueError(f"a {message.kind} is not for the voice connector")

    async def _post(self, path: str, body: Body, headers: Mapping[str, str], send_within: float) -> Exchange:
        since = self._reachability.asked()
        exchange = await self._poster.post(
            self._addresses[path],
            orjson.dumps(body.wire()),
            {"Content-Type": "application/json", **headers},
            send_within=send_within,
            answer_within=ANSWER_TIMEOUT,
        )
        if exchange.status is None:
            self._reachability.unanswered(since, exchange.reason)
        else:
            self._reachability.answered(exchange.reason)
        return exchange


def persistent_client(reactor: Any, endpoints: IAgentEndpointFactory) -> tuple[HTTPClient, HTTPConnectionPool]:
    """A client over connections that are kept for a short while and never repeat a request by themselves."""
    pool = HTTPConnectionPool(reactor, persistent=True)
    pool.retryAutomatically = False
    pool.maxPersistentPerHost = IDLE_CONNECTIONS
    pool.cachedConnectionTimeout = IDLE_CONNECTION  # type: ignore[assignment]
    # Cookies are no part of the wire format, and a jar has no bound.
    no_cookies = IndexableCookieJar(DefaultCookiePolicy(allowed_domains=()))
    return HTTPClient(Agent.usingEndpointFactory(reactor, endpoints, pool), cookiejar=no_cookies), pool


async def close_idle(reactor: Any, pool: HTTPConnectionPool) -> None:
    """Close the connections of a pool, within CLOSE_TIMEOUT."""
    closed: Deferred[None] = pool.closeCachedConnections()
    # Nothing is under way on them: one that does not close in time loses nothing.
    closed.addTimeout(CLOSE_TIMEOUT, reactor).addErrback(lambda _: None)
    await closed


def _tenant(tenant_id: str | None) -> dict[str, str]:
    return {TENANT: tenant_id} if tenant_id else {}


def fate_of(exchange: Exchange) -> DeliveryKind:
    """What is known about a try to deliver a message."""
    if exchange.accepted:
        return DeliveryKind.ACCEPTED
    if exchange.status is not None and 400 <= exchange.status < 500 and exchange.status not in RETRIED_STATUSES:
        return DeliveryKind.REJECTED
    return DeliveryKind.TRY_AGAIN
