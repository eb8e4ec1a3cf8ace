"""Gathers what is known, here and in the database, for `explain`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from attrs import frozen

from dialer.agents import Agents
from dialer.call import DownPolicy
from dialer.calls import Calls
from dialer.connector import Connector
from dialer.esl.fleet import Fleet
from dialer.esl.gateways import GatewayStatus
from dialer.esl.switch import Switch
from dialer.explain import explain
from dialer.facts import AgentFacts, Facts, Fault, GatewayFact, Standing, SwitchFact
from dialer.gateway_troubles import GatewayTrouble
from dialer.lease import Lease
from dialer.limits import SwitchLimits
from dialer.placing import Placing
from dialer.reasons import Explanation
from dialer.recent import ANSWER_WINDOW
from dialer.store.database import Database, DatabaseError
from dialer.store.explain import ExplainStore
from dialer.takings import Takings
from dialer.throttle import Throttle
from dialer.trouble import Trouble

RECENTLY = 2.0
"""Seconds for which a wait for the throttle counts as one of just now: in between a call is looked for a gateway."""


@frozen
class Sources:
    """The parts of the dialer that know something."""

    database: Database
    store: ExplainStore
    lease: Lease
    fleet: Fleet
    limits: SwitchLimits
    calls: Calls
    placing: Placing
    agents: Agents
    takings: Takings
    connector: Connector
    throttle: Throttle
    agent_throttle: Throttle


class Explainer:
    """Explains this process; of others it tells what slots they hold. `starting` says what is still waited for."""

    def __init__(
        self,
        sources: Sources,
        *,
        capacity: int,
        speed: float,
        policy: DownPolicy,
        starting: Callable[[], str | None],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._sources = sources
        self._capacity = capacity
        self._speed = speed
        self._policy = policy
        self._starting = starting
        self._now = now
        self._began = now()

    async def explain(self, campaign_id: str | None = None) -> Explanation | None:
        """Why nothing, or nothing of this campaign, is dialing; None when the campaign has no contact in any state.

        While the database is down nobody knows which campaigns there are, and any is answered. It answers within
        DB_CONN_TIMEOUT and fails with nothing of its own.
        """
        sources = self._sources
        standing: Standing | None = None
        database: Fault | None = None
        if self._starting() is None:
            try:
                standing = await sources.store.standing(campaign_id)
            except DatabaseError as error:
                database = self._fault(sources.database.trouble) or Fault(None, str(error))
        else:
            database = self._fault(sources.database.trouble)
        if campaign_id is not None and standing is not None and not standing.contacts:
            return None
        return explain(self._facts(campaign_id, standing, database))

    def _facts(self, campaign_id: str | None, standing: Standing | None, database: Fault | None) -> Facts:
        sources, starting = self._sources, self._starting()
        return Facts(
            now=self._now(),
            dialer=sources.lease.owner,
            campaign_id=campaign_id,
            starting=None if starting is None else Fault(self._began, starting),
            database=database,
            takings=None if sources.takings.failing is None else Fault(None, str(sources.takings.failing)),
            lease=self._fault(sources.lease.trouble),
            switches=[self._switch(switch) for switch in sources.fleet.switches],
            hold_while_down=self._policy is DownPolicy.HOLD,
            gateways=[self._gateway(each) for each in sources.placing.gateways.now()],
            voice_connector=self._fault(sources.connector.trouble),
            agents=AgentFacts(
                sources.agents.answers.refusals(campaign_id),
                sources.agents.answers.without_agent(campaign_id),
                sources.agents.answers.without_reply(campaign_id),
                minutes=round(ANSWER_WINDOW / 60),
            ),
            capacity=self._capacity,
            speed=self._speed,
            throttled=sources.throttle.waited_for() <= RECENTLY,
            requests_throttled=sources.agent_throttle.waited_for() <= RECENTLY,
            calls=sources.calls.recent.count(campaign_id),
            all_calls=sources.calls.recent.count(),
            standing=standing,
        )

    def _switch(self, switch: Switch) -> SwitchFact:
        slowed = self._sources.limits.slowed(switch.name)
        return SwitchFact(
            switch.name,
            switch.connected,
            switch.settling,
            self._fault(switch.trouble),
            None if slowed is None else slowed.rate,
            None if slowed is None else self._ago(slowed.seconds),
        )

    def _gateway(self, trouble: GatewayTrouble) -> GatewayFact:
        invalid = trouble.status is GatewayStatus.INVALID
        return GatewayFact(trouble.gateway_id, invalid, self._ago(trouble.seconds), frozenset(trouble.contacts))

    def _fault(self, trouble: Trouble | None) -> Fault | None:
        return None if trouble is None else Fault(self._ago(trouble.seconds), trouble.reason)

    def _ago(self, seconds: float) -> datetime:
        return (self._now() - timedelta(seconds=seconds)).replace(microsecond=0)
