"""Contacts that are just being taken: nobody waits for one, but all must be done before the next are chosen."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any

from twisted.internet.defer import Deferred

from dialer.background import Background
from dialer.contact import Contact
from dialer.store.database import DatabaseError

Taking = Coroutine[Deferred[Any], Any, Contact | None]
"""Work that takes a contact: the contact as taken, None when another dialer was faster."""


class Takings:
    """The takings under way of one process."""

    def __init__(self) -> None:
        self._under_way = Background(DatabaseError)
        self._missed: list[str] = []
        self._trouble: DatabaseError | None = None
        self.failing: DatabaseError | None = None
        """What the last taking failed with; None when it did not."""

    async def run(self, contact: Contact, taking: Taking) -> Contact | None:
        """Run the taking of a contact; returns and fails as it does."""
        try:
            taken = await self._under_way.run(taking)
        except DatabaseError as error:
            self._trouble = self.failing = error
            raise
        self.failing = None
        if taken is None:
            self._missed.append(contact.id)
        return taken

    @property
    def missed(self) -> Sequence[str]:
        """The ids of the contacts that were missed since `settled` was last asked."""
        return self._missed

    @property
    def trouble(self) -> DatabaseError | None:
        """What went wrong since `settled` was last asked, if anything."""
        return self._trouble

    async def settled(self) -> list[str]:
        """Fires when none is under way, with the ids of the contacts that were missed since this was last asked.

        Fails with the DatabaseError of one that failed since then.
        """
        await self._under_way.drain()
        missed, self._missed = self._missed, []
        trouble, self._trouble = self._trouble, None
        if trouble is not None:
            raise trouble
        return missed
