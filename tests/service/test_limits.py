"""The limits of the HTTP interface, met by raw sockets at a dialer at work, and what others notice of that: nothing."""

from __future__ import annotations

import json
import re
import select
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any, TypeVar

import psycopg2
import pytest
import pytest_twisted
from attrs import frozen
from hamcrest import assert_that, contains_string, equal_to, greater_than, has_entries, has_properties, less_than
from twisted.internet.defer import gatherResults
from twisted.internet.threads import deferToThread

from dialer.parts import DATABASE_CONNECTIONS
from dialer.store.queries import sql
from tests.service import shared
from tests.service.world import World, ivr

sure = pytest_twisted.ensureDeferred
logged_failures = shared.logged_failures
world = shared.world

T = TypeVar("T")

ENVIRONMENT = {
    "HTTP_BODY_SIZE": "0.25",
    "HTTP_BODIES": "0.3",
    "HTTP_HEAD_SIZE": "2",
    "HTTP_HEADERS": "20",
    "HTTP_LIST_LENGTH": "3",
    "HTTP_CONNECTIONS": "12",
    "HTTP_CONNECTIONS_PER_ADDRESS": "6",
    "HTTP_CONNECTIONS_RESERVED": "2",
    "HTTP_IDLE_TIME": "2",
    "HTTP_HEAD_TIME": "1.5",
    "HTTP_STALL_TIME": "1.5",
    "HTTP_PACE": "100",
    "HTTP_RATE": "50",
    "DB_CONN_TIMEOUT": "10000",
}
"""The connections of one test are gone before the next begins: each test calls from an address of its own."""

BURST = 250
CLIENTS_CONNECTIONS = DATABASE_CONNECTIONS // 2
BODY = 256 * 1024
LATER = "2099-01-01T00:00:00Z"


@frozen
class Answer:
    """What came back, up to the end of the connection."""

    status: int
    headers: dict[str, str]
    body: Any


@frozen
class Caller:
    """An address of this machine that calls the dialer."""

    port: int
    host: str

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10, source_address=(self.host, 0))

    @contextmanager
    def connected(self, *pieces: bytes) -> Iterator[socket.socket]:
        with self.connect() as connection:
            for piece in pieces:
                connection.sendall(piece)
            yield connection

    def ask(self, *pieces: bytes) -> Answer:
        """Send this, and read until the dialer closes."""
        with self.connected(*pieces) as connection:
            return answer(to_the_end(connection))

    def get(self, path: str = "/status") -> int:
        """The status of an ordinary request."""
        return self.ask(head(f"GET {path}")).status

    def post(self, *contacts: dict[str, Any]) -> Answer:
        body = json.dumps(contacts).encode()
        return self.ask(head("POST /contacts", f"Content-Length: {len(body)}"), body)


def head(line: str, *headers: str, close: bool = True) -> bytes:
    closing = ["Connection: close"] if close else []
    return "\r\n".join([f"{line} HTTP/1.1", "Host: dialer", *closing, *headers, "", ""]).encode()


def to_the_end(connection: socket.socket) -> bytes:
    heard = b""
    try:
        while more := connection.recv(65536):
            heard += more
    except ConnectionResetError:
        pass
    return heard


def answer(heard: bytes) -> Answer:
    top, _, body = heard.partition(b"\r\n\r\n")
    line, *lines = top.decode().split("\r\n")
    headers = dict(each.lower().split(": ", 1) for each in lines)
    if headers.get("transfer-encoding") == "chunked":
        body = re.sub(rb"(?:\A|\r\n)[0-9a-f]+\r\n", b"", body).removesuffix(b"\r\n")
    return Answer(int(line.split()[1]), headers, json.loads(body) if body else None)


_hosts = iter(range(10, 250))


@pytest.fixture
def caller(world: World) -> Caller:
    return Caller(world.dialer.port.getHost().port, f"127.0.0.{next(_hosts)}")


@pytest.fixture
def another(world: World) -> Caller:
    return Caller(world.dialer.port.getHost().port, f"127.0.0.{next(_hosts)}")


async def refused(world: World, reason: str) -> int:
    """How often somebody met this limit."""
    return int(await figure(world, f'dialer_http_refused_total{{reason="{reason}"}}'))


