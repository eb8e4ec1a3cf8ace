"""The voice connector sandbox itself: what it does with what a dialer sends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from random import Random
from typing import Any, cast

import orjson
from attrs import evolve, frozen
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.interfaces import IDelayedCall, IListeningPort
from twisted.logger import Logger
from twisted.python.failure import Failure

from dialer.sandbox.vc.agents import AgentPool
from dialer.sandbox.vc.behaviour import (
    ANOTHER,
    HANG,
    LATE,
    NO_AGENT,
    REFUSE,
    SILENT,
    SLOW,
    TWICE,
    Behaviours,
    Channel,
    Rule,
)
from dialer.sandbox.vc.bodies import CHECKS, DELIVERY_NOTIFICATION, REQUEST_AGENT, check_headers
from dialer.sandbox.vc.ledger import MAX_RECORDS, Ledger, Record
from dialer.sandbox.vc.replies import ReplySender
from dialer.sandbox.vc.web import VoiceConnectorSite

MAX_PENDING_REPLIES = 10_000
"""Agent replies under way; an agent request beyond that is answered 503."""
_CHANNEL = {REQUEST_AGENT: Channel.REQUEST, DELIVERY_NOTIFICATION: Channel.NOTIFICATION}
_COUNTED_AS = {REQUEST_AGENT: "agentRequests", DELIVERY_NOTIFICATION: "notifications"}


@frozen
class Answer:
    """What to answer over HTTP: after `delay` seconds, or never when `status` is None."""

    status: int | None
    body: dict[str, Any]
    delay: float = 0.0


class VoiceConnector:
    """A voice connector to run a dialer against; see the package for its HTTP interface.

    `agents` is the size of the pool, `queues` where they are at home in turn (empty: the sandbox knows no queue names),
    `hold_time` the seconds after which a held agent is free whatever happens. `reply_delay` is in seconds and may be
    set at any time, like `dialer_url`. `dialer_token` is shown to a dialer that asks for one. `seed` decides which
    occasions a fraction hits. The newest `records` are kept.
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        *,
        dialer_url: str | None,
        dialer_token: str | None = None,
        agents: int = 10,
        reply_delay: float = 0.2,
        seed: int = 0,
        queues: Sequence[str] = ("Sales", "Support"),
        hold_time: float = 300.0,
        records: int = MAX_RECORDS,
    ) -> None:
        self._reactor = reactor
        random = Random(seed)
        self.dialer_url = dialer_url
        self.reply_delay = reply_delay
        self.behaviours = Behaviours(random)
        self.ledger = Ledger(records)
        self.pool = AgentPool(reactor.seconds, agents, queues, hold_time)
        self._initial = (agents, reply_delay)
        self._sender = ReplySender(reactor, self.ledger, random, dialer_token)
        self._calls: set[IDelayedCall] = set()
        self._replying: set[Deferred[None]] = set()
        self._site = VoiceConnectorSite(self, reactor)
        self._port: IListeningPort | None = None
        self._stopped = False

    def listen(self, interface: str = "127.0.0.1", port: int = 0) -> IListeningPort:
        """Serve there; port 0 takes a free one. Raises CannotListenError."""
        self._port = self._reactor.listenTCP(port, self._site, interface=interface)
        host, number = self._address
        self.log.info("Voice connector sandbox listening on http://{host}:{port}", host=host, port=number)
        return self._port

    @property
    def _address(self) -> tuple[str, int]:
        if self._port is None:
            raise RuntimeError("the sandbox is not listening")
        address = cast(Any, self._port.getHost())
        return (f"[{address.host}]" if ":" in address.host else address.host), address.port

    @property
    def url(self) -> str:
        """The base URL to give a dialer as its voice connector. Raises RuntimeError when not listening."""
        host, port = self._address
        return f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}"  # noqa: S104 nothing is bound here

    async def stop(self) -> None:
        """Returns when the port, every connection, reply and delayed call is gone. May be called again."""
        self._stopped = True
        if self._port is not None:
            port, self._port = self._port, None
            await maybeDeferred(port.stopListening)
        for call in list(self._calls):
            call.cancel()
        self._calls.clear()
        self._sender.stop()
        for reply in list(self._replying):
            reply.cancel()
        await self._site.close()
        await self._sender.close()
        self.ledger.close()

    def behave(
        self,
        channel: str,
        mode: str,
        *,
        next: int | None = None,
        fraction: float | None = None,
        status: int = 503,
        delay: float | None = None,
    ) -> None:
        """Put a rule in force; channels, modes and fields as in the package's docstring. Raises ValueError."""
        self.behaviours.add(Rule(channel, mode, next, fraction, status, delay))

    def reset(self) -> None:
        """Behave as at the start: no rules, the first reply delay and pool, no agent held, nothing recorded.

        Replies under way go on, and Idempotency-Keys stay known.
        """
        self.behaviours.reset()
        agents, self.reply_delay = self._initial
        self.pool.resize(agents)
        self.pool.release_all()
        self.ledger.clear()

    def records(self, wanted: Callable[[Record], bool] = lambda _: True) -> list[Record]:
        """The kept records that are `wanted`, oldest first."""
        return [record for record in self.ledger if wanted(record)]

    def when(self, wanted: Callable[[Record], bool]) -> Deferred[Record]:
        """Fires with the first record, kept or to come, that is `wanted`; `stop` cancels it."""
        return self.ledger.when(wanted)

    def summary(self) -> dict[str, Any]:
        """What `GET /sandbox/summary` shows."""
        ledger, counts = self.ledger, self.ledger.counts

        def counted(name: str) -> dict[str, Any]:
            kinds = ("received", "unique", "duplicates", "refused", "unanswered")
            return {kind: counts[f"{name}.{kind}"] for kind in kinds}

        return {
            "agentRequests": {**counted("agentRequests"), "byContact": ledger.requests_by_contact.as_json()},
            "agentReplies": {
                "underWay": len(self._replying) + len(self._calls),
                "withAgent": counts["agentReplies.withAgent"],
                "withoutAgent": counts["agentReplies.withoutAgent"],
                "givenUp": counts["agentReplies.givenUp"],
                "triesByStatus": ledger.replies_by_status.as_json(),
            },
            "notifications": {
                **counted("notifications"),
                "byContact": ledger.notifications_by_contact.as_json(),
                "byCallResult": ledger.notifications_by_result.as_json(),
                "moreThanOnce": ledger.notifications_by_contact.repeated(),
            },
            "endChats": {**counted("endChats"), "byCustomer": ledger.end_chats_by_customer.as_json()},
            "violations": counts["violations"],
            "agents": {
                "total": self.pool.size,
                "free": self.pool.free,
                "held": {held.agent: held.contact_id for held in self.pool.held},
            },
            "records": {"kept": len(ledger), "dropped": ledger.dropped, "bound": ledger.bound},
        }

    def receive(self, method: str, path: str, headers: dict[str, str], raw: bytes) -> Answer:
        """Take in what a dialer sent (header names in lower case) and say what to answer."""
        record = Record(time=datetime.now(UTC), direction="in", method=method, path=path, headers=headers, body=None)
        if path not in CHECKS:
            return self._violated(record, 404, f"there is no {path}"[:200])
        if method != "POST":
            return self._violated(record, 405, f"{path} takes POST, not {method}"[:200])
        try:
            record = evolve(record, body=orjson.loads(raw))
        except orjson.JSONDecodeError as error:
            record = evolve(record, body=raw[:2_000].decode("utf-8", "replace"))
            return self._violated(record, 400, f"the body is not JSON: {error}")
        wrong = check_headers(headers) or CHECKS[path](record.body, headers)
        key = headers.get("idempotency-key")
        if wrong is None and key is not None:
            wrong = self.ledger.keys.conflict(key, path, raw)
        return self._violated(record, 400, wrong) if wrong else self._accepted(record, raw)

    def _violated(self, record: Record, status: int, reason: str) -> Answer:
        self.log.warn("Voice connector sandbox: {path}: {reason}", path=record.path, reason=reason)
        self.ledger.add(evolve(record, status=status, violation=reason))
        return Answer(status, {"error": reason})

    def _accepted(self, record: Record, raw: bytes) -> Answer:
        """Answer a right body as the rules say, and act on it unless it is refused."""
        name = _COUNTED_AS.get(record.path, "endChats")
        counts = self.ledger.counts
        counts[f"{name}.received"] += 1
        rule = self.behaviours.take(_CHANNEL.get(record.path, Channel.END_CHAT))
        if (
            rule is None
            and record.path == REQUEST_AGENT
            and len(self._calls) + len(self._replying) >= MAX_PENDING_REPLIES
        ):
            rule = Rule(Channel.REQUEST, REFUSE)
        mode = None if rule is None else rule.mode
        if rule is not None and mode == REFUSE:
            counts[f"{name}.refused"] += 1
            self.ledger.add(evolve(record, status=rule.status, behaviour=mode))
            return Answer(rule.status, {"error": "refused on request"})
        key = record.headers.get("idempotency-key")
        duplicate = key is not None and not self.ledger.keys.add(key, record.path, raw)
        counts[f"{name}.{'duplicates' if duplicate else 'unique'}"] += 1
        status = None if mode == HANG else 200
        if status is None:
            counts[f"{name}.unanswered"] += 1
        if not duplicate:
            self._act(record.path, record.body)
        self.ledger.add(evolve(record, status=status, behaviour=mode, duplicate=duplicate))
        return Answer(status, {}, rule.seconds if rule is not None and mode == SLOW else 0.0)

    def _act(self, path: str, body: dict[str, Any]) -> None:
        if path == REQUEST_AGENT:
            self.ledger.requests_by_contact.add(body["callUid"])
            self._plan_reply(body)
        elif path == DELIVERY_NOTIFICATION:
            self.ledger.notifications_by_contact.add(body["id"])
            self.ledger.notifications_by_result.add(body["callResult"])
            self.pool.release_contact(body["id"])
        else:
            self.ledger.end_chats_by_customer.add(body["customerId"])
            self.pool.release_customer(body["customerId"])

    def _plan_reply(self, request: dict[str, Any]) -> None:
        rule = self.behaviours.take(Channel.REPLY)
        if rule is not None and rule.mode == SILENT:
            return
        late = rule.seconds if rule is not None and rule.mode == LATE else 0.0
        self._later(self.reply_delay + late, lambda: self._start(self._reply(request, rule)))

    async def _reply(self, request: dict[str, Any], rule: Rule | None) -> None:
        """Reserve an agent and tell the dialer; then what the rule wants besides."""
        contact_id, mode = request["callUid"], None if rule is None else rule.mode
        agent = None if mode == NO_AGENT else self.pool.reserve(contact_id, request["callingNumber"])
        self.ledger.counts["agentReplies.withAgent" if agent else "agentReplies.withoutAgent"] += 1
        named = request["queue"] if request["queueType"] == "NAME" else None
        queue = named or (self.pool.home_queue(agent) if agent else None)
        reply = {"uuid": contact_id, "agent": agent or "", "queue": queue}
        if rule is not None and mode == TWICE:
            self._later(rule.seconds, lambda: self._start(self._send(reply, mode)))
        status = await self._send(reply, mode)
        if agent is not None and (status is None or (400 <= status < 500 and status != 409)):
            # The dialer does not know of this agent, so it will not release it. After 409 and 500 it does.
            self.pool.release_contact(contact_id)
        if rule is not None and mode == ANOTHER:
            other = {**reply, "agent": self.pool.another(agent or "")}
            self._later(rule.seconds, lambda: self._start(self._send(other, mode)))

    async def _send(self, reply: dict[str, Any], mode: str | None) -> int | None:
        status = await self._sender.send(lambda: self.dialer_url, reply, mode)
        if status is None:
            self.ledger.counts["agentReplies.givenUp"] += 1
        return status

    def _later(self, seconds: float, act: Callable[[], None]) -> None:
        if self._stopped:
            return

        def run() -> None:
            self._calls.discard(call)
            act()

        call: IDelayedCall = self._reactor.callLater(seconds, run)
        self._calls.add(call)

    def _start(self, reply: Any) -> None:
        deferred: Deferred[None] = Deferred.fromCoroutine(reply)
        self._replying.add(deferred)

        def ended(result: object) -> None:
            self._replying.discard(deferred)
            if isinstance(result, Failure) and not isinstance(result.value, CancelledError):
                self.log.failure("Voice connector sandbox: an agent reply failed", result)

        deferred.addBoth(ended)
