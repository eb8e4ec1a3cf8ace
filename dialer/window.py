"""How many deliveries at a time a voice connector is trusted with. Policy only: no clock, no I/O."""

from __future__ import annotations


class Window:
    """Halved by each failure and doubled by each success, between one and `most`.

    A dead VC is thus tried with one message at a time and not with a whole backlog, whose every message would then be
    far into its backoff when the VC returns; and one bad message among good ones costs next to nothing.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.size = most
        self._trying = False

    @property
    def trying(self) -> bool:
        """Whether nothing got through lately: one message now and then shows whether it does again."""
        return self._trying

    def worked(self) -> None:
        """The VC has taken a message, or said that it never will."""
        self.size = min(self._most, self.size * 2)
        self._trying = False

    def failed(self) -> None:
        """A message must be tried again."""
        self.size = max(1, self.size // 2)
        self._trying = self.size == 1
