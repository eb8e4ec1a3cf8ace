"""What the dialer itself saw, when it was started through `tests.bench.probed`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import frozen

from tests.processes import RunFailed


@frozen
class Turn:
    """A long turn of the reactor: when it ended (Unix seconds), its seconds, and its seconds of processor time."""

    at: float
    took: float
    used: float


@frozen
class Seen:
    """What was seen from the start of a dialer to its stop."""

    turns: Sequence[Turn]
    sent: Sequence[float]
    statements: Mapping[str, int]


def program(file: Path) -> list[str]:
    """What to start instead of twistd, to have it written to a file."""
    return [sys.executable, "-m", "tests.bench.probed", str(file)]


def read(file: Path) -> Seen:
    """What was seen by a dialer that has stopped. Raises RunFailed when it did not stop in order."""
    try:
        seen = json.loads(file.read_text())
    except FileNotFoundError:
        raise RunFailed("the dialer did not stop in order") from None
    return Seen([Turn(*turn) for turn in seen["turns"]], seen["sent"], seen["statements"])
