"""The faults: what each does, how often it comes, and what it does to a dialer's knowledge."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import closing, suppress
from random import Random
from typing import Any

import psycopg2
from attrs import frozen

from tests.chaos.contacts import GATEWAYS
from tests.chaos.weather import Effect
from tests.chaos.world import LEASE_TIME, Dialer, World


@frozen
class Setting:
    """Where a fault happens: the world, its own randomness, and the dialer that it is for, if it is for one."""

    world: World
    conninfo: str
    random: Random
    dialer: Dialer | None = None

    def last(self, shortest: float, longest: float) -> float:
        """Let the fault last for a while; seconds."""
        seconds = self.random.uniform(shortest, longest)
        # Called off, it ends at once, and what it did is undone.
        self.world.cancelled.wait(seconds)
        return seconds


@frozen
class Kind:
    """A kind of fault. `run` carries one out, from its beginning to its end, and says what it chose."""

    name: str
    weight: float
    effect: Effect
    run: Callable[[Setting], str]
    on_dialer: bool = False
    """Whether it is for one dialer, of which only one such fault is on at a time."""


# -- dialers -------------------------------------------------------------------------------------------------------


def _kill(at: Setting) -> str:
    assert at.dialer is not None
    at.world.kill(at.dialer)
    seconds = at.last(0, 2 * LEASE_TIME) if at.random.random() < 0.6 else 0.0
    at.world.start_dialer(at.dialer)
    return f"started again after {seconds:.1f} s"


def _end(at: Setting) -> str:
    assert at.dialer is not None
    took = at.world.end(at.dialer)
    at.world.start_dialer(at.dialer)
    return f"in {took:.1f} s, and started again"


def _stop(shortest: float, longest: float) -> Callable[[Setting], str]:
    def run(at: Setting) -> str:
        assert at.dialer is not None
        at.world.signal(at.dialer, signal.SIGSTOP)
        try:
            return f"for {at.last(shortest, longest):.1f} s"
        finally:
            at.world.signal(at.dialer, signal.SIGCONT)

    return run


# -- PostgreSQL ----------------------------------------------------------------------------------------------------


def _restart(mode: str) -> Callable[[Setting], str]:
    def run(at: Setting) -> str:
        with at.world.postgres.lock:
            at.world.postgres.restart(mode)
        return mode

    return run


def _freeze(at: Setting) -> str:
    with at.world.postgres.lock:
        seconds = at.random.uniform(0.5, 6)
        at.world.postgres.freeze(seconds, at.world.cancelled)
    return f"for {seconds:.1f} s"


def _terminate(at: Setting) -> str:
    some = at.random.choice((1, 3, 100))
    with suppress(psycopg2.Error), closing(psycopg2.connect(at.conninfo)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity"
            " WHERE application_name LIKE 'dialer %%' ORDER BY random() LIMIT %s) AS some",
            [some],
        )
        return f"{cursor.rowcount} backends"
    return "none: PostgreSQL was away"


def _hold(statement: str) -> Callable[[Setting], str]:
    """An idle transaction that holds the locks which the statement takes."""

    def run(at: Setting) -> str:
        with suppress(psycopg2.Error), closing(psycopg2.connect(at.conninfo)) as connection:
            with connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = '2s'")
                cursor.execute(statement)
            return f"for {at.last(0.5, 6):.1f} s"
        return "not: PostgreSQL was away, or the lock was"

    return run


# -- the event socket ----------------------------------------------------------------------------------------------


def _order(choose: Callable[[Random], dict[str, Any]]) -> Callable[[Setting], str]:
    """A fault of the simulator that is over at once."""

    def run(at: Setting) -> str:
        order = choose(at.random)
        at.world.simulator(again=False, **order)
        # Until the simulator listens again.
        at.world.cancelled.wait(order.get("downtime", 0.0))
        return str(order)

    return run


def _while(choose: Callable[[Random], dict[str, Any]], shortest: float, longest: float) -> Callable[[Setting], str]:
    """A fault of the simulator that lasts. It ends by itself: while it is on, the simulator may not be reached."""

    def run(at: Setting) -> str:
        order = choose(at.random) | {"for": round(at.random.uniform(shortest, longest), 1)}
        at.world.simulator(**order)
        at.world.cancelled.wait(order["for"])
        return str(order)

    return run


def _deny(at: Setting) -> str:
    """Nobody is let in, and who was in is put out."""
    seconds = round(at.random.uniform(0.5, 4), 1)
    at.world.simulator(fault="deny", **{"for": seconds})
    at.world.simulator(again=False, fault="drop")
    at.world.cancelled.wait(seconds)
    return f"for {seconds} s"


def _gateway_down(at: Setting) -> str:
    gateway = at.random.choice(GATEWAYS)
    at.world.simulator(gateway=gateway, state="DOWN")
    try:
        return f"{gateway} for {at.last(0.5, 4):.1f} s"
    finally:
        at.world.simulator(gateway=gateway, state="UP")


EVENTS = ("CHANNEL_HANGUP_COMPLETE", "CHANNEL_ANSWER", "CHANNEL_BRIDGE", "BACKGROUND_JOB")


def _fault(name: str, **more: Any) -> Callable[[Random], dict[str, Any]]:
    return lambda _: {"fault": name, **more}


def _lossy(name: str) -> Callable[[Random], dict[str, Any]]:
    return lambda random: {"fault": name, "event": random.choice(EVENTS), "fraction": random.choice((0.2, 0.5, 1))}


def _cut(name: str) -> Callable[[Random], dict[str, Any]]:
    return lambda random: {"fault": name, "count": random.randint(1, 3)}


def _away(*, keep_calls: bool) -> Callable[[Random], dict[str, Any]]:
    return lambda random: {"fault": "restart", "keep_calls": keep_calls, "downtime": random.uniform(0, 4)}


# -- the VC --------------------------------------------------------------------------------------------------------


def _behave(*channels: str, **rules: Any) -> Callable[[Setting], str]:
    """Have the VC misbehave on one of these channels for a share of all occasions."""

    def run(at: Setting) -> str:
        channel = at.random.choice(channels)
        rule = {"fraction": at.random.choice((0.2, 0.6, 1)), **rules}
        at.world.vc.post("behaviour", {channel: rule})
        try:
            return f"{channel} {rule} for {at.last(1, 6):.1f} s"
        finally:
            at.world.vc.post("behaviour", {channel: {"mode": "accept"}})

    return run


HTTP = ("request", "notification", "endChat")
ROWS = (
    "SELECT FROM contacts WHERE status IN ('pending', 'agent_pending', 'dialed') ORDER BY random() LIMIT 50 FOR UPDATE"
)

KINDS = (
    Kind("dialer killed", 8, Effect.DEAD, _kill, on_dialer=True),
    Kind("dialer ended in order", 2, Effect.DEAD, _end, on_dialer=True),
    Kind("dialer stopped, briefly", 5, Effect.HELD, _stop(0.2, 0.6 * LEASE_TIME), on_dialer=True),
    Kind(
        "dialer stopped, beyond its lease", 5, Effect.STOPPED, _stop(1.2 * LEASE_TIME, 3 * LEASE_TIME), on_dialer=True
    ),
    Kind("PostgreSQL restarted, fast", 3, Effect.DATABASE, _restart("fast")),
    Kind("PostgreSQL restarted, immediate", 3, Effect.DATABASE, _restart("immediate")),
    Kind("PostgreSQL frozen", 2, Effect.DATABASE, _freeze),
    Kind("backends terminated", 6, Effect.DATABASE, _terminate),
    Kind("rows of contacts locked", 3, Effect.DATABASE, _hold(ROWS)),
    Kind("outbox locked", 2, Effect.DATABASE, _hold("LOCK TABLE outbox IN SHARE MODE")),
    Kind("contacts locked", 2, Effect.DATABASE, _hold("LOCK TABLE contacts IN SHARE MODE")),
    Kind("leases locked", 2, Effect.DATABASE, _hold("SELECT FROM dialers FOR UPDATE")),
    Kind("ESL cut", 3, Effect.CUT, _order(_fault("drop"))),
    Kind("ESL reloaded", 2, Effect.CUT, _order(_fault("reload"))),
    Kind("ESL cut and denied", 2, Effect.CUT, _deny),
    Kind("ESL stalled", 4, Effect.HELD, _while(_fault("stall"), 0.5, 8)),
    Kind("ESL stalled until it is given up", 1, Effect.CUT, _while(_fault("stall"), 11, 16)),
    Kind("ESL not read", 4, Effect.HELD, _while(_fault("stop_reading"), 0.5, 8)),
    Kind("ESL delayed", 3, Effect.HELD, _while(_fault("delay", seconds=0.3), 0.5, 4)),
    Kind("ESL cut before an originate", 3, Effect.CUT, _while(_cut("cut_before"), 2, 2)),
    Kind("ESL cut after an originate", 3, Effect.CUT, _while(_cut("cut_after"), 2, 2)),
    Kind("events lost", 4, Effect.CUT, _while(_lossy("lose"), 0.5, 5)),
    Kind("events repeated", 2, Effect.NONE, _while(_lossy("repeat"), 0.5, 8)),
    Kind("EFSwitch restarted with its calls", 2, Effect.CUT, _order(_away(keep_calls=True))),
    Kind("EFSwitch restarted without its calls", 2, Effect.CUT, _order(_away(keep_calls=False))),
    Kind("gateway down", 2, Effect.NONE, _gateway_down),
    Kind("VC refuses", 4, Effect.NONE, _behave(*HTTP, mode="refuse")),
    Kind("VC hangs", 3, Effect.NONE, _behave(*HTTP, mode="hang")),
    Kind("VC is slow", 2, Effect.NONE, _behave(*HTTP, mode="slow", delay=3)),
    Kind("VC names an agent twice", 3, Effect.NONE, _behave("reply", mode="twice", delay=0.2)),
    Kind("VC names another agent", 3, Effect.NONE, _behave("reply", mode="another")),
    Kind("VC has no agent", 2, Effect.NONE, _behave("reply", mode="no_agent")),
    Kind("VC is late", 2, Effect.NONE, _behave("reply", mode="late", delay=6)),
    Kind("VC is silent", 2, Effect.NONE, _behave("reply", mode="silent")),
)


def draw(seed: int, number: int) -> tuple[Kind, Random]:
    """The kind of a run's fault of that number, and its randomness; the same for the same seed."""
    random = Random(f"fault {seed} {number}")
    return random.choices(KINDS, [kind.weight for kind in KINDS])[0], random
