"""What the parts of the dialer tell of what they do, for whoever measures it.

They tell of single events, in words of their own. What can be asked at any time (slots, connections, queues) is not
told here: who measures it asks. Nobody tells which contact or campaign it was: of those there is no end.
"""

from __future__ import annotations

from enum import StrEnum


class Reconciled(StrEnum):
    """What comparing with the database and with EFSwitch found about a contact."""

    TAKEN_OVER = "taken_over"
    """Its dialer had no lease any more."""
    ADOPTED = "adopted"
    """It is ours and dialed, and this process did not send it: found after a start or taken over."""
    RELEASED = "released"
    """Another dialer has taken it over from this one."""
    GONE = "gone"
    """EFSwitch no longer has its call, and nobody saw its end."""
    OVERDUE = "overdue"
    """It was dialed for MAX_CALL_TIME, and EFSwitch could not be asked."""
    TOLD = "told"
    """The end of its call was seen here, and written for a dialer that is gone."""


class Turn(StrEnum):
    """What somebody waits for a turn for."""

    CALL = "call"
    AGENT_REQUEST = "agent_request"


class Refused(StrEnum):
    """Which limit of the HTTP interface somebody met."""

    CONNECTIONS = "connections"
    """As many connections are open as may be, and none of them is idle."""
    ADDRESS = "connections_per_address"
    """This address has as many connections as it may have."""
    MADE_ROOM = "made_room"
    """An idle connection was closed for a new one."""
    SLOW_HANDSHAKE = "slow_handshake"
    """A client speaks no TLS, or does not go on with it."""
    HEAD_SIZE = "head_size"
    HEADERS = "headers"
    SLOW_HEAD = "slow_head"
    BODY_SIZE = "body_size"
    BODIES = "bodies"
    """As much is held of the bodies of others as may be."""
    SLOW_BODY = "slow_body"
    SLOW_READER = "slow_reader"
    """The client does not read its answer."""
    LIST_LENGTH = "list_length"
    RATE = "rate"
    VIEWERS = "viewers"
    """As many look at the dialer as may at the same time, or one caller as often as it may."""
    BUSY = "busy"
    """Others wait for the database already, as many as may."""


class Meter:
    """Is told of each event as it happens, hundreds of times a second, and forgets it. Times are seconds."""

    def sent(self, campaign_type: str, switch: str) -> None:
        """An originate command was written to a switch."""

    def rang(self, campaign_type: str, seconds: float, *, answered: bool) -> None:
        """A call ended that had rung for so long, until it was answered or given up."""

    def talked(self, campaign_type: str, seconds: float) -> None:
        """An answered call ended that had lasted so long since the answer."""

    def settled(self, campaign_type: str, result: str | None) -> None:
        """A contact became ended or failed, with this call result; None: it went back to its queue."""

    def waited(self, turn: Turn, seconds: float) -> None:
        """Somebody got a turn after waiting so long for it."""

    def chose(self, seconds: float) -> None:
        """The next contacts, one at least, were chosen, which took so long."""

    def heard(self, switch: str, event: str) -> None:
        """An event came from a switch."""

    def repeated(self, event: str) -> None:
        """An event told of a call what it had told before."""

    def reconciled(self, found: Reconciled) -> None:
        """Something was found out about a contact by comparing."""

    def asked_for_agent(self, answer: str) -> None:
        """An agent was requested; what is known of that."""

    def agent_replied(self, *, reserved: bool) -> None:
        """The VC replied to an agent request, with an agent or with none."""

    def database_failed(self, kind: str) -> None:
        """A statement was not served."""

    def refused(self, reason: Refused) -> None:
        """Somebody met a limit of the HTTP interface."""

    def served(self, method: str, route: str, status: str, seconds: float) -> None:
        """An HTTP request was answered, or its client has gone. `route` is the path as declared."""
