"""Contacts that are just being taken: nobody waits for one, but all must be done before the next are chosen."""

from __future__ import annotations

from collections.abc import Coroutine
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
        self._missed = 0
        self._trouble: DatabaseError | None = None

    async def run(self, taking: Taking) -> Contact | None:
        """Run a taking; returns and fails as it does."""
        try:
            taken = await self._under_way.run(taking)
        except DatabaseError as error:
            self._trouble = error
            raise
        self._missed += taken is None
        return taken

    @property
    def missed(self) -> int:
        """How many contacts were missed since `settled` was last asked."""
        return self._missed

    @property
    def trouble(self) -> DatabaseError | None:
        """What went wrong since `settled` was last asked, if anything."""
        return self._trouble

    async def settled(self) -> int:
        """Fires when none is under way, with how many contacts were missed since this was last asked.

        Fails with the DatabaseError of one that failed since then.
        """
        await self._under_way.drain()
        missed, self._missed = self._missed, 0
        trouble, self._trouble = self._trouble, None
        if trouble is not None:
            raise trouble
        return missed
