"""Posts contacts one to a request over many connections, each as fast as it is answered; a process of its own.

Usage: python -m tests.bench.hammer PORT CONTACTS CONNECTIONS SEED. Prints JSON.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time
from collections import Counter, deque
from typing import Any

from tests.bench.contacts import ivr_stream
from tests.bench.figures import spread

TIMEOUT = 30.0
"""Seconds without any answer after which it gives up."""
_READ = 1 << 16


def requests(contacts: int, seed: int) -> deque[bytes]:
    """The bytes of each request, made before the clock runs."""
    made: deque[bytes] = deque()
    for _, contact in zip(range(contacts), ivr_stream(seed), strict=False):
        body = json.dumps(contact).encode()
        made.append(
            b"POST /contact HTTP/1.1\r\nHost: dialer\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        )
    return made


def post(port: int, todo: deque[bytes], connections: int) -> dict[str, Any]:
    """Post them all; seconds, answers by status, and how long the answers took in milliseconds."""
    selector = selectors.DefaultSelector()
    statuses: Counter[str] = Counter()
    took: list[float] = []
    wanted = len(todo)
    for _ in range(min(connections, wanted)):
        connection = socket.create_connection(("127.0.0.1", port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(connection, selectors.EVENT_READ, {"buffer": b"", "sent": 0.0})
    began = time.monotonic()
    for key in list(selector.get_map().values()):
        _send(key, todo)
    while len(took) < wanted:
        ready = selector.select(TIMEOUT)
        if not ready:
            raise SystemExit(f"no answer in {TIMEOUT:g} s")
        for key, _ in ready:
            _receive(key, statuses, took)
            if not key.data["buffer"] and todo and key.data["sent"] == 0.0:
                _send(key, todo)
    seconds = time.monotonic() - began
    for key in list(selector.get_map().values()):
        key.fileobj.close()  # type: ignore[union-attr]
    return {
        "seconds": seconds,
        "statuses": statuses,
        "milliseconds": {name: round(value * 1000, 2) for name, value in spread(took).items()},
    }


def _send(key: selectors.SelectorKey, todo: deque[bytes]) -> None:
    key.data["sent"] = time.monotonic()
    key.fileobj.sendall(todo.popleft())  # type: ignore[union-attr]


def _receive(key: selectors.SelectorKey, statuses: Counter[str], took: list[float]) -> None:
    data = key.fileobj.recv(_READ)  # type: ignore[union-attr]
    if not data:
        raise SystemExit("a connection was closed")
    key.data["buffer"] += data
    head, end, body = key.data["buffer"].partition(b"\r\n\r\n")
    if end and is_whole(head.lower(), body):
        statuses[head.split(b" ", 2)[1].decode()] += 1
        took.append(time.monotonic() - key.data["sent"])
        key.data["buffer"], key.data["sent"] = b"", 0.0


def is_whole(head: bytes, body: bytes) -> bool:
    """Whether the body is complete: of its announced length, or its last chunk has come."""
    _, announced, length = head.partition(b"content-length:")
    if announced:
        return len(body) >= int(length.split(b"\r\n", 1)[0])
    return body.endswith(b"0\r\n\r\n")


def main() -> None:
    """Post and report."""
    port, contacts, connections, seed = map(int, sys.argv[1:])
    print(json.dumps(post(port, requests(contacts, seed), connections)))  # noqa: T201  its only output


if __name__ == "__main__":
    main()