async def open_connections(world: World) -> float:
    """How many connections there are, that of the one who asks among them."""
    return await figure(world, "dialer_http_connections")


async def figure(world: World, series: str) -> float:
    page = await world.get("/metrics")
    (value,) = re.findall(rf"^{re.escape(series)} (\S+)$", page.body, re.MULTILINE)
    return float(value)


async def meets(world: World, reason: str, scenario: Callable[[], T]) -> T:
    """What comes of something that meets this limit, once; afterwards the dialer serves as ever."""
    before = await refused(world, reason)
    found = await deferToThread(scenario)
    await until_refused(world, reason, before)
    return found


async def until_refused(world: World, reason: str, before: int) -> None:
    async def once_more() -> bool:
        return await refused(world, reason) == before + 1

    await world.until(once_more, f"one more refused for {reason}")


def is_error(found: Answer, status: int, code: str) -> None:
    assert_that((found.status, found.body["error"]["code"]), equal_to((status, code)))
    assert_that(found.headers, has_entries({"connection": "close", "content-type": "application/json; charset=utf-8"}))


def later(**fields: Any) -> dict[str, Any]:
    return ivr(startTime=LATER, **fields)


# -- sizes


@sure
async def test_a_url_that_is_too_long_is_refused(world: World, caller: Caller) -> None:
    found = await meets(world, "head_size", lambda: caller.ask(head("GET /" + "a" * 2100)))
    is_error(found, 414, "url_too_long")


@sure
async def test_header_lines_that_are_too_long_together_are_refused(world: World, caller: Caller) -> None:
    lines = [f"X-{number}: {'a' * 200}" for number in range(12)]
    is_error(await meets(world, "head_size", lambda: caller.ask(head("GET /status", *lines))), 431, "head_too_large")
    assert_that(await deferToThread(caller.ask, head("GET /status", *lines[:8])), has_properties(status=200))


@sure
async def test_one_header_line_without_an_end_is_refused_before_its_end(world: World, caller: Caller) -> None:
    found = await meets(world, "head_size", lambda: caller.ask(b"GET / HTTP/1.1\r\nX: " + b"a" * 4000))
    is_error(found, 431, "head_too_large")


@sure
async def test_too_many_header_lines_are_refused(world: World, caller: Caller) -> None:
    lines = [f"X-{number}: a" for number in range(20)]
    is_error(await meets(world, "headers", lambda: caller.ask(head("GET /status", *lines))), 431, "too_many_headers")
    assert_that(await deferToThread(caller.ask, head("GET /status", *lines[:18])), has_properties(status=200))


@sure
async def test_a_body_that_is_too_large_is_refused_by_its_announcement_and_one_that_is_not_is_taken(
    world: World, caller: Caller
) -> None:
    too_long = head("POST /contact", f"Content-Length: {BODY + 1}")
    is_error(await meets(world, "body_size", lambda: caller.ask(too_long)), 413, "too_large")
    body = json.dumps(later()).encode().ljust(BODY)
    found = await deferToThread(caller.ask, head("POST /contact", f"Content-Length: {BODY}"), body)
    assert_that((found.status, found.body), equal_to((200, {"accepted": 1, "duplicates": 0})))


@sure
async def test_a_body_in_chunks_is_refused_once_it_is_too_large(world: World, caller: Caller) -> None:
    chunk = b"8000\r\n" + b" " * 0x8000 + b"\r\n"
    pieces = [head("POST /contact", "Transfer-Encoding: chunked"), *[chunk] * 9]
    is_error(await meets(world, "body_size", lambda: caller.ask(*pieces)), 413, "too_large")


@sure
async def test_while_much_is_held_of_others_a_large_body_is_told_to_come_later_and_a_small_one_is_taken(
    world: World, caller: Caller, another: Caller
) -> None:
    body = json.dumps(later()).encode()
    large = head("POST /contact", f"Content-Length: {BODY}")

    bodies = world.dialer.port.factory.bodies

    def both() -> tuple[Answer, Answer]:
        with caller.connected(large, b" " * (BODY - 20_000)) as connection:
            # It gets on until all of that is there.
            while bodies.held < BODY - 20_000:
                connection.sendall(b" " * 100)
                another.get("/healthz")
            refusal = another.ask(large, body.ljust(BODY))
            return refusal, another.ask(head("POST /contact", f"Content-Length: {len(body)}"), body)

    refusal, small = await meets(world, "bodies", both)
    is_error(refusal, 503, "busy")
    assert_that((refusal.headers["retry-after"], small.status), equal_to(("5", 200)))
    assert_that(await deferToThread(another.ask, large, body.ljust(BODY)), has_properties(status=200))


