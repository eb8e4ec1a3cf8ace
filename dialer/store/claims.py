"""Claims: the changes after which something is sent, and what becomes of one whose outcome is not known.

Nothing is sent for a claim before it is certain that it was committed. Who asked for one that is not certain is told so
in time; it is settled behind its back, and undone if it was committed, as nothing was sent for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from attrs import asdict, frozen
from twisted.internet.defer import CancelledError
from twisted.logger import Logger
from twisted.python.failure import Failure

from dialer.background import Background
from dialer.contact import Contact, Status, about
from dialer.store.database import CommitUnknown, Database, DatabaseError, Unanswered
from dialer.store.queries import sql
from dialer.store.rows import contact_of

UNDECIDED = 1000
"""Claims whose outcome may be unknown at a time: those under way when the database went down. Past it none is made."""


@frozen
class Claim:
    """A claim of one contact: the taking that it starts from, and the taking and the status that it leads to."""

    contact_id: str
    campaign_id: str
    before: int
    taking: int
    status: Status


class Claims:
    """The claims of one process. `undo` gives a contact back that was claimed and for which nothing was sent."""

    log = Logger()

    def __init__(
        self, database: Database, *, owner: str, instance: str, undo: Callable[[Contact], Awaitable[object]]
    ) -> None:
        self._database = database
        self._me = {"owner": owner, "instance": instance}
        self._undo = undo
        self._undecided: dict[str, Claim] = {}
        self._left: deque[Claim] = deque()
        self._told: set[str] = set()
        self._background = Background()
        self._settling = False

    async def make(self, claim: Claim, statement: Callable[[], Awaitable[dict[str, Any] | None]]) -> Contact | None:
        """The contact as claimed by `statement`, which gives its row; None when it was not as the claim says, or
        certainly not claimed.

        Fails with DatabaseDown when nothing was changed, and with CommitUnknown when that is not certain: whoever gets
        it must send nothing, and the claim is undone as soon as the database tells. Until then the contact cannot be
        claimed again here.
        """
        if claim.contact_id in self._undecided or len(self._undecided) >= UNDECIDED:
            raise CommitUnknown("an earlier claim is not decided yet")
        try:
            row = await statement()
        except CancelledError:
            # Whoever asked is gone, and the statement is not.
            self._undecided[claim.contact_id] = claim
            self._settle_later(claim)
            raise
        except CommitUnknown as error:
            self._undecided[claim.contact_id] = claim
            if isinstance(error, Unanswered):
                # Whoever asked has waited long enough.
                self._settle_later(claim)
                raise
            try:
                found = await self._decide(claim)
            except Exception:
                self._settle_later(claim)
                raise error from None
            del self._undecided[claim.contact_id]
            return found
        return contact_of(row) if row else None

    def undecided(self, contact: Contact) -> bool:
        """Whether this may be a claim of ours that is still to be undone: nothing was sent for it."""
        claim = self._undecided.get(contact.id)
        return claim is not None and (claim.taking, claim.status) == (contact.taking, contact.status)

    async def _decide(self, claim: Claim) -> Contact | None:
        """What became of a claim, for good: the contact when it was committed.

        Its statement may still be under way. Who changes the row waits for that, and when it was not committed the row
        is no longer the one that the statement looks for.
        """
        if await self._database.run(sql("claim_void"), {"id": claim.contact_id, "taking": claim.before}):
            return None
        rows = await self._database.run(sql("claim_made"), asdict(claim) | self._me)
        return contact_of(rows[0]) if rows else None

    def _settle_later(self, claim: Claim) -> None:
        self._left.append(claim)
        if not self._settling:
            self._settling = True
            self._background.detach(self._settle())

    async def _settle(self) -> None:
        """One after the other, however long the database takes to come back, until it is stopped.

        None is given up, whatever goes wrong: one that was committed would count as a call, and its contact end as
        UNKNOWN though nobody was called.
        """
        try:
            while self._left:
                claim = self._left.popleft()
                try:
                    if (found := await self._decide(claim)) is not None:
                        self.log.warn(
                            "Contact {contact} of campaign {campaign} was claimed, but nobody knew in time: undone",
                            **about(found),
                        )
                        await self._undo(found)
                except Exception as error:
                    self._left.append(claim)
                    self._tell(claim, error)
                    if not self._database.running:
                        return
                    await self._database.pause()
                else:
                    del self._undecided[claim.contact_id]
                    self._told.discard(claim.contact_id)
        finally:
            self._settling = False

    def _tell(self, claim: Claim, error: Exception) -> None:
        """Of a failure that no outage explains, once for each claim: it is tried again a few times a second."""
        if isinstance(error, (DatabaseError, CancelledError)) or claim.contact_id in self._told:
            return
        self._told.add(claim.contact_id)
        self.log.failure(
            "Could not settle the claim of contact {contact} of campaign {campaign}; it is tried again until it is",
            Failure(error),
            contact=claim.contact_id,
            campaign=claim.campaign_id,
        )
