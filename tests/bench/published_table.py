"""A report as people read it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

SHOWN = 20
"""Ids shown of those that are missing; the JSON has all."""
COLUMNS = ("posted", "stored", "connected", "notified")
STEPS = {
    "request": "POST /contact answered after",
    "requestLate": "... and sent later than planned by",
    "receivedToDialed": "dial time less received time",
    "endedToNotified": "call ended to VC notified",
}
PROCESSES = {
    "dialer": "dialer",
    "postgresql": "PostgreSQL",
    "efswitch": "simulator",
    "vc": "VC sandbox",
    "bench": "this program",
}


def table(report: dict[str, Any]) -> str:
    """The whole report."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: dict[str, Any]) -> Iterator[str]:
    contacts, rate, dialing = report["contacts"], report["rate"], report["dialing"]
    yield (
        f"{contacts:,} IVR contacts, one to a request, {rate:g} a second, CALLS_PER_SECOND={rate:g}; "
        f"{report['slots']:,} call slots,"
    )
    free = dialing["mostCallsAtOnce"] < report["slots"]
    yield f"of which {dialing['mostCallsAtOnce']:,} were used at most: they limit {'nothing' if free else 'THE RATE'}"
    yield ""
    for column in COLUMNS:
        yield f"  {column:<12}{report[column]:>8,} of {contacts:,}"
    yield ""
    yield f"  {'by the clock of the switch':<38}{'count':>10}{'of the throttle':>18}"
    yield (
        f"  {'calls in the busiest second':<38}{dialing['busiestSecond']:>10,}{dialing['busiestSecondOfRate']:>18.3f}"
    )
    yield f"  {'calls per second, mean':<38}{dialing['callsPerSecond']:>10}{dialing['callsPerSecondOfRate']:>18.3f}"
    yield ""
    yield f"  {'milliseconds':<38}{'median':>10}{'95 %':>10}{'99 %':>10}{'max':>10}"
    yield _spread(f"time between calls, off {1000 / rate:.4g} ms by", dialing["gapDeviationMs"])
    yield _spread("... as a share of it", dialing["gapDeviationOfGap"])
    for step, words in STEPS.items():
        yield _spread(words, report["milliseconds"][step])
    yield ""
    yield f"  {'processor time, ms for each contact':<38}" + "  ".join(
        f"{PROCESSES[name]} {value:.2f}" for name, value in report["cpuMillisecondsPerContact"].items()
    )
    if report.get("stoppedIn"):
        yield f"  {'the dialer stopped in':<38}{report['stoppedIn']:.1f} s"
    for problem in report["problems"]:
        yield f"PROBLEM: {problem}"
    for column, ids in report["missing"].items():
        yield f"  {column}: {', '.join(ids[:SHOWN])}{' ...' if len(ids) > SHOWN else ''}"


def _spread(words: str, values: dict[str, float]) -> str:
    return f"  {words:<38}" + "".join(f"{values[name]:>10}" for name in ("median", "p95", "p99", "max"))