@sure
async def test_a_list_that_is_too_long_is_refused_and_nothing_of_it_stored(world: World, caller: Caller) -> None:
    contacts = [later() for _ in range(4)]
    found = await meets(world, "list_length", lambda: caller.post(*contacts))
    assert_that((found.status, found.body["error"]["code"]), equal_to((400, "invalid")))
    assert_that(found.body["error"]["message"], contains_string("more than 3"))
    assert_that((await world.get(f"/contact/{contacts[0]['id']}")).status, equal_to(404))
    assert_that((await deferToThread(caller.post, *contacts[:3])).body, equal_to({"accepted": 3, "duplicates": 0}))
    described = (await world.get("/openapi.json")).body["paths"]["/contacts"]["post"]["requestBody"]["content"]
    assert_that(described["application/json"]["schema"], has_entries(type="array", maxItems=3))


# -- time


@pytest.mark.parametrize("sent", [b"G", b"GET /status HTTP/1.1\r\nHost: dialer\r\n"])
@sure
async def test_a_head_that_does_not_end_is_answered_408(world: World, caller: Caller, sent: bytes) -> None:
    is_error(await meets(world, "slow_head", lambda: caller.ask(sent)), 408, "too_slow")


@sure
async def test_a_head_that_comes_byte_by_byte_gets_no_more_time_for_that(
    world: World, caller: Caller, another: Caller
) -> None:
    def drip() -> tuple[int, Answer]:
        with caller.connected() as connection:
            connection.settimeout(0.05)
            others, heard = 0, b""
            for _ in range(100):
                try:
                    connection.sendall(b"GET /status HTTP/1.1\r\nX-Drip: "[:1] if not others else b"a")
                    if heard := connection.recv(65536):
                        break
                except TimeoutError:
                    others += another.get("/healthz") == 200
            connection.settimeout(10)
            return others, answer(heard + to_the_end(connection))

    others, found = await meets(world, "slow_head", drip)
    is_error(found, 408, "too_slow")
    assert_that(others, greater_than(0))


@pytest.mark.parametrize("framing", [f"Content-Length: {BODY}", "Transfer-Encoding: chunked"])
@sure
async def test_a_body_of_which_the_rest_does_not_come_is_answered_408_and_stores_nothing(
    world: World, caller: Caller, framing: str
) -> None:
    contact = later()
    body = json.dumps(contact).encode()
    if "chunked" in framing:
        body = b"%x\r\n%b\r\n" % (len(body), body)
    is_error(await meets(world, "slow_body", lambda: caller.ask(head("POST /contact", framing), body)), 408, "too_slow")
    assert_that((await world.get(f"/contact/{contact['id']}")).status, equal_to(404))


@sure
async def test_an_upload_that_stops_is_closed_and_what_was_stored_of_it_stays(world: World, caller: Caller) -> None:
    rows = "".join(json.dumps(later(campaignId="stalled")) + "\n" for _ in range(1000)).encode()
    first = head("POST /contacts", "Content-Type: application/x-ndjson", f"Content-Length: {len(rows) + 1000}")
    found = await meets(world, "slow_body", lambda: caller.ask(first, rows))
    is_error(found, 408, "too_slow")
    campaign = await world.get("/campaign/stalled")
    assert_that(campaign.body["total"], greater_than(0))


@sure
async def test_an_upload_may_be_longer_than_any_other_body(world: World, caller: Caller) -> None:
    rows = "".join(json.dumps(later(campaignId="long")) + "\n" for _ in range(1500)).encode()
    assert_that(len(rows), greater_than(BODY))
    first = head("POST /contacts", "Content-Type: application/x-ndjson", f"Content-Length: {len(rows)}")
    found = await deferToThread(caller.ask, first, rows)
    assert_that((found.status, found.body["accepted"]), equal_to((200, 1500)))


