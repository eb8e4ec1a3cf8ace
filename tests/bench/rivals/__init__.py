"""Programs that use other libraries for the event socket. Each runs alone, in an environment of its own."""

from __future__ import annotations

from pathlib import Path

from tests.processes import ROOT, RunFailed

PYTHON = ROOT / "build" / "rivals" / "bin" / "python"
"""Made by `make bench`."""


def command(program: str, *arguments: object) -> list[str]:
    """How one of the programs in this folder is started. Raises RunFailed when its environment was not made."""
    if not PYTHON.exists():
        raise RunFailed("genesis and greenswitch are not installed: make rivals")
    return [str(PYTHON), str(Path(__file__).with_name(program)), *map(str, arguments)]
