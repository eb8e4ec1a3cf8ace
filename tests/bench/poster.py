"""Posts contacts at a steady rate, one to a request, whatever the answers take."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Lock
from typing import Any

from attrs import define

from tests.processes import Interrupted, pause

CONNECTIONS = 32
"""Requests that may be under way at once: at 300 a second each may take 100 ms before posting falls behind."""
TIMEOUT = 10.0
"""Seconds for an answer."""


@define
class Posted:
    """What came of one request: the status (None: no answer), how long the answer took, in seconds, and how late the
    request was sent."""

    contact_id: str
    status: int | None
    took: float
    late: float


def post_all(port: int, contacts: Sequence[dict[str, Any]], rate: float, cancelled: Event) -> list[Posted]:
    """Post each contact to `POST /contact` when its time comes, `rate` a second; what came of each, in their order."""
    # Made before the clock runs: this program shares the machine with what it measures.
    bodies = [(contact["id"], json.dumps(contact).encode()) for contact in contacts]
    first = time.monotonic() + 0.1
    plan = iter([(first + place / rate, contact_id, body) for place, (contact_id, body) in enumerate(bodies)])
    results: dict[str, Posted] = {}
    lock = Lock()
    with ThreadPoolExecutor(min(CONNECTIONS, len(bodies))) as pool:
        workers = [
            pool.submit(_work, port, plan, lock, results, cancelled) for _ in range(min(CONNECTIONS, len(bodies)))
        ]
    for worker in workers:
        worker.result()
    return [results[contact_id] for contact_id, _ in bodies]


def _work(
    port: int, plan: Iterator[tuple[float, str, bytes]], lock: Lock, results: dict[str, Posted], cancelled: Event
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    try:
        while True:
            with lock:
                due, contact_id, body = next(plan, (0.0, "", b""))
            if not body:
                return
            pause(cancelled, due - time.monotonic())
            began = time.monotonic()
            status = _post(connection, body)
            results[contact_id] = Posted(contact_id, status, time.monotonic() - began, began - due)
    except Interrupted:
        cancelled.set()
        raise
    finally:
        connection.close()


def _post(connection: http.client.HTTPConnection, body: bytes) -> int | None:
    try:
        connection.request("POST", "/contact", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        response.read()
    except (OSError, http.client.HTTPException):
        connection.close()
        return None
    return response.status
