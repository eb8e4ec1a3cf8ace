"""Dialing on a simulator that runs on a Clock, and what came of it."""

from __future__ import annotations

from typing import Any

from attrs import define, field
from twisted.internet.task import Clock

from dialer.sandbox.efswitch import EFSwitch, Rule, Rules

from .recorded import Client, frames

EVENTS = (
    "CHANNEL_CREATE CHANNEL_PROGRESS CHANNEL_PROGRESS_MEDIA CHANNEL_ANSWER CHANNEL_BRIDGE CHANNEL_UNBRIDGE "
    "CHANNEL_HANGUP CHANNEL_HANGUP_COMPLETE CHANNEL_DESTROY BACKGROUND_JOB"
)


def originate(uuid: str, number: str = "4989123", *, gateway: str = "gw1", agent: bool = False, more: str = "") -> str:
    """The command that dials an IVR's or an agent's call."""
    if agent:
        variables = f"ignore_early_media=true,sip_h_X-agentExtension=1001,sip_h_X-Call-Id={uuid},"
        return f"originate {{{variables}{more}origination_uuid={uuid}}}sofia/gateway/{gateway}/{number} agent XML here"
    return f"originate {{{more}origination_uuid={uuid}}}sofia/gateway/{gateway}/{number} 1999 XML here"


@define
class Event:
    """An event as a client hears it, its headers decoded; `body` is that of a job."""

    headers: dict[str, str]
    body: str

    @property
    def name(self) -> str:
        """`Event-Name`."""
        return self.headers["Event-Name"]

    @property
    def uuid(self) -> str:
        """`Unique-ID`, empty when it has none."""
        return self.headers.get("Unique-ID", "")

    def variable(self, name: str) -> str | None:
        """A channel variable."""
        return self.headers.get(f"variable_{name}")


@define
class Phone:
    """A subscriber that dials. `pass_time` lets the calls happen; `stop` must leave no timer behind."""

    switch: EFSwitch
    clock: Clock
    client: Client = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.client = self.connect()

    def connect(self, events: str = EVENTS) -> Client:
        """One more client, authenticated and subscribed."""
        client = Client(self.switch)
        client.send(b"auth ClueCon\n\n" + (f"event plain {events}\n\n".encode() if events else b""))
        return client

    def dial(self, *arguments: Any, **options: Any) -> None:
        """`bgapi originate`."""
        self.client.send(f"bgapi {originate(*arguments, **options)}\n\n".encode())

    def api(self, command: str, client: Client | None = None) -> str:
        """The answer to `api`."""
        client = client or self.client
        before = len(client.heard)
        client.send(f"api {command}\n\n".encode())
        answers = [
            body for outer, _, body in frames(client.heard[before:]) if dict(outer)["Content-Type"] == "api/response"
        ]
        assert len(answers) == 1, answers
        return answers[0]

    def pass_time(self, seconds: float) -> None:
        """Let so many seconds pass."""
        self.clock.pump([0.01] * round(seconds * 100))

    def events(self, *names: str, client: Client | None = None) -> list[Event]:
        """The events heard so far, of these names if any."""
        heard = [Event(dict(headers), body) for _, headers, body in frames((client or self.client).heard) if headers]
        return [event for event in heard if not names or event.name in names]

    def jobs(self) -> list[str]:
        """The answers of the jobs heard so far."""
        return [event.body for event in self.events("BACKGROUND_JOB")]

    def ends(self) -> dict[str, Event]:
        """CHANNEL_HANGUP_COMPLETE by uuid."""
        return {event.uuid: event for event in self.events("CHANNEL_HANGUP_COMPLETE")}


def phone(*rules: Rule, **options: Any) -> Phone:
    """A phone on a switch of its own."""
    clock = Clock()
    return Phone(EFSwitch(clock, rules=Rules(rules), **{"seed": 1, **options}), clock)
