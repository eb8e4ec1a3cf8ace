"""Ports that stay a test's own while nothing listens there."""

from __future__ import annotations

import socket
import weakref


class KeptPort:
    """A free port of the loopback that nobody else is given as long as this is kept, whether something listens there or
    not.

    A socket that is bound and does not listen keeps Linux from handing the port out; whoever names it may listen there,
    as Twisted does, with SO_REUSEADDR. Who connects while nobody listens is refused.
    """

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", 0))
        self.number: int = self._socket.getsockname()[1]
        weakref.finalize(self, self._socket.close)
