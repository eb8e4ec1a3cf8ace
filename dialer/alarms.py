"""What somebody should look at: sentences for operators, made from what the dialer knows of itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from attrs import asdict, frozen

from dialer.tls.pem import EXPIRES_SOON

LONG = timedelta(minutes=1)
"""For how long a message may wait for its receiver before that is worth a word."""

MANY = 1_000
"""Results that may wait for a database that is there: those of seconds, at any speed."""


class Code(StrEnum):
    """A word for programs. Each has its section in docs/operations.md."""

    NOT_READY = "not_ready"
    RESULTS_DROPPED = "results_dropped"
    RESULTS_WAITING = "results_waiting"
    SWITCH_DOWN = "switch_down"
    SLOWED_DOWN = "slowed_down"
    CONNECTOR_DOWN = "connector_down"
    GATEWAY_DOWN = "gateway_down"
    GATEWAY_INVALID = "gateway_invalid"
    PARKED = "parked"
    UNDELIVERED = "undelivered"
    WEBHOOKS_PARKED = "webhooks_parked"
    WEBHOOKS_UNDELIVERED = "webhooks_undelivered"
    CERTIFICATE_EXPIRES = "certificate_expires"
    CERTIFICATE_NOT_RELOADED = "certificate_not_reloaded"
    OPEN = "open"


@frozen
class Alarm:
    """One of them. `since` is when it began, if that is known."""

    code: Code
    message: str
    serious: bool = False
    """Calls are not made, or something was lost."""
    since: datetime | None = None

    def shown(self) -> dict[str, Any]:
        """As JSON shows it."""
        return asdict(self)


def alarms(
    status: Mapping[str, Any],
    not_ready: Sequence[str],
    switches: Sequence[Mapping[str, Any]],
    gateways: Sequence[Mapping[str, Any]],
    connector: Mapping[str, Any],
    now: datetime,
) -> list[Alarm]:
    """Those that there are, the serious ones first.

    `status` is the object of `/status`, `not_ready` are the reasons of `/readyz`; the others are as `Picture` has them.
    """
    found = [
        *_not_ready(not_ready, switches),
        *_results(status),
        *_switches(switches),
        *_connector(connector),
        *_gateways(gateways),
        *_messages(status, now),
        *_certificates(status, now),
        *_open(status),
    ]
    return sorted(found, key=lambda alarm: not alarm.serious)


def _not_ready(reasons: Sequence[str], switches: Sequence[Mapping[str, Any]]) -> Iterator[Alarm]:
    told = {f"EFSwitch {switch['name']}: {switch['reason'] or 'not ready'}" for switch in switches}
    for reason in reasons:
        if reason not in told:
            yield Alarm(Code.NOT_READY, f"Nothing is dialed: {reason}", serious=True)


def _results(status: Mapping[str, Any]) -> Iterator[Alarm]:
    if dropped := status["resultsDropped"]:
        yield Alarm(
            Code.RESULTS_DROPPED,
            f"{_counted(dropped, 'result')} of calls had to be dropped while the database did not take them",
            serious=True,
        )
    waiting = status["resultsWaiting"]
    if waiting and (status["database"] == "down" or waiting > MANY):
        yield Alarm(Code.RESULTS_WAITING, f"{_counted(waiting, 'result')} of calls not yet written to the database")


def _switches(switches: Sequence[Mapping[str, Any]]) -> Iterator[Alarm]:
    none = not any(switch["ready"] for switch in switches)
    for switch in switches:
        name, slowed = switch["name"], switch["slowedDownTo"]
        if not switch["ready"]:
            yield Alarm(Code.SWITCH_DOWN, f"EFSwitch {name}: {switch['reason'] or 'not ready'}", none, switch["since"])
        if slowed is not None:
            yield Alarm(Code.SLOWED_DOWN, f"EFSwitch {name} is over its limits: slowed down to {slowed:.1f} calls/s")


def _connector(connector: Mapping[str, Any]) -> Iterator[Alarm]:
    if connector["up"] is False:
        yield Alarm(
            Code.CONNECTOR_DOWN, f"The voice connector does not answer: {connector['reason']}", True, connector["since"]
        )


def _gateways(gateways: Sequence[Mapping[str, Any]]) -> Iterator[Alarm]:
    for gateway in gateways:
        name, switch = gateway["gateway"], gateway["switch"]
        if not gateway["recent"]:
            continue
        if gateway["status"] == "down":
            yield Alarm(Code.GATEWAY_DOWN, f"Gateway {name} is down on {switch}", since=gateway["since"])
        elif gateway["status"] == "invalid":
            yield Alarm(Code.GATEWAY_INVALID, f"EFSwitch {switch} has no gateway {name}", True, gateway["since"])


def _messages(status: Mapping[str, Any], now: datetime) -> Iterator[Alarm]:
    messages, webhooks = status["notifications"], status["webhooks"]
    if messages is not None:
        where = "not at the voice connector"
        yield from _backlog(messages, "message", where, Code.PARKED, Code.UNDELIVERED, now)
    if webhooks is not None:
        where = "not at their receivers"
        yield from _backlog(webhooks, "webhook", where, Code.WEBHOOKS_PARKED, Code.WEBHOOKS_UNDELIVERED, now)


def _backlog(
    backlog: Mapping[str, Any], what: str, where: str, parked: Code, undelivered: Code, now: datetime
) -> Iterator[Alarm]:
    if number := backlog["parked"]:
        yield Alarm(parked, f"{_counted(number, what)} parked: {where}, and not tried again")
    since = backlog["waitingSince"]
    if backlog["waiting"] and since is not None and now - since > LONG:
        yield Alarm(undelivered, f"{_counted(backlog['waiting'], what)} not delivered yet", since=since)


def _certificates(status: Mapping[str, Any], now: datetime) -> Iterator[Alarm]:
    for certificate in status["certificates"]:
        name, expires, problem = certificate["name"], certificate["expires"], certificate["problem"]
        over = expires <= now
        if expires - now <= EXPIRES_SOON:
            when = f"{'has expired on' if over else 'expires on'} {expires:%Y-%m-%d %H:%M} UTC"
            yield Alarm(Code.CERTIFICATE_EXPIRES, f"The certificate of {name} {when}", serious=over)
        if problem is not None:
            yield Alarm(Code.CERTIFICATE_NOT_RELOADED, f"A certificate was not reloaded: {problem}")


def _open(status: Mapping[str, Any]) -> Iterator[Alarm]:
    if status["authentication"] == "none":
        yield Alarm(Code.OPEN, "Without API_TOKENS whoever reaches this dialer may do everything")


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
