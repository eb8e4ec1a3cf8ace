"""The voice connector sandbox over real HTTP, with a fake dialer to reply to."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_twisted
from hamcrest import assert_that, contains_exactly, contains_string, equal_to, has_entries, has_entry, has_length
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.tcp import Connection, Port

from dialer.sandbox.vc import Record, VoiceConnector
from dialer.sandbox.vc.web import MAX_BODY
from tests.sandbox.servers import JsonServer, call, turn
from tests.sandbox.test_vc_parts import CHAT, NOTIFICATION, REQUEST


class FakeDialer:
    """Takes agent replies, with `answers` first and 200 after them; None cuts the connection."""

    def __init__(self, *answers: tuple[int, Any] | None) -> None:
        self.replies: list[Any] = []
        self._answers = list(answers)
        self.server = JsonServer(reactor, self._take)

    def _take(self, method: str, path: str, body: Any) -> tuple[int, Any] | None:
        assert (method, path) == ("POST", "/agent")
        self.replies.append(body)
        return self._answers.pop(0) if self._answers else (200, {})


@asynccontextmanager
async def sandbox(
    *answers: tuple[int, Any] | None, **settings: Any
) -> AsyncIterator[tuple[VoiceConnector, FakeDialer]]:
    dialer = FakeDialer(*answers)
    connector = VoiceConnector(reactor, dialer_url=dialer.server.url, **{"reply_delay": 0.0, **settings})
    connector.listen()
    try:
        yield connector, dialer
    finally:
        await connector.stop()
        await dialer.server.stop()


async def post(connector: VoiceConnector, path: str, body: Any, key: str | None = None) -> tuple[int, Any]:
    headers = {"content-type": "application/json"} | ({} if key is None else {"idempotency-key": key})
    return await call(reactor, "POST", connector.url + path, body, headers)


def request(contact: str = "c-1", **changes: Any) -> dict[str, Any]:
    return {**REQUEST, "callUid": contact, **changes}


def replied(contact: str = "c-1", *, status: int | None = 200, attempt: int = 1) -> Callable[[Record], bool]:
    def wanted(record: Record) -> bool:
        return (record.direction, record.contact_id, record.status) == ("out", contact, status) and (
            record.attempt == attempt
        )

    return wanted


def nth(n: int, wanted: Callable[[Record], bool]) -> Callable[[Record], bool]:
    met: list[int] = []

    def counted(record: Record) -> bool:
        if wanted(record) and record.seq not in met:
            met.append(record.seq)
        return len(met) >= n

    return counted


@pytest_twisted.ensureDeferred
async def test_an_agent_request_is_answered_with_a_reserved_agent() -> None:
    async with sandbox() as (connector, dialer):
        answer = await post(connector, "/request-agent", request())
        await connector.when(replied())
    assert_that(answer, equal_to((200, {})))
    assert_that(dialer.replies, contains_exactly({"uuid": "c-1", "agent": "1001", "queue": "Sales"}))


@pytest_twisted.ensureDeferred
async def test_a_request_by_queue_id_is_answered_with_the_agents_own_queue() -> None:
    async with sandbox() as (connector, dialer):
        for contact in ("c-1", "c-2"):
            await post(connector, "/request-agent", request(contact, queue="66f0", queueType="ID"))
            await connector.when(replied(contact))
    assert_that([reply["queue"] for reply in dialer.replies], contains_exactly("Sales", "Support"))


@pytest_twisted.ensureDeferred
async def test_a_request_beyond_the_pool_gets_an_empty_agent_until_one_is_freed() -> None:
    async with sandbox(agents=1) as (connector, dialer):
        for contact in ("c-1", "c-2"):
            await post(connector, "/request-agent", request(contact))
            await connector.when(replied(contact))
        await post(connector, "/send-delivery-notification", NOTIFICATION, "k-1")
        await post(connector, "/request-agent", request("c-3"))
        await connector.when(replied("c-3"))
    assert_that([reply["agent"] for reply in dialer.replies], contains_exactly("1001", "", "1001"))


@pytest_twisted.ensureDeferred
async def test_end_chat_frees_the_agent_of_that_customer() -> None:
    async with sandbox(agents=1) as (connector, _):
        await post(connector, "/request-agent", request())
        await connector.when(replied())
        held = connector.summary()["agents"]
        await post(connector, "/end-chat", CHAT, "k-1")
        assert_that(held, equal_to({"total": 1, "free": 0, "held": {"1001": "c-1"}}))
        assert_that(connector.pool.free, equal_to(1))


@pytest_twisted.ensureDeferred
async def test_a_reply_is_sent_again_while_the_dialer_is_unavailable_or_cuts_the_connection() -> None:
    async with sandbox((503, {}), None) as (connector, dialer):
        await post(connector, "/request-agent", request())
        await connector.when(replied(attempt=3))
        tries = [record.status for record in connector.records(lambda record: record.direction == "out")]
        summary = connector.summary()["agentReplies"]
    assert_that(tries, contains_exactly(503, None, 200))
    assert_that(dialer.replies, equal_to([dialer.replies[0]] * 3))
    assert_that(summary, has_entries(withAgent=1, triesByStatus={"503": 1, "none": 1, "200": 1}))


@pytest_twisted.ensureDeferred
async def test_a_reply_waits_for_the_dialer_to_be_named_and_to_listen() -> None:
    async with sandbox() as (connector, dialer):
        nobody = JsonServer(reactor, lambda *_: None)
        await nobody.stop()
        connector.dialer_url = None
        await post(connector, "/request-agent", request())
        await connector.when(replied(status=None))
        connector.dialer_url = nobody.url
        refused = await connector.when(replied(status=None, attempt=2))
        connector.dialer_url = dialer.server.url
        await connector.when(replied(attempt=3))
    assert_that(refused.error, contains_string("Connection was refused"))
    assert_that(dialer.replies, has_length(1))


@pytest_twisted.ensureDeferred
async def test_an_agent_that_the_dialer_does_not_know_of_is_freed() -> None:
    async with sandbox((404, {}), (409, {})) as (connector, _):
        for contact, status in (("c-1", 404), ("c-2", 409)):
            await post(connector, "/request-agent", request(contact))
            await connector.when(replied(contact, status=status))
        await turn(reactor)
        # After 409 the dialer sends an END_CHAT, and a sandbox that freed it itself would hide one that does not.
        assert_that([held.contact_id for held in connector.pool.held], contains_exactly("c-2"))


@pytest_twisted.ensureDeferred
async def test_a_refused_request_is_answered_with_that_status_and_gets_no_reply() -> None:
    async with sandbox() as (connector, dialer):
        connector.behave("request", "refuse", status=502, next=1)
        refused = await post(connector, "/request-agent", request("c-1"))
        await post(connector, "/request-agent", request("c-2"))
        await connector.when(replied("c-2"))
        summary = connector.summary()["agentRequests"]
    assert_that(refused[0], equal_to(502))
    assert_that([reply["uuid"] for reply in dialer.replies], contains_exactly("c-2"))
    assert_that(summary, has_entries(received=2, refused=1, unique=1, byContact={"c-2": 1}))


@pytest_twisted.ensureDeferred
async def test_a_hanging_request_is_never_answered_but_gets_its_reply() -> None:
    async with sandbox() as (connector, _):
        connector.behave("request", "hang")
        unanswered = Deferred.fromCoroutine(post(connector, "/request-agent", request()))
        await connector.when(replied())
        assert not unanswered.called
        await connector.stop()
        with pytest.raises(Exception, match=r"(?i)lost|closed|never|responsefailed"):
            await unanswered


@pytest_twisted.ensureDeferred
async def test_a_slow_answer_comes_after_its_delay() -> None:
    async with sandbox() as (connector, _):
        connector.behave("request", "slow", delay=0.2)
        began = reactor.seconds()
        answer = await post(connector, "/request-agent", request())
    assert_that(answer[0], equal_to(200))
    assert reactor.seconds() - began >= 0.2


@pytest_twisted.ensureDeferred
async def test_no_agent_silent_and_late_replies_reserve_nothing_before_their_time() -> None:
    async with sandbox() as (connector, dialer):
        connector.behave("reply", "no_agent", next=1)
        connector.behave("reply", "silent", next=1)
        connector.behave("reply", "late", next=1, delay=60)
        for contact in ("c-1", "c-2", "c-3", "c-4"):
            await post(connector, "/request-agent", request(contact))
        await connector.when(replied("c-4"))
        await connector.when(replied("c-1"))
        await turn(reactor)
        summary = connector.summary()
    assert_that({reply["uuid"]: reply["agent"] for reply in dialer.replies}, equal_to({"c-1": "", "c-4": "1001"}))
    assert_that(summary["agents"], has_entries(free=9, held={"1001": "c-4"}))
    assert_that(summary["agentReplies"], has_entries(underWay=1, withoutAgent=1, withAgent=1))


@pytest_twisted.ensureDeferred
async def test_a_reply_sent_twice_is_the_same_reply() -> None:
    async with sandbox() as (connector, dialer):
        connector.behave("reply", "twice", next=1)
        await post(connector, "/request-agent", request())
        await connector.when(nth(2, replied()))
    assert_that(dialer.replies, equal_to([{"uuid": "c-1", "agent": "1001", "queue": "Sales"}] * 2))


@pytest_twisted.ensureDeferred
async def test_another_agent_is_named_after_the_first_was_answered_and_not_reserved() -> None:
    async with sandbox() as (connector, dialer):
        connector.behave("reply", "another", next=1)
        await post(connector, "/request-agent", request())
        await connector.when(nth(2, replied()))
        held = [reservation.agent for reservation in connector.pool.held]
    assert_that([reply["agent"] for reply in dialer.replies], contains_exactly("1001", "1002"))
    assert_that(held, contains_exactly("1001"))


@pytest_twisted.ensureDeferred
async def test_a_notification_sent_again_under_its_key_counts_once() -> None:
    async with sandbox() as (connector, _):
        connector.behave("notification", "refuse", status=500, next=1)
        statuses = [(await post(connector, "/send-delivery-notification", NOTIFICATION, "k-1"))[0] for _ in range(3)]
        summary = connector.summary()["notifications"]
        marked = [record.duplicate for record in connector.ledger]
    assert_that(statuses, contains_exactly(500, 200, 200))
    assert_that(summary, has_entries(received=3, refused=1, unique=1, duplicates=1, moreThanOnce=[]))
    assert_that(summary, has_entries(byContact={"c-1": 1}, byCallResult={"NORMAL_CLEARING": 1}))
    assert_that(marked, contains_exactly(False, False, True))


@pytest_twisted.ensureDeferred
async def test_a_contact_notified_under_two_keys_is_shown_as_notified_more_than_once() -> None:
    async with sandbox() as (connector, _):
        for key in ("k-1", "k-2"):
            await post(connector, "/send-delivery-notification", NOTIFICATION, key)
        assert_that(connector.summary()["notifications"], has_entries(unique=2, moreThanOnce=["c-1"]))


@pytest_twisted.ensureDeferred
async def test_a_key_used_again_for_something_else_is_a_violation() -> None:
    async with sandbox() as (connector, _):
        await post(connector, "/send-delivery-notification", NOTIFICATION, "k-1")
        other_body = await post(connector, "/send-delivery-notification", {**NOTIFICATION, "id": "c-2"}, "k-1")
        other_path = await post(connector, "/end-chat", CHAT, "k-1")
        assert_that([other_body[0], other_path[0]], contains_exactly(400, 400))
        assert_that(connector.summary(), has_entry("violations", 2))


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status", "reason"),
    [
        ("POST", "/request-agent", b"{", None, 400, "not JSON"),
        ("POST", "/request-agent", [], None, 400, "not a JSON object"),
        ("POST", "/request-agent", {**REQUEST, "queue": ""}, None, 400, "queue is wrong"),
        ("POST", "/request-agent", REQUEST, {"content-type": "text/plain"}, 400, "Content-Type"),
        ("POST", "/end-chat", CHAT, None, 400, "Idempotency-Key is missing"),
        ("POST", "/elsewhere", {}, None, 404, "there is no"),
        ("GET", "/end-chat", None, None, 405, "takes POST"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_what_is_wrong_is_refused_with_the_reason_and_recorded_as_a_violation(
    method: str, path: str, body: Any, headers: dict[str, str] | None, status: int, reason: str
) -> None:
    async with sandbox() as (connector, dialer):
        answered, shown = await call(reactor, method, connector.url + path, body, headers)
        (record,) = connector.records()
        assert_that(connector.summary(), has_entry("violations", 1))
    assert_that(answered, equal_to(status))
    assert_that(shown["error"], contains_string(reason))
    assert_that(record.violation, contains_string(reason))
    assert_that(dialer.replies, has_length(0))


@pytest_twisted.ensureDeferred
async def test_a_body_that_is_too_long_is_refused() -> None:
    async with sandbox() as (connector, _):
        status, _answer = await post(connector, "/end-chat", b" " * (MAX_BODY + 1), "k-1")
    assert_that(status, equal_to(413))


@pytest_twisted.ensureDeferred
async def test_records_show_what_came_and_went_and_can_be_narrowed_and_cleared() -> None:
    async with sandbox() as (connector, _):
        headers = {"content-type": "application/json", "TenantId": "acme"}
        await call(reactor, "POST", connector.url + "/request-agent", request(eslHost="acme"), headers)
        await connector.when(replied())
        await post(connector, "/end-chat", CHAT, "k-1")
        records = connector.url + "/sandbox/records"
        _, everything = await call(reactor, "GET", records)
        _, of_contact = await call(reactor, "GET", records + "?contact=c-1&direction=in")
        _, later = await call(reactor, "GET", records + f"?after={everything['records'][1]['seq']}&limit=5")
        wrong, _ = await call(reactor, "GET", records + "?limit=-1")
        await call(reactor, "DELETE", records)
        _, cleared = await call(reactor, "GET", records)
    paths = [(record["direction"], record["path"], record["status"]) for record in everything["records"]]
    assert_that(
        paths, contains_exactly(("in", "/request-agent", 200), ("out", "/agent", 200), ("in", "/end-chat", 200))
    )
    assert_that(everything["records"][0]["headers"], has_entry("tenantid", "acme"))
    assert_that(everything["records"][1]["body"], has_entries(uuid="c-1", agent="1001"))
    assert_that([record["path"] for record in of_contact["records"]], contains_exactly("/request-agent"))
    assert_that([record["path"] for record in later["records"]], contains_exactly("/end-chat"))
    assert_that(wrong, equal_to(400))
    assert_that(cleared["records"], has_length(0))


@pytest_twisted.ensureDeferred
async def test_behaviour_and_settings_are_changed_and_reset_over_http() -> None:
    async with sandbox(agents=3) as (connector, _):
        control = connector.url + "/sandbox"
        rules = {"reply": [{"mode": "silent", "next": 2}, {"mode": "no_agent", "fraction": 0.5}]}
        _, shown = await call(reactor, "POST", control + "/behaviour", rules)
        refused, _ = await call(
            reactor, "POST", control + "/behaviour", {"request": {"mode": "hang"}, "reply": {"mode": "refuse"}}
        )
        _, settings = await call(reactor, "POST", control + "/settings", {"replyDelay": 2, "agents": 1})
        wrong, reason = await call(reactor, "POST", control + "/settings", {"agents": "many"})
        assert_that(connector.behaviours.as_json(), equal_to(shown))
        await call(reactor, "POST", control + "/reset")
        _, first = await call(reactor, "GET", control + "/settings")
        missing, _ = await call(reactor, "GET", control + "/nothing")
    assert_that([rule["mode"] for rule in shown["reply"]], contains_exactly("silent", "no_agent"))
    assert_that([refused, wrong, missing], contains_exactly(400, 400, 404))
    assert_that(reason["error"], contains_string("agents"))
    assert_that(settings, has_entries(replyDelay=2.0, agents=1))
    assert_that(first, has_entries(replyDelay=0.0, agents=3))
    assert_that(connector.behaviours.as_json(), has_entries(reply=[], request=[]))


@pytest_twisted.ensureDeferred
async def test_stopping_amid_everything_leaves_no_call_and_no_socket() -> None:
    calls, sockets = set(reactor.getDelayedCalls()), set(reactor.getReaders())
    stuck = JsonServer(reactor, lambda *_: (200, {}))
    stuck.render = lambda _request: 1  # type: ignore[method-assign,assignment]
    connector = VoiceConnector(reactor, dialer_url=stuck.url, reply_delay=0.0)
    connector.listen()
    connector.behave("request", "slow", next=1, delay=60)
    connector.behave("request", "hang", next=1)
    connector.behave("reply", "late", next=1, delay=60)
    open_requests = [
        Deferred.fromCoroutine(post(connector, "/request-agent", request(contact))) for contact in ("c-1", "c-2")
    ]
    await connector.when(nth(2, lambda record: record.direction == "in"))
    waiting = connector.when(lambda _: False)
    retried = VoiceConnector(reactor, dialer_url=None, reply_delay=0.0)
    retried.listen()
    await post(retried, "/request-agent", request())
    await retried.when(replied(status=None))
    await connector.stop()
    await retried.stop()
    await connector.stop()
    for unanswered in open_requests:
        unanswered.addErrback(lambda _: None)
        await unanswered
    with pytest.raises(CancelledError):
        await waiting
    await stuck.stop()
    await turn(reactor)
    left = [reader for reader in set(reactor.getReaders()) - sockets if isinstance(reader, Connection | Port)]
    assert_that(left, has_length(0))
    assert_that(set(reactor.getDelayedCalls()) - calls, has_length(0))


class Command(ProcessProtocol):
    """Runs until the test ends it; fires `spoke` with the first line and `ended` at its end."""

    def __init__(self) -> None:
        self.spoke: Deferred[str] = Deferred()
        self.ended: Deferred[int] = Deferred()
        self.seen = ""

    def outReceived(self, data: bytes) -> None:
        self.seen += data.decode()
        if "\n" in self.seen and not self.spoke.called:
            self.spoke.callback(self.seen.splitlines()[0])

    errReceived = outReceived

    def processEnded(self, reason: Any) -> None:
        self.ended.callback(reason.value.exitCode)


@pytest_twisted.ensureDeferred
async def test_run_alone_it_says_where_it_listens_and_ends_cleanly() -> None:
    command = Command()
    process = reactor.spawnProcess(
        command,
        sys.executable,
        [sys.executable, "-m", "dialer.sandbox.vc", "--agents", "2", "--records", "7"],
        env=None,
    )
    line = await command.spoke.addTimeout(30, reactor)
    assert_that(line, contains_string("Voice connector sandbox listening on http://127.0.0.1:"))
    _, summary = await call(reactor, "GET", line[line.index("http://") :] + "/sandbox/summary")
    assert_that(summary["agents"], has_entries(total=2, free=2))
    assert_that(summary["records"], has_entries(bound=7))
    process.signalProcess("TERM")
    await command.ended.addTimeout(10, reactor)
    assert_that(command.seen.splitlines(), has_length(1))


@pytest_twisted.ensureDeferred
async def test_run_alone_with_a_wrong_option_it_says_so_in_one_line() -> None:
    command = Command()
    reactor.spawnProcess(
        command, sys.executable, [sys.executable, "-m", "dialer.sandbox.vc", "--agents", "-1"], env=None
    )
    assert_that(await command.ended.addTimeout(30, reactor), equal_to(1))
    assert_that(command.seen.splitlines(), has_length(1))
    assert_that(command.seen, contains_string("agents must be an integer"))
