"""Deferreds for work that cannot be interrupted, and for calls that block for as long as somebody else likes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

T = TypeVar("T")


def shield(work: Deferred[T]) -> Deferred[T]:
    """Fires as `work` does, but when it is cancelled, `work` goes on; its failure is then dropped."""
    outer: Deferred[T] = Deferred()

    def pass_on(result: Any) -> None:
        if not outer.called:
            outer.callback(result)

    work.addBoth(pass_on)
    return outer


def in_daemon_thread(reactor: Any, work: Callable[[], T], *, cancel: Callable[[], None] = lambda: None) -> Deferred[T]:
    """Fires with what `work` returns or raises.

    A thread of its own, not one of the reactor's pool: the process must not wait for it when it exits. Cancelling
    calls `cancel` and fires at once; the thread may go on, unheard.
    """
    done: Deferred[T] = Deferred(lambda _: cancel())

    def tell(result: Any) -> None:
        if not done.called:
            done.callback(result)

    def body() -> None:
        try:
            result: Any = work()
        except BaseException:
            result = Failure()
        reactor.callFromThread(tell, result)

    threading.Thread(target=body, daemon=True).start()
    return done