@sure
async def test_an_answer_that_nobody_reads_is_given_up(world: World, caller: Caller, another: Caller) -> None:
    asked = head("GET /openapi.json", close=False) * 400

    def never_read() -> list[int]:
        seen = []
        with caller.connected(asked) as connection:
            # Whether it is closed, without reading.
            watch = select.poll()
            watch.register(connection, 0)
            for _ in range(100):
                if watch.poll(100):
                    return seen
                seen.append(another.get("/healthz"))
        raise AssertionError("it is still open")

    seen = await meets(world, "slow_reader", never_read)
    assert_that(set(seen), equal_to({200}))


@sure
async def test_an_idle_connection_is_closed_without_a_word(world: World, caller: Caller) -> None:
    def idle() -> tuple[int, bytes, bytes]:
        with caller.connected() as silent, caller.connected(head("GET /healthz", close=False)) as kept:
            heard = kept.recv(65536)
            return int(heard.split()[1]), to_the_end(kept), to_the_end(silent)

    assert_that(await deferToThread(idle), equal_to((200, b"", b"")))


# -- connections


@sure
async def test_an_address_gets_so_many_connections_and_another_one_still_gets_in(
    world: World, caller: Caller, another: Caller
) -> None:
    def crowd() -> tuple[Answer, int]:
        with ExitStack() as stack:
            for _ in range(6):
                stack.enter_context(caller.connected(b"GET /st"))
            return caller.ask(), another.get("/healthz")

    found, other = await meets(world, "connections_per_address", crowd)
    is_error(found, 503, "too_many_connections")
    assert_that((found.headers["retry-after"], other), equal_to(("5", 200)))
    assert_that(await deferToThread(caller.get), equal_to(200))


@sure
async def test_idle_connections_keep_no_probe_out(world: World) -> None:
    port = world.dialer.port.getHost().port
    callers = [Caller(port, f"127.0.0.{next(_hosts)}") for _ in range(4)]

    def crowd() -> tuple[int, int]:
        with ExitStack() as stack:
            idle = [stack.enter_context(callers[number % 3].connect()) for number in range(12)]
            # As many as there may be, each of which has been served once. All are asked before any answer is read, or
            # the first might have been idle for too long by the time that the last one is.
            for connection in idle:
                connection.sendall(head("GET /healthz", close=False))
            for connection in idle:
                connection.recv(65536)
            probe = callers[3].get("/healthz")
            return probe, sum(to_the_end(connection) == b"" for connection in idle[:1])

    assert_that(await meets_any(world, "made_room", crowd), equal_to((200, 1)))


async def meets_any(world: World, reason: str, scenario: Callable[[], T]) -> T:
    """The same for a limit that is met once or more."""
    before = await refused(world, reason)
    found = await deferToThread(scenario)
    assert_that(await refused(world, reason), greater_than(before))
    return found


@sure
async def test_a_flood_of_connections_is_counted_and_gone_with_its_clients(world: World, caller: Caller) -> None:
    def crowd() -> list[bytes]:
        with ExitStack() as stack:
            connections = [stack.enter_context(caller.connected(b"GET /st")) for _ in range(40)]
            return [to_the_end(connection) for connection in connections]

    heard = await deferToThread(crowd)
    statuses = [int(each.split()[1]) for each in heard if each]
    assert_that((statuses.count(408), set(statuses)), equal_to((6, {408, 503})))

    async def gone() -> bool:
        return await open_connections(world) < 6

    await world.until(gone, "connections closed")


# -- requests


@sure
async def test_a_caller_that_asks_too_often_is_told_when_to_come_back_and_nobody_else_is(
    world: World, caller: Caller, another: Caller
) -> None:
    # So many, and answered so fast, that a slow machine cannot answer them as slowly as they may come.
    many = 4 * BURST

    def often() -> list[bytes]:
        asked = head("GET /session", close=False) * many + head("GET /session")
        with caller.connected(asked) as connection:
            return to_the_end(connection).split(b"HTTP/1.1 ")[1:]

    before = await refused(world, "rate")
    found = await deferToThread(often)
    refusals = [each for each in found if each.startswith(b"429 ")]
    assert_that({each[:3] for each in found[:BURST]}, equal_to({b"200"}))
    assert_that(len(found) - len(refusals), less_than(many))
    assert_that(refusals[0].decode(), contains_string('"code":"too_many_requests"'))
    assert_that(refusals[0].decode(), contains_string("Retry-After: 1\r\n"))
    assert_that(await refused(world, "rate"), equal_to(before + len(refusals)))
    assert_that(await deferToThread(caller.get, "/healthz"), equal_to(200))
    assert_that(await deferToThread(another.get), equal_to(200))


