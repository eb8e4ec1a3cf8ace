"""What the database layer says about a statement that did not succeed, apart from PostgreSQL's own errors."""

from __future__ import annotations

from dialer.errors import DialerError


class DatabaseError(DialerError):
    """The database did not serve the statement."""


class DatabaseDown(DatabaseError):
    """The database is not reachable or not able; nothing was changed, so the same may be asked again."""


class CommitUnknown(DatabaseError):
    """The connection was lost after the statement was sent; it may or may not have been committed."""
