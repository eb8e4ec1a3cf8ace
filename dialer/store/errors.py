"""What the database layer says about a statement that did not succeed, apart from PostgreSQL's own errors."""

from __future__ import annotations

import psycopg2

from dialer.errors import DialerError


class DatabaseError(DialerError):
    """The database did not serve the statement."""


class DatabaseDown(DatabaseError):
    """The database is not reachable or not able; nothing was changed, so the same may be asked again."""


class Unable(DatabaseDown):
    """PostgreSQL is there and rolled the statement back: cancelled, a lock not had in time, a full disk, a standby.

    `code` is its SQLSTATE.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    @property
    def cancelled(self) -> bool:
        """Whether it took too long, or waited too long for a lock: another statement may well be served."""
        return self.code in ("57014", "55P03")


class CommitUnknown(DatabaseError):
    """The statement was sent and its answer is missing; it may or may not have been committed."""


class Unanswered(CommitUnknown):
    """There was no answer in time. The statement may still be running, and be committed later."""


FAILURES = ("down", "unable", "cancelled", "unanswered", "commit_unknown", "refused")
"""The kinds of failures of a statement, as `kind_of` tells them apart."""


def kind_of(error: DatabaseError | psycopg2.Error) -> str:
    """In a word why a statement was not served; `refused` is an error of PostgreSQL's own, such as a broken rule."""
    match error:
        case Unable():
            return "cancelled" if error.cancelled else "unable"
        case DatabaseDown():
            return "down"
        case Unanswered():
            return "unanswered"
        case CommitUnknown():
            return "commit_unknown"
    return "refused"
