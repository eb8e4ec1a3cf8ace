"""Lets the faults happen while contacts are dialed: which and when by the seed and by how many contacts are done."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from random import Random
from threading import Lock

from attrs import evolve

from tests.chaos.faults import Kind, Setting, draw
from tests.chaos.weather import Fault
from tests.chaos.world import World
from tests.processes import Interrupted, pause

AT_ONCE = 5
"""Faults that overlap at most: with more of them nothing is dialed any more, so nothing is tried."""


class Storm:
    """The faults of a run. `done` says how many contacts are done."""

    def __init__(self, world: World, conninfo: str, done: Callable[[], int]) -> None:
        self._world = world
        self._conninfo = conninfo
        self._done = done
        self._pool = ThreadPoolExecutor(AT_ONCE)
        self._lock = Lock()
        self.faults: list[Fault] = []
        """Those that are over."""

    def blow(self, until: float) -> None:
        """Begin the faults one after the other, spread at random over the contacts; none after `until` (monotonic)."""
        plan = self._world.plan
        random = Random(f"storm {plan.seed}")
        # Before the last contacts are dialed it is over, or they would end in a calm.
        begin_at = sorted(random.uniform(0, 0.97 * plan.contacts) for _ in range(plan.faults))
        under_way: list[Future[None]] = []
        for number, due in enumerate(begin_at):
            while self._done() < due or len(under_way := _going_on(under_way)) >= AT_ONCE:
                if time.monotonic() > until:
                    break
                pause(self._world.cancelled, 0.02)
            if time.monotonic() > until:
                break
            under_way.append(self._pool.submit(self._one, number))
        for each in under_way:
            each.result()

    def close(self) -> None:
        """Returns once no fault is under way any more: soon, when the run was called off."""
        self._pool.shutdown(cancel_futures=True)

    def _one(self, number: int) -> None:
        kind, random = draw(self._world.plan.seed, number)
        dialer = random.choice(self._world.dialers) if kind.on_dialer else None
        setting = Setting(self._world, self._conninfo, random, dialer)
        with ExitStack() as stack:
            if dialer is not None:
                stack.enter_context(dialer.lock)
            self._run(kind, setting)

    def _run(self, kind: Kind, setting: Setting) -> None:
        fault = Fault(kind.name, kind.effect, time.time(), time.time(), setting.dialer and setting.dialer.name)
        detail = "interrupted"
        try:
            detail = kind.run(setting)
        except Interrupted:
            pass
        finally:
            with self._lock:
                self.faults.append(evolve(fault, end=time.time(), detail=detail))


def _going_on(faults: list[Future[None]]) -> list[Future[None]]:
    """Those that are not over. Raises what went wrong with one that is."""
    for each in faults:
        if each.done():
            each.result()
    return [each for each in faults if not each.done()]
