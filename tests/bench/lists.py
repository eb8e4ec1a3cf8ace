"""Posts contacts in lists, ahead of the dialing: the queue is never empty, and storing is part of the run."""

from __future__ import annotations

import http.client
import json
from collections.abc import Sequence
from contextlib import closing
from typing import Any

from tests.processes import RunFailed

TIMEOUT = 60.0
"""Seconds for an answer."""


def post_list(port: int, contacts: Sequence[dict[str, Any]]) -> None:
    """Store them with one `POST /contacts`. Raises RunFailed when the dialer does not take all."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)) as connection:
        post_body(connection, json.dumps(contacts).encode(), len(contacts))


def post_body(connection: http.client.HTTPConnection, body: bytes, contacts: int) -> None:
    """The same with a body made before, over a connection that is kept."""
    connection.request("POST", "/contacts", body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    answer = response.read()
    if response.status != 200 or json.loads(answer)["accepted"] != contacts:
        raise RunFailed(f"POST /contacts: {response.status} {answer[:200]!r}")
