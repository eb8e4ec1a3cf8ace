"""Measures the dialer, each figure beside its reference of the same run; the figures also go to build/bench/."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
import traceback
from argparse import ArgumentParser, Namespace
from importlib import import_module
from threading import Event
from typing import Any

from twisted.internet.threads import deferToThread

from tests.bench.benchmark import Bench, Round, problems, report, table
from tests.processes import ROOT, RunFailed, run_to_its_end

NAMES = (
    "throughput",
    "genesis",
    "esl",
    "selection",
    "posting",
    "slots",
    "pace",
    "memory",
    "dialers",
    "start",
    "churn",
    "published",
    "flood",
)
"""The modules with a benchmark, in the order in which they run."""
FOLDER = ROOT / "build" / "bench"


def _options(arguments: list[str]) -> Namespace:
    parser = ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; without any: all")
    parser.add_argument("--rounds", type=int, help="instead of each benchmark's own number")
    parser.add_argument("--short", action="store_true", help="one small round: whether it works, not how fast it is")
    parser.add_argument("--seed", type=int, default=1, help="makes ids, numbers and calls repeatable (%(default)s)")
    parser.add_argument("--keep", action="store_true", help="keep the logs and the databases, and say where")
    for name in NAMES:
        if add := getattr(_module(name), "add_options", None):
            add(parser.add_argument_group(f"of {name}"))
    given = parser.parse_args(arguments)
    if unknown := sorted(set(given.names) - set(NAMES)):
        parser.error(f"there is no benchmark {unknown[0]}")
    return given


def _module(name: str) -> Any:
    return import_module(f"tests.bench.{name}")


def _carry_out(name: str, bench: Bench) -> list[str]:
    """All rounds of one benchmark, its table and its JSON; what went wrong. Runs in a thread."""
    module = _module(name)
    about = module.__doc__.splitlines()[0]
    wanted = bench.options.rounds or (1 if bench.short else module.ROUNDS)
    began = time.monotonic()
    rounds: list[Round] = []
    FOLDER.mkdir(parents=True, exist_ok=True)
    file = FOLDER / f"{name}.json"
    while len(rounds) < wanted:
        sys.stderr.write(f"{name}: round {len(rounds) + 1} of {wanted}\n")
        rounds.append(module.measure(bench))
        machine = {
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "short": bench.short,
            "seconds": round(time.monotonic() - began, 1),
        }
        # After each round: what was measured is kept when the next one fails.
        file.write_text(json.dumps(report(name, about, rounds, machine), indent=1, ensure_ascii=False) + "\n")
    sys.stdout.write(f"{table(name, about, rounds)}  In full: {file.relative_to(ROOT)}\n\n")
    sys.stdout.flush()
    return problems(rounds)


async def _main(reactor: Any, given: Namespace, cancelled: Event) -> None:
    bench = Bench(reactor, cancelled, given, given.short, given.seed, given.keep)
    wrong = False
    for name in given.names or NAMES:
        try:
            wrong |= bool(await deferToThread(_carry_out, name, bench))
        except RunFailed as error:
            sys.stderr.write(f"bench: {name}: {error}\n")
            wrong = True
        except Exception:
            # The others may be well.
            sys.stderr.write(f"bench: {name}:\n{traceback.format_exc()}")
            wrong = True
        if cancelled.is_set():
            break
    if wrong:
        raise SystemExit(1)


def main() -> None:
    """Run what was asked for; status 1 when anything is missing or wrong. A target that is not met is no error."""
    given = _options(sys.argv[1:])
    run_to_its_end(lambda reactor, cancelled: _main(reactor, given, cancelled))


if __name__ == "__main__":
    main()
