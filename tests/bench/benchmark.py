"""What a benchmark is: a module with a `measure` that carries out one round, and what comes of its rounds.

Pure: no clock, no processes. Each figure of a round stands beside its reference of the same round; of several rounds
the medians count, of ratios the median of the rounds' own ratios.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from threading import Event
from typing import Any

from attrs import field, frozen


@frozen
class Target:
    """A bound that a figure, or its ratio to the reference, is held against. `number` itself is well."""

    number: float
    least: bool
    of_ratio: bool = False

    def is_met(self, value: float, ratio: float | None) -> bool:
        """Whether a figure keeps to it, given its value and its ratio to the reference."""
        held = ratio if self.of_ratio else value
        return held is not None and (held >= self.number if self.least else held <= self.number)

    def __str__(self) -> str:
        """As the table shows it."""
        return f"{'≥' if self.least else '≤'} {shown(self.number)}{'x' if self.of_ratio else ''}"


def at_least(number: float, *, ratio: bool = False) -> Target:
    """The figure (or its ratio) should be that or more."""
    return Target(number, True, ratio)


def at_most(number: float, *, ratio: bool = False) -> Target:
    """The figure (or its ratio) should be that or less."""
    return Target(number, False, ratio)


@frozen
class Figure:
    """One line of a table: what was measured, beside the reference of the same round, if there is one."""

    what: str
    value: float
    unit: str = ""
    reference: float | None = None
    target: Target | None = None

    @property
    def ratio(self) -> float | None:
        """The value over the reference."""
        return None if not self.reference else self.value / self.reference


@frozen
class Round:
    """What one round gave. `details` go into the JSON alone, `text` is shown below the table as it is."""

    figures: Sequence[Figure]
    problems: Sequence[str] = ()
    details: Mapping[str, Any] = field(factory=dict)
    text: str = ""


@frozen
class Bench:
    """What `measure` is given. Setting `cancelled` ends the run early; `short` asks only whether it works."""

    reactor: Any
    cancelled: Event
    options: Namespace
    short: bool = False
    seed: int = 1
    keep: bool = False


@frozen
class Line:
    """A figure as the median of all rounds, with the extremes of its value."""

    what: str
    unit: str
    value: float
    lowest: float
    highest: float
    reference: float | None
    ratio: float | None
    target: Target | None
    met: bool | None


def lines(rounds: Sequence[Round]) -> list[Line]:
    """The medians of all figures, in the order of the first round."""
    names = dict.fromkeys(figure.what for each in rounds for figure in each.figures)
    return [_line([figure for each in rounds for figure in each.figures if figure.what == name]) for name in names]


def _line(figures: Sequence[Figure]) -> Line:
    values = [figure.value for figure in figures]
    references = [figure.reference for figure in figures if figure.reference is not None]
    ratios = [figure.ratio for figure in figures if figure.ratio is not None]
    value = median(values)
    reference = median(references) if references else None
    ratio = median(ratios) if ratios else None
    target = figures[0].target
    met = None if target is None else target.is_met(value, ratio)
    return Line(figures[0].what, figures[0].unit, value, min(values), max(values), reference, ratio, target, met)


def report(name: str, about: str, rounds: Sequence[Round], machine: Mapping[str, Any]) -> dict[str, Any]:
    """Everything, as JSON."""
    return {
        "benchmark": name,
        "about": about,
        **machine,
        "median": [
            {
                "what": line.what,
                "unit": line.unit,
                "value": line.value,
                "lowest": line.lowest,
                "highest": line.highest,
                "reference": line.reference,
                "ratio": line.ratio,
                "target": None if line.target is None else str(line.target),
                "met": line.met,
            }
            for line in lines(rounds)
        ],
        "rounds": [
            {
                "figures": [
                    {"what": f.what, "value": f.value, "unit": f.unit, "reference": f.reference, "ratio": f.ratio}
                    for f in each.figures
                ],
                "problems": list(each.problems),
                "details": dict(each.details),
            }
            for each in rounds
        ],
        "problems": problems(rounds),
    }


def problems(rounds: Sequence[Round]) -> list[str]:
    """What went wrong in any round."""
    return [problem for each in rounds for problem in each.problems]


def table(name: str, about: str, rounds: Sequence[Round]) -> str:
    """The table of a benchmark."""
    return "\n".join(_table(name, about, rounds)) + "\n"


def _table(name: str, about: str, rounds: Sequence[Round]) -> Iterator[str]:
    yield f"{name}: {about}"
    if len(rounds) > 1:
        yield f"(medians of {len(rounds)} rounds; lowest to highest in brackets)"
    head = ("", "figure", "reference", "ratio", "target", "")
    body = [_cells(line, len(rounds)) for line in lines(rounds)]
    widths = [max(len(row[place]) for row in [head, *body]) for place in range(len(head))]
    for row in (head, *body):
        first, *others = (
            cell.ljust(width) if n == 0 else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield ("  " + "  ".join([first, *others])).rstrip()
    for problem in problems(rounds):
        yield f"  PROBLEM: {problem}"
    for each in rounds:
        if each.text:
            yield ""
            yield each.text.rstrip("\n")


def _cells(line: Line, rounds: int) -> tuple[str, ...]:
    spread = f" [{shown(line.lowest)} to {shown(line.highest)}]" if rounds > 1 else ""
    return (
        line.what,
        f"{shown(line.value)} {line.unit}".strip() + spread,
        "" if line.reference is None else f"{shown(line.reference)} {line.unit}".strip(),
        "" if line.ratio is None else f"{shown(line.ratio)}x",
        "" if line.target is None else str(line.target),
        "" if line.met is None else "met" if line.met else "NOT MET",
    )


def shown(number: float) -> str:
    """A number with three digits that say something, and no more."""
    if number == 0 or abs(number) >= 1000:
        return f"{number:,.0f}"
    if abs(number) >= 100:
        return f"{number:.4g}"
    return f"{number:.3g}"
