"""What the sandbox got and sent: the last records in full, and counts of everything."""

from __future__ import annotations

import hashlib
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from attrs import evolve, frozen
from twisted.internet.defer import Deferred

MAX_RECORDS = 20_000
"""Records kept unless told otherwise, the newest: a long campaign's worth at about 1 kB each."""
MAX_NAMES = 500_000
"""Names (contacts, customers, keys) told apart; beyond that the oldest key is forgotten, new names count as OTHER."""
OTHER = "(other)"


@frozen(kw_only=True)
class Record:
    """One exchange. `direction` is `in` (from the dialer) or `out` (an agent reply to it).

    `status` is the HTTP answer, None where there was none. `behaviour` names the rule that was applied, `violation`
    says what is wrong with what came in, `error` why a reply did not get through. Times are aware.
    """

    seq: int = 0
    time: datetime
    direction: str
    path: str
    method: str = "POST"
    headers: dict[str, str]
    body: Any
    status: int | None = None
    behaviour: str | None = None
    violation: str | None = None
    duplicate: bool = False
    attempt: int = 1
    response: str | None = None
    error: str | None = None

    @property
    def contact_id(self) -> str | None:
        """The contact that the body names, if it does."""
        if not isinstance(self.body, dict):
            return None
        found = self.body.get("callUid") or self.body.get("uuid") or self.body.get("id")
        return found if isinstance(found, str) else None

    def as_json(self) -> dict[str, Any]:
        """The record with the field names of the HTTP interface."""
        return {
            "seq": self.seq,
            "time": self.time.astimezone(UTC).isoformat(),
            "direction": self.direction,
            "method": self.method,
            "path": self.path,
            "headers": self.headers,
            "body": self.body,
            "status": self.status,
            "behaviour": self.behaviour,
            "violation": self.violation,
            "duplicate": self.duplicate,
            "attempt": self.attempt,
            "response": self.response,
            "error": self.error,
        }


class Tally:
    """Counts by name, for at most MAX_NAMES names."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, name: str) -> None:
        """Count one more of that name."""
        self._counts[name if name in self._counts or len(self._counts) < MAX_NAMES else OTHER] += 1

    def as_json(self) -> dict[str, int]:
        """The counts by name."""
        return dict(self._counts)

    def repeated(self) -> list[str]:
        """The names counted more than once."""
        return [name for name, count in self._counts.items() if count > 1]


class Keys:
    """The Idempotency-Keys seen, each with what was sent under it."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, tuple[str, bytes]] = OrderedDict()

    def conflict(self, key: str, path: str, raw: bytes) -> str | None:
        """Why this may not be sent under that key: it was used for something else."""
        seen = self._seen.get(key)
        if seen is None or seen == (path, hashlib.sha256(raw).digest()):
            return None
        return f"the Idempotency-Key {key} was used for another {'body' if seen[0] == path else 'path'} before"

    def add(self, key: str, path: str, raw: bytes) -> bool:
        """Remember the key; False when it was known."""
        if key in self._seen:
            return False
        self._seen[key] = (path, hashlib.sha256(raw).digest())
        if len(self._seen) > MAX_NAMES:
            self._seen.popitem(last=False)
        return True


class Ledger:
    """The records and counts of one sandbox; the newest `bound` records are kept."""

    def __init__(self, bound: int = MAX_RECORDS) -> None:
        self.bound = bound
        self._seq = 0
        self._waiters: list[tuple[Callable[[Record], bool], Deferred[Record]]] = []
        self.keys = Keys()
        self.clear()

    def clear(self) -> None:
        """Forget the records and counts. Keys stay known: what comes again after it is still a duplicate."""
        self._records: deque[Record] = deque(maxlen=self.bound)
        self.dropped = 0
        self.counts: Counter[str] = Counter()
        self.requests_by_contact = Tally()
        self.notifications_by_contact = Tally()
        self.notifications_by_result = Tally()
        self.end_chats_by_customer = Tally()
        self.replies_by_status = Tally()

    def add(self, record: Record) -> Record:
        """Keep a record, give it its number, and tell who waits for one like it."""
        self._seq += 1
        record = evolve(record, seq=self._seq)
        if len(self._records) == self.bound:
            self.dropped += 1
        self._records.append(record)
        if record.violation is not None:
            self.counts["violations"] += 1
        met = [waiter for waiter in self._waiters if waiter[0](record)]
        self._waiters = [waiter for waiter in self._waiters if waiter not in met]
        for _, deferred in met:
            deferred.callback(record)
        return record

    def __iter__(self) -> Iterator[Record]:
        """The records kept, oldest first."""
        return iter(tuple(self._records))

    def __len__(self) -> int:
        """How many records are kept."""
        return len(self._records)

    def when(self, wanted: Callable[[Record], bool]) -> Deferred[Record]:
        """Fires with the first record, kept or to come, that is `wanted`; fails with CancelledError on `cancel`."""
        found = next((record for record in self._records if wanted(record)), None)
        deferred: Deferred[Record] = Deferred(self._forget)
        if found is not None:
            deferred.callback(found)
        else:
            self._waiters.append((wanted, deferred))
        return deferred

    def close(self) -> None:
        """Cancel who still waits for a record."""
        for _, deferred in list(self._waiters):
            deferred.cancel()

    def _forget(self, deferred: Deferred[Record]) -> None:
        self._waiters = [waiter for waiter in self._waiters if waiter[1] is not deferred]
