"""What somebody should look at: sentences for operators, made from what the dialer knows of itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from attrs import asdict, frozen

LONG = timedelta(minutes=1)
"""For how long a message may wait for the VC before that is worth a word."""

MANY = 1_000
"""Results that may wait for a database that is there: those of seconds, at any speed."""


@frozen
class Alarm:
    """One of them. `code` is a word for programs, `since` when it began if that is known."""

    code: str
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
        *_open(status),
    ]
    return sorted(found, key=lambda alarm: not alarm.serious)


def _not_ready(reasons: Sequence[str], switches: Sequence[Mapping[str, Any]]) -> Iterator[Alarm]:
    told = {f"EFSwitch {switch['name']}: {switch['reason'] or 'not ready'}" for switch in switches}
    for reason in reasons:
        if reason not in told:
            yield Alarm("not_ready", f"Nothing is dialed: {reason}", serious=True)


def _results(status: Mapping[str, Any]) -> Iterator[Alarm]:
    if dropped := status["resultsDropped"]:
        yield Alarm(
            "results_dropped",
            f"{_counted(dropped, 'result')} of calls had to be dropped while the database did not take them",
            serious=True,
        )
    waiting = status["resultsWaiting"]
    if waiting and (status["database"] == "down" or waiting > MANY):
        yield Alarm("results_waiting", f"{_counted(waiting, 'result')} of calls not yet written to the database")


def _switches(switches: Sequence[Mapping[str, Any]]) -> Iterator[Alarm]:
    none = not any(switch["ready"] for switch in switches)
    for switch in switches:
        name, slowed = switch["name"], switch["slowedDownTo"]
        if not switch["ready"]:
            yield Alarm("switch_down", f"EFSwitch {name}: {switch['reason'] or 'not ready'}", none, switch["since"])
        if slowed is not None:
            yield Alarm("slowed_down", f"EFSwitch {name} is over its limits: slowed down to {slowed:.1f} calls/s")


def _connector(connector: Mapping[str, Any]) -> Iterator[Alarm]:
    if connector["up"] is False:
        yield Alarm(
            "connector_down", f"The voice connector does not answer: {connector['reason']}", True, connector["since"]
        )


def _gateways(gateways: Sequence[Mapping[str, Any]]) -> Iterator[Alarm]:
    for gateway in gateways:
        name, switch = gateway["gateway"], gateway["switch"]
        if not gateway["recent"]:
            continue
        if gateway["status"] == "down":
            yield Alarm("gateway_down", f"Gateway {name} is down on {switch}", since=gateway["since"])
        elif gateway["status"] == "invalid":
            yield Alarm("gateway_invalid", f"EFSwitch {switch} has no gateway {name}", True, gateway["since"])


def _messages(status: Mapping[str, Any], now: datetime) -> Iterator[Alarm]:
    messages = status["notifications"]
    if messages is None:
        return
    if parked := messages["parked"]:
        yield Alarm("parked", f"{_counted(parked, 'message')} parked: not at the voice connector, and not tried again")
    since = messages["waitingSince"]
    if messages["waiting"] and since is not None and now - since > LONG:
        yield Alarm("undelivered", f"{_counted(messages['waiting'], 'message')} not delivered yet", since=since)


def _open(status: Mapping[str, Any]) -> Iterator[Alarm]:
    if status["authentication"] == "none":
        yield Alarm("open", "Without API_TOKENS whoever reaches this dialer may do everything")


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
