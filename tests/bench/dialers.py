"""One, two, then four dialers on one PostgreSQL: together per second, and what each call takes of the database."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from tests.bench.benchmark import Bench, Figure, Round, at_least, at_most
from tests.bench.probe import program, read
from tests.bench.throughput import FASTEST, RULES, SLOTS, Flow, check, run_for
from tests.bench.waits import Waits
from tests.bench.world import opened

COUNTS = (1, 2, 4)
SECONDS, SHORT_SECONDS = 30.0, 5.0

ACQUAINTED, SHORT_ACQUAINTED = 11.0, 0.0
"""Seconds after the start of the last dialer, by which each knows of all others: a lease is renewed every 10 s."""

ROUNDS = 3

NO_MORE = 1.05
"""Of the work for each call of one alone: what two runs of one alone differ by."""


@frozen
class _Run:
    flow: Flow
    statements: dict[str, int]
    locks: float
    waits: dict[str, int]
    problems: list[str]

    @property
    def statements_per_call(self) -> float:
        return sum(self.statements.values()) / len(self.flow.posted)

    def per_call(self, name: str) -> float:
        return self.flow.database[name] / len(self.flow.posted)


def measure(bench: Bench) -> Round:
    """A run for each number of dialers, and one of a dialer no faster than each of the most; each with its database."""
    runs = {dialers: _run(bench, dialers) for dialers in COUNTS}
    alone = runs[1]
    most = max(COUNTS)
    slow = _run(bench, 1, pace=max(1.0, runs[most].flow.per_second / most))
    figures = []
    for dialers, run in runs.items():
        if dialers == 1:
            figures.append(Figure("calls, 1 dialer", run.flow.per_second, "/s"))
            continue
        reference = alone.flow.per_second
        figures += [
            Figure(f"calls, {dialers} dialers", run.flow.per_second, "/s", reference, at_least(0.9, ratio=True)),
            *_work(f"{dialers} dialers", run, alone, limited=True),
            Figure(f"sessions waiting for locks, {dialers} dialers", run.locks, "", alone.locks),
        ]
    figures.append(Figure("calls, 1 dialer at the pace of each of 4", slow.flow.per_second, "/s"))
    figures += _work(f"{most} dialers, beside 1 at the pace of each", runs[most], slow, limited=False)
    named = {f"{dialers} dialers": run for dialers, run in runs.items()} | {"1 at the pace of each": slow}
    return Round(
        figures=figures,
        problems=[f"{name}: {problem}" for name, run in named.items() for problem in run.problems],
        details={name: _details(run) for name, run in named.items()},
    )


def _work(name: str, run: _Run, reference: _Run, *, limited: bool) -> list[Figure]:
    """What each call takes of the database."""
    pairs = [
        ("statements", "/call", run.statements_per_call, reference.statements_per_call),
        ("commits", "/call", run.per_call("commits"), reference.per_call("commits")),
        ("WAL", "bytes/call", run.per_call("wal_bytes"), reference.per_call("wal_bytes")),
    ]
    target = at_most(NO_MORE, ratio=True) if limited else None
    return [Figure(f"{what}, {name}", figure, unit, beside, target) for what, unit, figure, beside in pairs]


def _run(bench: Bench, dialers: int, *, pace: float = FASTEST) -> _Run:
    seconds = SHORT_SECONDS if bench.short else SECONDS
    with opened(bench.reactor, bench.cancelled, keep=bench.keep) as world:
        world.start_postgres()
        world.start_simulator(RULES, seed=bench.seed)
        world.start_vc()
        files = [world.folder / f"probe-{number}.json" for number in range(dialers)]
        started = [
            world.start_dialer(
                name=f"dialer-{number}",
                program=program(file),
                CALLS_PER_SECOND=f"{pace:.3f}",
                MAX_CONCURRENT_CALLS=SLOTS,
            )
            for number, file in enumerate(files)
        ]
        world.pause(SHORT_ACQUAINTED if bench.short else ACQUAINTED)
        with Waits(world.conninfo) as waits:
            flow = run_for(world, started, seconds, bench.seed)
        problems = check(world, flow)
        world.stop()
        statements: dict[str, int] = {}
        for file in files:
            for name, count in read(file).statements.items():
                statements[name] = statements.get(name, 0) + count
        return _Run(flow, statements, waits.share("Lock"), dict(waits.seen.most_common()), problems)


def _details(run: _Run) -> dict[str, Any]:
    calls = len(run.flow.posted)
    return {
        "calls": calls,
        "cpuSeconds": dict(run.flow.cpu),
        "database": dict(run.flow.database),
        "statementsPerCall": {
            name: round(count / calls, 4) for name, count in sorted(run.statements.items(), key=lambda item: -item[1])
        },
        "waits": run.waits,
    }
