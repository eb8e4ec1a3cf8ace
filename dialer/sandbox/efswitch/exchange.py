"""What a call needs from the switch it runs on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from twisted.internet.interfaces import IReactorTime

from .channel import Channel
from .gateways import Gateway

if TYPE_CHECKING:
    from .call import Call


class Exchange(Protocol):
    """What a call needs from the switch it runs on."""

    clock: IReactorTime
    ip: str
    agent_gateway: str

    def now(self) -> int:
        """Microseconds since 1970."""

    def fire(self, event: str, channel: Channel) -> None:
        """Send an event of a channel to whoever subscribed to it."""

    def enter(self, channel: Channel, call: Call) -> None:
        """Count a channel as alive."""

    def leave(self, channel: Channel) -> None:
        """Count a channel as gone."""

    def admit(self) -> bool:
        """Whether one more session may start; counts it."""

    def job_first(self) -> bool:
        """Whether the answer of a call that failed comes before its last events, this time."""

    def unbridge_first(self) -> bool:
        """Whether the customer's leg sees the end of a bridge before the agent's leg is gone, this time."""

    def new_uuid(self) -> str:
        """A random uuid."""

    def new_session(self) -> int:
        """The number of the next session."""

    def gateway_named(self, name: str) -> Gateway | None:
        """The gateway of that name."""

    def application(self, extension: str) -> tuple[str, str] | None:
        """The application and its data that the dialplan runs for an extension; None for one that calls an agent."""
