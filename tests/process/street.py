"""A world whose dialers are processes of their own: what the tests of starting, stopping and dying share."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
from hamcrest import assert_that, is_in
from twisted.internet import reactor

from dialer.sandbox.vc import VoiceConnector
from tests.process.twistd import EXIT_WITHIN, Twistd
from tests.service.world import QUICK, World, database_url
from tests.waiting import until

PATIENCE = 90.0
"""Seconds after which a condition that did not come true fails the test: processes share a slow machine."""


class Street(World):
    """A world with any number of dialer processes; HTTP requests go to `dialer_process`, the last one that listens.

    Each writes its output below `folder`, and all of it is shown when the test fails.
    """

    patience = PATIENCE

    def __init__(self, conninfo: str, folder: Path) -> None:
        super().__init__(conninfo)
        self.folder = folder
        self.processes: list[Twistd] = []
        self.dialer_process: Twistd | None = None
        self.switch_address = ""
        self.vc_url = ""

    async def open(self) -> None:
        """Start the switch and the VC."""
        await super().open()
        self.switch_address = f"127.0.0.1:{self.switch_port.getHost().port}"
        self.vc_url = self.vc.url

    async def close_vc(self) -> None:
        """No VC is there."""
        await self.vc.stop()

    def open_vc(self) -> None:
        """A VC is there again, at the same address; it knows nothing of what the one before was told."""
        self.vc = VoiceConnector(reactor, dialer_url=self.url, reply_delay=0.01)
        self.vc.listen(port=int(self.vc_url.rpartition(":")[2]))

    @property
    def url(self) -> str:
        """Where `dialer_process` serves HTTP."""
        assert self.dialer_process is not None
        url = self.dialer_process.url()
        assert url is not None
        return url

    def environment(self, **more: str) -> dict[str, str]:
        """Everything configured, with `more` on top."""
        where = {
            "DB_URL": database_url(self._conninfo),
            "ESL_IP": self.switch_address,
            "VOICE_CONNECTOR": self.vc_url,
            "DIALER_ID": "dialer-1",
            # A statement may take long on a machine that is busy with several processes.
            "DB_CONN_TIMEOUT": "10000",
        }
        return QUICK | where | more

    def spawn(self, environment: dict[str, str], **keywords: Any) -> Twistd:
        """A process with exactly this environment."""
        process = Twistd(f"dialer{len(self.processes)}", self.folder, environment, **keywords)
        self.processes.append(process)
        return process

    async def run(self, *, ready: bool = True, **environment: str) -> Twistd:
        """A process with everything configured, once it listens, or once it may dial."""
        process = self.spawn(self.environment(**environment))
        await self.listens(process)
        if ready:
            await self.until_ready()
        return process

    async def listens(self, process: Twistd) -> None:
        """Wait until a process serves HTTP; from then on it is the one that is asked, and that the VC replies to."""

        def said() -> bool:
            assert process.status is None, f"{process.name} ended"
            return process.url() is not None

        await self.until(said, f"{process.name} listens")
        self.dialer_process = process
        self.vc.dialer_url = self.url

    async def ends(self, process: Twistd, within: float = PATIENCE) -> int:
        """Wait for the exit of a process; its status."""
        await self.until(lambda: process.status is not None, f"exit of {process.name}", patience=within)
        assert process.status is not None
        return process.status

    async def terminate(self, process: Twistd) -> None:
        """Send SIGTERM, and wait for the exit in order that it has to bring about in time."""
        process.send(signal.SIGTERM)
        status = await self.ends(process, EXIT_WITHIN)
        # Once all has stopped in order, twistd itself ends by the signal that it got.
        assert_that(status, is_in((0, -signal.SIGTERM)))

    async def until(self, condition: Callable[[], Any], what: str = "condition", patience: float = PATIENCE) -> Any:
        """As a World does, but with more patience."""
        return await until(reactor, condition, what, patience=patience, every=0.05)

    def query(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        """Rows of the dialers' database."""
        with closing(psycopg2.connect(self._conninfo)) as connection, connection.cursor() as cursor:
            cursor.execute(statement, values)
            names = [column.name for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    async def close(self) -> None:
        """End every process and stop the rest."""
        reports = [process.report() for process in self.processes]
        for process in self.processes:
            process.kill()
        await super().close()
        # pytest shows it when the test has failed.
        sys.stdout.write("".join(reports))
