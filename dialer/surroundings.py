"""What the dialer works with: the real things that are configured, or what is provided in their place, loudly."""

from __future__ import annotations

import os
import sys
from secrets import token_urlsafe
from typing import Any

from attrs import frozen
from twisted.logger import Logger

from dialer.access.scope import EVERYTHING
from dialer.access.tokens import Token, digest
from dialer.postgres import EmbeddedPostgres
from dialer.sandbox.demo import Demo
from dialer.sandbox.efswitch import EFSwitch, Outcome, Rule, Rules
from dialer.sandbox.vc import VoiceConnector
from dialer.settings import Settings
from dialer.shutdown import Shutdown

CUSTOMERS = (
    Rule(weight=60, ring=(0.5, 2), talk=(1, 4)),
    Rule(weight=12, outcome=Outcome.BUSY, ring=(0.2, 1)),
    Rule(weight=12, outcome=Outcome.NO_ANSWER, ring=(3, 5)),
    Rule(weight=5, outcome=Outcome.UNALLOCATED, ring=0.1),
    Rule(weight=5, outcome=Outcome.REJECTED, ring=(0.5, 1.5)),
    Rule(weight=4, outcome=Outcome.DROPPED_WHILE_AGENT_RINGS, ring=(0.5, 2), agent_ring=(1, 2)),
    Rule(weight=2, outcome=Outcome.NOT_REACHED, ring=(0.2, 1)),
)
"""What becomes of calls in the simulator that is provided; times in seconds, short enough to watch."""

STOP_WITHIN = 2.5
"""Seconds for stopping what is provided, after the dialer itself."""


@frozen
class SwitchAddress:
    """An EFSwitch: what contacts remember it by, and where its event socket is."""

    name: str
    host: str
    port: int


class Surroundings:
    """PostgreSQL, EFSwitch and the VC as one start of the dialer finds them; valid after `start`."""

    log = Logger()

    def __init__(self, reactor: Any, settings: Settings) -> None:
        self._reactor = reactor
        self._settings = settings
        self._postgres: EmbeddedPostgres | None = None
        self._efswitch: EFSwitch | None = None
        self._vc: VoiceConnector | None = None
        self._demo: Demo | None = None
        self.conninfo = ""
        self.switches: tuple[SwitchAddress, ...] = ()
        self.esl_password = settings.esl_password
        self.voice_connector = settings.voice_connector or ""
        # What is provided calls the dialer too.
        own = token_urlsafe(32)
        self._token = own if settings.api_tokens and settings.provide_vc else None
        provided = Token("provided", EVERYTHING, digest(own))
        self.tokens = (*settings.api_tokens, provided) if self._token is not None else settings.api_tokens

    async def start(self) -> None:
        """Start what is provided. Fails with a DialerError that says what cannot be."""
        settings = self._settings
        if settings.provide_postgres:
            self._postgres = EmbeddedPostgres(self._reactor, settings.data_folder)
            self.conninfo = await self._postgres.start()
            self.log.warn("PROVIDED: embedded PostgreSQL, data in {folder}", folder=settings.data_folder)
        else:
            self.conninfo = settings.conninfo or ""
        if settings.provide_efswitch:
            self._efswitch = EFSwitch(self._reactor, password=self.esl_password, rules=Rules(CUSTOMERS))
            port = await self._efswitch.listen(self._reactor)
            address: Any = port.getHost()
            # By a name of its own: its port is another one at each start, and contacts remember which switch has them.
            self.switches = (SwitchAddress("simulator", address.host, address.port),)
            self.log.warn(
                "PROVIDED: EFSwitch SIMULATOR on {host}:{port}, no customer is called",
                host=address.host,
                port=address.port,
            )
        else:
            self.switches = tuple(SwitchAddress(f"{host}:{port}", host, port) for host, port in settings.switches)
        if settings.provide_vc:
            self._vc = VoiceConnector(self._reactor, dialer_url=None, dialer_token=self._token)
            self._vc.listen()
            self.voice_connector = self._vc.url
            self.log.warn("PROVIDED: voice connector SANDBOX on {url}, no agent is reserved", url=self._vc.url)

    def dialer_is_at(self, host: str, port: int) -> None:
        """Tell those that call the dialer where it listens, and begin the demonstration if there is to be one."""
        reachable = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)  # noqa: S104  compared, not bound
        url = f"http://{reachable}:{port}"
        if self._vc is not None:
            self._vc.dialer_url = url
        if self._settings.demo:
            # Past the log, into which twistd turns whatever is written to sys.stdout.
            output = sys.__stdout__ or sys.stdout
            self._demo = Demo(self._reactor, base_url=url, token=self._token, output=output)
            self._demo.startService()

    async def stop_demo(self) -> None:
        """End the display: what it shows is about to stop."""
        if self._demo is not None:
            demo, self._demo = self._demo, None
            await demo.stopService()

    async def stop(self) -> None:
        """Stop what was provided, PostgreSQL last."""
        stop = Shutdown(self._reactor, STOP_WITHIN)
        if self._vc is not None:
            await stop.step("voice connector sandbox", self._vc.stop)
        if self._efswitch is not None:
            await stop.step("EFSwitch simulator", self._efswitch.stop)
        if self._postgres is not None:
            await stop.step("embedded PostgreSQL", self._postgres.stop)

    def end_process(self, why: str) -> None:
        """Stop the reactor in order and end the process with status 1 and one line."""
        # For who started it, whatever the log does.
        print(f"dialer: {why}", file=sys.__stderr__, flush=True)

        def leave() -> None:
            sys.stdout.flush()
            # Twisted's run() returns to twistd, which exits with 0 whatever happened.
            os._exit(1)

        self._reactor.addSystemEventTrigger("after", "shutdown", leave)
        self._reactor.callWhenRunning(self._reactor.stop)
