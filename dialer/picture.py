"""All that an operator sees of the dialer at one glance, gathered at one moment."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from attrs import asdict, field, frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from dialer.alarms import alarms
from dialer.connector import Connector
from dialer.esl.fleet import Fleet
from dialer.outcomes import Minute, Outcomes
from dialer.rate import CallRate
from dialer.reasons import Explanation
from dialer.status import StatusReport
from dialer.store.campaigns import CampaignCount, CampaignStore
from dialer.store.database import Database, DatabaseError
from dialer.trouble import Trouble

FORGOTTEN = 3600.0
"""Seconds after which a gateway that nobody asked for is no longer shown."""

RECENT = 600.0
"""Seconds for which a gateway that could not be used counts as something to look at: one that was misspelt once is not
asked for again, one that is down is, each time that its contacts are next."""


EXPLAIN_EVERY = 3.0
"""Seconds for which an explanation of why nothing is dialing may be shown again."""


@frozen
class Picture:
    """One look. Two of them are equal when nothing has changed."""

    facts: Mapping[str, Any] = field(factory=dict)
    """By subject, JSON values; times are datetimes."""

    campaigns: Mapping[str, CampaignCount] = field(factory=dict)
    """By id, in the order of the ids."""


class Photographer:
    """Takes pictures. While the database is down they show the campaigns as they were last seen.

    `explain` says why nothing is dialing; it may take its time.
    `clock` is the one that the switches go by, `now` the time of day; `name` is the dialer's.
    """

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        now: Callable[[], datetime],
        database: Database,
        campaigns: CampaignStore,
        outcomes: Outcomes,
        status: StatusReport,
        fleet: Fleet,
        connector: Connector,
        *,
        name: str,
        explain: Callable[[], Awaitable[Explanation | None]],
    ) -> None:
        self._clock = clock
        self._now = now
        self._database = database
        self._campaigns = campaigns
        self._outcomes = outcomes
        self._status = status
        self._fleet = fleet
        self._connector = connector
        self._name = name
        self._explain = explain
        self._explanation: Mapping[str, Any] | None = None
        self._explained = -math.inf
        self._explaining = False
        self._rate = CallRate()
        self._whens: dict[object, tuple[float, datetime]] = {}
        self._troubles: dict[str, datetime] = {}
        self._counts: dict[str, CampaignCount] = {}
        self._minutes: Sequence[Minute] = ()

    async def take(self) -> Picture:
        """Look at everything."""
        now = self._now()
        rate: float | None = None
        # To wait for a database that is known to be down would make each picture come late.
        if self._database.up:
            with suppress(DatabaseError):
                counts = await self._campaigns.count()
                self._counts = {count.campaign_id: count for count in counts}
                rate = round(self._rate.note(self._clock.seconds(), sum(map(_calls, counts))), 1)
            with suppress(DatabaseError):
                self._minutes = await self._outcomes.last_hour()
        status = await self._status.report(wait=False)
        switches, gateways = self._switches(status["switches"]), self._gateways()
        connector = {
            "up": self._connector.up if self._connector.known else None,
            "reason": self._connector.reason,
            "since": self._since("connector", self._connector.trouble),
        }
        database = {
            "up": status["database"] == "up",
            "reason": self._database.reason,
            "since": self._since("database", self._database.trouble),
        }
        reasons = self._status.reasons_not_ready()
        found = alarms(status, reasons, switches, gateways, connector, now)
        facts = {
            "dialer": {"name": self._name, "ready": not reasons},
            "status": {name: value for name, value in status.items() if name != "switches"},
            "rate": rate,
            "database": database,
            "switches": switches,
            "gateways": gateways,
            "voiceConnector": connector,
            "explanation": self._why(),
            "alarms": [alarm.shown() for alarm in found],
            "outcomes": [{"time": minute.began, "byCallResult": dict(minute.counts)} for minute in self._minutes],
        }
        return Picture(facts, self._counts)

    def _why(self) -> Mapping[str, Any] | None:
        """The last explanation. The next one comes when it does: it waits for a database that is down."""
        if not self._explaining and self._clock.seconds() - self._explained >= EXPLAIN_EVERY:
            self._explaining = True
            Deferred.fromCoroutine(self._ask_why())
        return self._explanation

    async def _ask_why(self) -> None:
        try:
            explanation = await self._explain()
            self._explanation = None if explanation is None else asdict(explanation)
        except CancelledError:
            self.log.debug("Nothing is explained: the dialer stops")
        except Exception:
            self.log.failure("It could not be explained why nothing is dialing")
        finally:
            self._explained = self._clock.seconds()
            self._explaining = False

    def _switches(self, reported: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        return [
            {**told, "connected": switch.connected, "since": self._when(switch.name, switch.since)}
            for told, switch in zip(reported, self._fleet.switches, strict=True)
        ]

    def _gateways(self) -> list[dict[str, Any]]:
        now = self._clock.seconds()
        return [
            {
                "gateway": known.gateway_id,
                "switch": switch.name,
                "status": known.status.value,
                "since": self._when((switch.name, known.gateway_id), known.since),
                "recent": now - known.heard < RECENT,
            }
            for switch in self._fleet.switches
            for known in switch.gateways
            if now - known.heard < FORGOTTEN
        ]

    def _since(self, what: str, trouble: Trouble | None) -> datetime | None:
        """The time of day that a trouble began, likewise."""
        if trouble is None:
            self._troubles.pop(what, None)
            return None
        moment = (self._now() - timedelta(seconds=trouble.seconds)).replace(microsecond=0)
        before = self._troubles.get(what)
        if before is None or abs(moment - before) > timedelta(seconds=2):
            self._troubles[what] = moment
        return self._troubles[what]

    def _when(self, what: object, seconds: float) -> datetime:
        """The time of day of a moment of the clock; the same each time, or every picture would differ from the last."""
        before = self._whens.get(what)
        if before is None or before[0] != seconds:
            moment = self._now() - timedelta(seconds=self._clock.seconds() - seconds)
            before = self._whens[what] = (seconds, moment.replace(microsecond=0))
        return before[1]


def _calls(count: CampaignCount) -> int:
    """The calls that the counts tell of: those under way and those that ended."""
    return count.by_status.get("dialed", 0) + count.by_status.get("ended", 0)
