"""The command `dialer` as a test runs it: in a thread beside a dialer of the same process, or as a process."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import frozen
from click.testing import CliRunner
from twisted.internet import reactor
from twisted.internet.threads import deferToThread
from twisted.internet.utils import getProcessOutputAndValue

from dialer.cli.main import cli
from tests.process.twistd import clean_environment
from tests.service.world import World

DIALER = str(Path(sys.executable).parent / "dialer")
"""The program that the set-up installed."""


@frozen
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document that it gave."""
        return json.loads(self.out)


async def run(
    where: World | str,
    *arguments: str | Path,
    input: str | bytes | None = None,
    environment: Mapping[str, str] | None = None,
) -> Ended:
    """Run a command beside its dialer."""
    url = where if isinstance(where, str) else where.url
    texts = [str(argument) for argument in arguments]
    settings = {"DIALER_URL": url, "DIALER_TOKEN": "t0ken"} | dict(environment or {})
    result = await deferToThread(CliRunner().invoke, cli, texts, input=input, env=settings)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Ended(result.exit_code, result.stdout, result.stderr)


async def spawn(*arguments: str | Path, environment: Mapping[str, str], cwd: Path | None = None) -> Ended:
    """Run a command as a process of its own, with this environment and nothing else."""
    out, err, code = await getProcessOutputAndValue(
        DIALER,
        [str(argument) for argument in arguments],
        env=clean_environment() | dict(environment),
        path=None if cwd is None else str(cwd),
        reactor=reactor,
    )
    return Ended(code, out.decode(), err.decode())
