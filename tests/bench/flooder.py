"""Posts contacts over many connections, each as soon as the one before is answered; a process of its own.

Usage: python -m tests.bench.flooder PORT SECONDS CONNECTIONS LIST. LIST contacts to a request, 0 for one each. They are
to be called in 2099. Prints JSON.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time
from collections import Counter
from itertools import count
from uuid import uuid4

from tests.bench.hammer import is_whole

QUIET = 5.0
"""Seconds without any answer after which it gives up."""
_READ = 1 << 16


class Flood:
    """Requests without end, their bytes made in pieces of one contact."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._run = uuid4().hex[:12]
        self._numbers = count()

    def request(self) -> bytes:
        """The next one."""
        body = self._contact()
        if self._size:
            body = b"[%b]" % b",".join([body, *(self._contact() for _ in range(self._size - 1))])
        head = (
            b"POST /contact%b HTTP/1.1\r\nHost: dialer\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        )
        return head % (b"s" if self._size else b"", len(body)) + body

    def _contact(self) -> bytes:
        return (
            b'{"id":"%b-%d","customerNumber":"+447700900123","campaignType":"IVR","gatewayId":"gw-1",'
            b'"campaignId":"flood","startTime":"2099-01-01T00:00:00Z"}' % (self._run.encode(), next(self._numbers))
        )


def flood(port: int, seconds: float, connections: int, size: int) -> dict[str, object]:
    """Post for so long; answers by status."""
    made = Flood(size)
    selector = selectors.DefaultSelector()
    statuses: Counter[str] = Counter()
    for _ in range(connections):
        connection = socket.create_connection(("127.0.0.1", port))
        connection.setblocking(False)
        selector.register(connection, selectors.EVENT_WRITE, {"out": made.request(), "in": b""})
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        ready = selector.select(QUIET)
        if not ready:
            raise SystemExit(f"no answer in {QUIET:g} s")
        for key, _ in ready:
            _go_on(selector, key, made, statuses)
    for key in list(selector.get_map().values()):
        key.fileobj.close()  # type: ignore[union-attr]
    return {"statuses": statuses}


def _go_on(selector: selectors.BaseSelector, key: selectors.SelectorKey, made: Flood, statuses: Counter[str]) -> None:
    connection, state = key.fileobj, key.data
    assert isinstance(connection, socket.socket)
    if state["out"]:
        sent = connection.send(state["out"])
        state["out"] = state["out"][sent:]
        if not state["out"]:
            selector.modify(connection, selectors.EVENT_READ, state)
        return
    data = connection.recv(_READ)
    if not data:
        raise SystemExit("a connection was closed")
    state["in"] += data
    head, end, body = state["in"].partition(b"\r\n\r\n")
    if end and is_whole(head.lower(), body):
        statuses[head.split(b" ", 2)[1].decode()] += 1
        state["in"], state["out"] = b"", made.request()
        selector.modify(connection, selectors.EVENT_WRITE, state)


def main() -> None:
    """Post and report."""
    port, connections, size = int(sys.argv[1]), int(sys.argv[3]), int(sys.argv[4])
    print(json.dumps(flood(port, float(sys.argv[2]), connections, size)))  # noqa: T201  its only output


if __name__ == "__main__":
    main()
