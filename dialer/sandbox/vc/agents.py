"""The pool of agents that the sandbox reserves from."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Sequence

from attrs import frozen

FIRST_EXTENSION = 1001
MAX_AGENTS = 8_999
"""Extensions stay within four digits."""


@frozen
class Reservation:
    """An agent held for one contact since `since` (seconds of the pool's clock)."""

    agent: str
    contact_id: str
    customer: str
    since: float


class AgentPool:
    """Agents `1001`, `1002`, ... each at home in one of `queues` in turn; the one idle for longest is reserved first.

    An agent held for longer than `hold_time` seconds is free again (what a contact centre calls wrap-up), so that a
    dialer which forgets to report cannot empty the pool. `seconds` is the clock.
    """

    def __init__(self, seconds: Callable[[], float], size: int, queues: Sequence[str], hold_time: float) -> None:
        self._seconds = seconds
        self._queues = tuple(queues)
        self._hold_time = hold_time
        self._size = 0
        self._free: deque[str] = deque()
        # In the order of `since`, so the overdue ones come first.
        self._held: OrderedDict[str, Reservation] = OrderedDict()
        self.resize(size)

    @property
    def size(self) -> int:
        """How many agents there are."""
        return self._size

    @property
    def free(self) -> int:
        """How many agents can be reserved now."""
        self._expire()
        return len(self._free)

    @property
    def held(self) -> tuple[Reservation, ...]:
        """The reservations, oldest first."""
        self._expire()
        return tuple(self._held.values())

    def resize(self, size: int) -> None:
        """Have `size` agents from now on; one held beyond that leaves when it is released. Raises ValueError."""
        if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= MAX_AGENTS:
            raise ValueError(f"agents must be an integer from 0 to {MAX_AGENTS}: {size!r}")
        self._size = size
        wanted = {str(FIRST_EXTENSION + n): None for n in range(size)}
        stay = [agent for agent in self._free if agent in wanted]
        known = {*stay, *(reservation.agent for reservation in self._held.values())}
        self._free = deque([*stay, *(agent for agent in wanted if agent not in known)])

    def home_queue(self, agent: str) -> str | None:
        """The queue that an agent is at home in; None when the pool has no queues."""
        return self._queues[(int(agent) - FIRST_EXTENSION) % len(self._queues)] if self._queues else None

    def reserve(self, contact_id: str, customer: str) -> str | None:
        """An agent for the contact: the one that it already holds, else the next free one, else None."""
        self._expire()
        if contact_id in self._held:
            return self._held[contact_id].agent
        if not self._free:
            return None
        agent = self._free.popleft()
        self._held[contact_id] = Reservation(agent, contact_id, customer, self._seconds())
        return agent

    def another(self, agent: str) -> str:
        """An extension other than `agent`, a free one if there is; it is named only, not reserved."""
        self._expire()
        return next((free for free in self._free if free != agent), str(FIRST_EXTENSION + self._size))

    def release_contact(self, contact_id: str) -> bool:
        """Free the agent held for the contact; False when there is none."""
        reservation = self._held.pop(contact_id, None)
        if reservation is None:
            return False
        if int(reservation.agent) < FIRST_EXTENSION + self._size:
            self._free.append(reservation.agent)
        return True

    def release_customer(self, customer: str) -> int:
        """Free every agent held for that customer number; returns how many."""
        theirs = [held.contact_id for held in self._held.values() if held.customer == customer]
        return sum(self.release_contact(contact_id) for contact_id in theirs)

    def release_all(self) -> None:
        """Free every agent."""
        for contact_id in list(self._held):
            self.release_contact(contact_id)

    def _expire(self) -> None:
        overdue = self._seconds() - self._hold_time
        while self._held:
            oldest = next(iter(self._held.values()))
            if oldest.since > overdue:
                return
            self.release_contact(oldest.contact_id)
