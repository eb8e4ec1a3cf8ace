"""Bytes that are no HTTP, or hardly: each connection is answered or closed in time, and the next one served as ever."""

from __future__ import annotations

import json
import socket
from contextlib import suppress

import pytest_twisted
from hamcrest import assert_that, empty, equal_to, greater_than, is_
from hypothesis import example, given
from hypothesis import strategies as st
from twisted.internet.threads import deferToThread

from tests.hostile.rows import forbidden
from tests.service import shared
from tests.service.world import World

sure = pytest_twisted.ensureDeferred
logged_failures = shared.logged_failures
world = shared.world

ENVIRONMENT: dict[str, str] = {}

PATIENCE = 10.0
"""Seconds in which a connection that its client has half closed must end."""

PAUSE = 0.05
"""Seconds without a further byte after which a client leaves: who leaves earlier is not answered."""

LARGEST = 2**20
"""Bytes of an answer that are read."""

PATHS = [
    *(b"/contact", b"/contacts", b"/contact/c1", b"/contact/c1/history", b"/agent", b"/agent;", b"/campaigns"),
    *(b"/campaign/c/stop", b"/campaign/c/explain", b"/campaign/c/results?format=csv", b"/notifications?limit=1"),
    *(b"/notifications/1/retry", b"/status", b"/healthz", b"/readyz", b"/metrics", b"/openapi.json", b"/docs", b"*"),
]
METHODS = [b"GET", b"POST", b"PUT", b"HEAD", b"OPTIONS", b"CONNECT", b"TRACE", b"PRI", b"get"]
VERSIONS = [b"HTTP/1.1", b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2.0", b"HTTP/1.", b"http/1.1", b""]
ENDS = [b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\0\r\n"]
BODY = json.dumps({"id": "c1", "customerNumber": "1", "campaignType": "IVR"}).encode()
HEADERS = [
    b"Host: x",
    b"Host:",
    b"Host: a\0b",
    b"host: [::1",
    b"Connection: keep-alive",
    b"Connection: upgrade",
    b"Content-Length: 0",
    b"Content-Length: -1",
    b"Content-Length: +5",
    b"Content-Length: 5, 6",
    b"Content-Length: 0x5",
    b"Content-Length: 99999999999999999999999",
    b"Content-Length: \xb2",
    b"Content-Length: 5_0",
    b"Content-Length:",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: chunked, chunked",
    b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding : chunked",
    b"Transfer-Encoding: \x0bchunked",
    b"Transfer-Encoding: identity",
    b"Content-Type: application/json",
    b"Content-Type: \xff\xfe",
    b"Content-Type: text/csv",
    b"Content-Type:",
    b"Content-Type: application/json; charset=\0",
    b"Content-Type: multipart/form-data; boundary=",
    b"Expect: 100-continue",
    b"Expect: \xff",
    b"Accept: \xff;q=nan",
    b"Accept: text/csv;q=" + b"9" * 400,
    b"Cookie: " + b"a" * 9000,
    b"X" * 20_000,
    b": nothing",
    b" folded",
    b"\tfolded",
    b"no colon",
    b"N\xc3\xa4me: v",
    b"N: \x1b[2J",
    b"N: \x00",
]
CHUNKS = [
    b"0\r\n\r\n",
    b"5\r\nhello\r\n0\r\n\r\n",
    b"-1\r\nx\r\n",
    b"0x5\r\nhello\r\n",
    b"ffffffffffffffffffff\r\n",
    b"g\r\n",
    b"5;a=b\0\r\nhello\r\n0\r\n\r\n",
    b"5;" + b"x" * 20_000,
    b"\r\n",
    b"5\r\nhel",
    b"0\r\nTrailer: \xff\r\n\r\n",
    b"+5\r\nhello\r\n",
]

OCTETS = st.sampled_from(
    [
        b"%00",
        b"%0a",
        b"%ff",
        b"%c3%28",
        b"%ed%a0%80",
        b"%",
        b"%u0041",
        b"..",
        b"/",
        b"//",
        b"\\",
        b"\xff",
        b"\x00",
        b"?",
        b"#",
        b";",
        b"%2f",
        b"%2e%2e",
        b"a",
        b"\xe2\x80\xa8",
        b"<script>",
        b"'",
        b"%27",
        b" ",
        b"\t",
        b"\x1b",
    ]
)
TARGETS = st.one_of(
    st.sampled_from(PATHS),
    st.builds(lambda path, parts: path + b"".join(parts), st.sampled_from(PATHS), st.lists(OCTETS, max_size=4)),
    st.builds(lambda host, path: b"http://" + host + path, st.sampled_from([b"", b"x", b"[::1", b"x:99999"]), OCTETS),
    st.just(b"/" + b"a" * 20_000),
    st.binary(max_size=40),
)
BODIES = st.one_of(
    st.sampled_from([b"", BODY, b"[" * 100_000, b'{"id":"\\ud800"}', b"\xff\xfe", b"{" + b'"a":' * 5000, *CHUNKS]),
    st.binary(max_size=200),
)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """Something like one request."""
    end = draw(st.sampled_from([b"\r\n"] * 8 + ENDS))
    line = b" ".join(
        [
            draw(st.sampled_from(METHODS) | st.binary(max_size=10)),
            draw(TARGETS),
            draw(st.sampled_from([b"HTTP/1.1"] * 6 + VERSIONS)),
        ]
    )
    headers = draw(st.lists(st.sampled_from(HEADERS) | st.binary(max_size=30), max_size=5))
    return end.join([line, *headers]) + end + end + draw(BODIES)


def exchange(port: int, data: bytes, pause: float = PAUSE) -> bytes:
    """All that is answered to these bytes. Fails when the connection is still open PATIENCE after its client left."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
        with suppress(OSError):  # it may be closed before all is sent
            connection.sendall(data)
        connection.settimeout(pause)
        while len(received) < LARGEST:
            try:
                piece = connection.recv(65_536)
            except TimeoutError:
                if connection.gettimeout() == PATIENCE:
                    raise
                # Nothing more comes by itself, and what is half said will not go on.
                connection.settimeout(PATIENCE)
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_WR)
                continue
            except ConnectionResetError:
                break
            if not piece:
                break
            received += piece
    return received


def statuses(answer: bytes) -> list[int]:
    """The statuses of all answers, in order."""
    return [int(line[9:12]) for line in answer.split(b"\r\n") if line.startswith((b"HTTP/1.1 ", b"HTTP/1.0 "))]


EXAMPLES = (
    b"GET /contact/%00 HTTP/1.1\r\n\r\n",
    b"GET /contact/\xff HTTP/1.1\r\n\r\n",
    b"GET /notifications?state=%ff%00 HTTP/1.1\r\n\r\n",
    b"POST /contact HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n"
    b"0\r\n\r\nGET /healthz HTTP/1.1\r\n\r\n",
    b"POST /contact HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    b"GET " + b"/" * 100_000 + b" HTTP/1.1\r\n\r\n",
    b"\0" * 100,
)


@sure
async def test_no_bytes_get_more_out_of_the_server_than_a_refusal(world: World) -> None:
    port = world.dialer.port.getHost().port
    tried = 0

    @given(st.lists(requests(), min_size=1, max_size=3).map(b"".join) | st.binary(max_size=300))
    def refused_or_served(data: bytes) -> None:
        nonlocal tried
        tried += 1
        answer = exchange(port, data)
        assert_that(b"Traceback" in answer or b"<html" in answer.lower(), is_(False), repr(answer[:500]))
        for status in statuses(answer):
            # 505 is the answer to an HTTP that the server does not speak.
            assert_that(status < 500 or status == 505, is_(True), f"{data[:300]!r}: {answer[:500]!r}")

    for data in EXAMPLES:
        refused_or_served = example(data)(refused_or_served)
    await deferToThread(refused_or_served)
    assert_that(tried, is_(greater_than(50)))
    # Afterwards all is served as before, and nothing has got in.
    assert_that((await world.get("/healthz")).status, equal_to(200))
    assert_that(forbidden(world._conninfo), is_(empty()))


BEGUN = b"POST /contact HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
SMUGGLED = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
AMBIGUOUS = (
    b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
    b"Content-Length: 0\r\nContent-Length: 5\r\n\r\nhello",
    b"Content-Length: 0, 5\r\n\r\nhello",
    b"Content-Length: +5\r\n\r\nhello",
    b"Content-Length: 0x5\r\n\r\nhello",
    b"Content-Length: -5\r\n\r\nhello",
    b"Content-Length : 5\r\n\r\nhello",
    b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n\r\n5;a=\nb\r\nhello\r\n0\r\n\r\n",
    b"X: a\rContent-Length: 5\r\n\r\n",
    b"X: a\0b\r\nContent-Length: 0\r\n\r\n",
)
"""Ends of a request that two servers could see in two places."""


@sure
async def test_a_request_whose_end_could_be_elsewhere_is_refused_with_all_that_follows_it(world: World) -> None:
    port = world.dialer.port.getHost().port
    for headers in AMBIGUOUS:
        # It is closed once it is refused, and nobody leaves before, however slow the machine is.
        answer = await deferToThread(exchange, port, BEGUN + headers + SMUGGLED, PATIENCE / 2)
        assert_that(statuses(answer), equal_to([400]), repr(headers))
