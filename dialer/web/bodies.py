"""How much of all requests' bodies is held at the same time, in memory or in files below it."""

from __future__ import annotations


class Bodies:
    """At most `most` bytes. Each request gives back what it took, however it ends."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.held = 0
        """Bytes that are taken."""

    def has_room(self, size: int) -> bool:
        """Whether so many bytes could be taken now."""
        return self.held + size <= self.most

    def take(self, size: int) -> bool:
        """Take so many; False, and nothing is taken, when there are not."""
        if not self.has_room(size):
            return False
        self.held += size
        return True

    def give_back(self, size: int) -> None:
        """Somebody needs them no more."""
        self.held -= size