@sure
async def test_requests_that_were_sent_ahead_of_their_turns_are_all_answered_in_order(
    world: World, caller: Caller
) -> None:
    contacts = [later() for _ in range(5)]
    bodies = [json.dumps(each).encode() for each in contacts]
    pieces = [head("POST /contact", f"Content-Length: {len(each)}", close=False) + each for each in bodies]

    def pipeline() -> bytes:
        with caller.connected(b"".join(pieces) + head("GET /healthz")) as connection:
            return to_the_end(connection)

    heard = await deferToThread(pipeline)
    assert_that(heard.count(b"HTTP/1.1 200"), equal_to(6))
    assert_that(heard.count(b'{"accepted":1,"duplicates":0}'), equal_to(5))


# -- the database


def waiting_for_a_lock(cursor: Any, statement: str) -> int:
    """How many sessions wait with this statement for a lock."""
    # Within one transaction it would always be the same.
    cursor.execute("SELECT pg_stat_clear_snapshot()")
    cursor.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND wait_event_type = 'Lock' AND strpos(query, %s) > 0",
        [sql(statement).split("%", maxsplit=1)[0]],
    )
    return int(cursor.fetchall()[0][0])


@pytest.mark.parametrize(
    ("path", "statement", "connections"),
    [("/notifications", "outbox_undelivered", CLIENTS_CONNECTIONS), ("/status", "outbox_backlog", 1)],
)
@sure
async def test_clients_that_wait_for_the_database_leave_half_of_its_connections_to_dialing(
    world: World, caller: Caller, another: Caller, path: str, statement: str, connections: int
) -> None:
    with closing(psycopg2.connect(world.conninfo)) as session, session.cursor() as cursor:
        # Nobody can look at the messages for the VC.
        cursor.execute("LOCK TABLE outbox IN ACCESS EXCLUSIVE MODE")
        answers = [deferToThread(each.get, path) for each in (caller, another) for _ in range(4)]

        def all_asked() -> bool:
            # The metrics need the database, too.
            asking = waiting_for_a_lock(cursor, statement)
            return asking >= connections and len(world.dialer.port.factory.door) >= len(answers)

        await world.until(all_asked, "all are waiting")
        assert_that(await deferToThread(another.get, "/healthz"), equal_to(200))
        asking = waiting_for_a_lock(cursor, statement)
        assert_that((asking, [each.called for each in answers]), equal_to((connections, [False] * 8)))
        session.rollback()
    assert_that(await gatherResults(answers), equal_to([200] * 8))


# -- bodies that lie


@sure
async def test_what_follows_a_body_of_the_announced_length_is_the_next_request(world: World, caller: Caller) -> None:
    body = json.dumps(later()).encode()
    first = head("POST /contact", f"Content-Length: {len(body)}", close=False) + body

    def both() -> bytes:
        with caller.connected(first + b"garbage\r\n\r\n") as connection:
            return to_the_end(connection)

    heard = await deferToThread(both)
    assert_that(re.findall(rb"HTTP/1.1 (\d+)", heard), equal_to([b"200", b"400"]))


@pytest.mark.parametrize(
    "lines",
    [
        ["Content-Length: 5", "Content-Length: 6"],
        ["Content-Length: 5", "Transfer-Encoding: chunked"],
        ["Content-Length: -1"],
        ["Content-Length: 1e3"],
        ["Transfer-Encoding: gzip"],
    ],
)
@sure
async def test_a_length_that_can_be_read_in_two_ways_is_refused(world: World, caller: Caller, lines: list[str]) -> None:
    is_error(await deferToThread(caller.ask, head("POST /contact", *lines), b"{}"), 400, "malformed")


@sure
async def test_a_chunk_that_is_none_is_refused(world: World, caller: Caller) -> None:
    found = await deferToThread(caller.ask, head("POST /contact", "Transfer-Encoding: chunked"), b"zz\r\n")
    is_error(found, 400, "malformed")
