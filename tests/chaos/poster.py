"""Posts the contacts to whichever dialer answers, again and again under the same ids until one has answered 200."""

from __future__ import annotations

import http.client
import json
from collections import Counter
from collections.abc import Iterator
from random import Random
from threading import Lock
from urllib.parse import urlsplit

from attrs import frozen

from tests.chaos.contacts import Contact
from tests.chaos.verdict import Posted
from tests.chaos.world import World
from tests.processes import pause

TIMEOUT = 3.0
"""Seconds for an answer: longer than DB_CONN_TIMEOUT, shorter than some dialers are stopped, which answer late then."""
AGAIN = 0.02
"""Share of what was accepted that is posted once more, to be told that it is known."""


@frozen
class Answer:
    """What a dialer answered to a post."""

    status: int
    accepted: int = 0
    duplicates: int = 0
    text: str = ""


class Poster:
    """Posts for a run; any number of threads may `work` at once. What it accepts and what it complains of grow."""

    def __init__(self, world: World, batches: Iterator[list[Contact]]) -> None:
        self._world = world
        self._batches = batches
        self._lock = Lock()
        self._closed = False
        self.posted: dict[str, Posted] = {}
        self.counts: Counter[str] = Counter()
        """requests, those unanswered and those refused (503), and duplicates: contacts that were recognized."""

    def close(self) -> None:
        """Begin no further request."""
        self._closed = True

    def work(self, number: int) -> None:
        """Post until there is nothing left, never more than the backlog that is wanted."""
        random = Random(f"poster {self._world.plan.seed} {number}")
        while (batch := self._next()) is not None:
            self._post(batch, random, known=False)
            with self._lock:
                self.posted.update((each["id"], _posted(each)) for each in batch)
            if random.random() < AGAIN:
                self._post(batch, random, known=True)

    def _next(self) -> list[Contact] | None:
        while not self._closed and len(self.posted) >= self._world.wanted:
            pause(self._world.cancelled, 0.05)
        with self._lock:
            return None if self._closed else next(self._batches, None)

    def _post(self, batch: list[Contact], random: Random, *, known: bool) -> None:
        """Post until answered 200. A list stays one, and what is answered must add up."""
        path, body = ("/contact", batch[0]) if len(batch) == 1 else ("/contacts", batch)
        data = json.dumps(body).encode()
        first = True
        while True:
            answer = self._once(path, data, random)
            if answer is not None and answer.status == 200:
                break
            if answer is not None and answer.status != 503:
                self._complain(f"POST {path} of {batch[0]['id']} was answered {answer.status}: {answer.text}")
                return
            self._count("refused" if answer is not None else "unanswered")
            # Refused is not unanswered, but 503 may have been for a commit of which nobody knows.
            first = False
            pause(self._world.cancelled, random.uniform(0.05, 0.5))
        self._count("duplicates", answer.duplicates)
        size = len(batch)
        wanted = [(0, size)] if known else [(size, 0)] if first else [(size, 0), (0, size)]
        if (answer.accepted, answer.duplicates) not in wanted:
            self._complain(f"POST {path} of {batch[0]['id']} ({size}) was answered {answer.text}, wanted {wanted}")

    def _once(self, path: str, data: bytes, random: Random) -> Answer | None:
        urls = self._world.urls()
        if not urls:
            return None
        self._count("requests")
        connection = http.client.HTTPConnection(urlsplit(random.choice(urls)).netloc, timeout=TIMEOUT)
        try:
            connection.request("POST", path, data, {"Content-Type": "application/json"})
            response = connection.getresponse()
            text = response.read().decode(errors="replace")
            counts = json.loads(text)
            return Answer(response.status, counts.get("accepted", 0), counts.get("duplicates", 0), text.strip())
        except (OSError, http.client.HTTPException, ValueError):
            return None
        finally:
            connection.close()

    def _complain(self, text: str) -> None:
        self._world.complaints.append(text)

    def _count(self, name: str, number: int = 1) -> None:
        with self._lock:
            self.counts[name] += number


def _posted(contact: Contact) -> Posted:
    return Posted(contact["id"], contact["campaignType"], contact["gatewayId"], contact["customerNumber"])
