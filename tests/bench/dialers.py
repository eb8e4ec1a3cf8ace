"""One, two, then four dialers on one PostgreSQL: together per second, and what each call takes of the database."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from tests.bench.benchmark import Bench, Figure, Round, at_least, at_most
from tests.bench.probe import program, read
from tests.bench.throughput import RULES, SETTINGS, Flow, check, run_for
from tests.bench.waits import Waits
from tests.bench.world import opened

COUNTS = (1, 2, 4)
SECONDS, SHORT_SECONDS = 30.0, 5.0

ACQUAINTED, SHORT_ACQUAINTED = 11.0, 0.0
"""Seconds after the start of the last dialer, by which each knows of all others: a lease is renewed every 10 s."""

ROUNDS = 1

NO_MORE = 1.05
"""Of the work for each call of one alone: what two runs of one alone differ by."""


@frozen
class _Run:
    flow: Flow
    statements: dict[str, int]
    locks: float
    waits: dict[str, int]
    problems: list[str]

    def per_call(self, name: str) -> float:
        return self.flow.database[name] / len(self.flow.posted)


def measure(bench: Bench) -> Round:
    """One run for each number of dialers, each with a database of its own."""
    runs = {dialers: _run(bench, dialers) for dialers in COUNTS}
    alone = runs[1]
    figures = []
    for dialers, run in runs.items():
        if dialers == 1:
            figures.append(Figure("calls, 1 dialer", run.flow.per_second, "/s"))
            continue
        reference = alone.flow.per_second
        figures += [
            Figure(f"calls, {dialers} dialers", run.flow.per_second, "/s", reference, at_least(0.9, ratio=True)),
            Figure(
                f"statements, {dialers} dialers",
                sum(run.statements.values()) / len(run.flow.posted),
                "/call",
                sum(alone.statements.values()) / len(alone.flow.posted),
                at_most(NO_MORE, ratio=True),
            ),
            Figure(
                f"commits, {dialers} dialers",
                run.per_call("commits"),
                "/call",
                alone.per_call("commits"),
                at_most(NO_MORE, ratio=True),
            ),
            Figure(
                f"WAL, {dialers} dialers",
                run.per_call("wal_bytes"),
                "bytes/call",
                alone.per_call("wal_bytes"),
                at_most(NO_MORE, ratio=True),
            ),
            Figure(f"sessions waiting for locks, {dialers} dialers", run.locks, "", alone.locks),
        ]
    return Round(
        figures=figures,
        problems=[f"{dialers} dialers: {problem}" for dialers, run in runs.items() for problem in run.problems],
        details={str(dialers): _details(run) for dialers, run in runs.items()},
    )


def _run(bench: Bench, dialers: int) -> _Run:
    seconds = SHORT_SECONDS if bench.short else SECONDS
    with opened(bench.reactor, bench.cancelled, keep=bench.keep) as world:
        world.start_postgres()
        world.start_simulator(RULES, seed=bench.seed)
        world.start_vc()
        files = [world.folder / f"probe-{number}.json" for number in range(dialers)]
        started = [
            world.start_dialer(name=f"dialer-{number}", program=program(file), **SETTINGS)
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
