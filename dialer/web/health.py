"""The dialer itself over HTTP: what it is doing, and whether it can."""

from __future__ import annotations

from twisted.web.iweb import IRequest

from dialer.status import StatusReport
from dialer.web.answers import Answer, HttpError
from dialer.web.endpoint import Scope, endpoint
from dialer.web.gate import may_read
from dialer.web.shown import DialerStatus, DialerStatusInOutage, Liveness, Readiness


class Health:
    """Shows the report of the dialer's state."""

    def __init__(self, status: StatusReport) -> None:
        self._status = status

    @endpoint("GET", "/status", scope=Scope.READ, answers=DialerStatus, others={503: DialerStatusInOutage})
    async def get_status(self, request: IRequest) -> object:  # noqa: ARG002  as every handler
        """Slots, speed and what is up; 503, with what is known, while the database is down."""
        known = await self._status.report()
        if known["database"] == "down":
            error = HttpError(503, "database_down", "the database cannot be reached; try again")
            return Answer(503, known | error.body())
        return known

    @endpoint("GET", "/healthz", scope=None, answers=Liveness)
    async def get_health(self, request: IRequest) -> object:  # noqa: ARG002
        """The process is alive."""
        return {"status": "ok"}

    @endpoint("GET", "/readyz", scope=None, answers=Readiness, others={503: Readiness})
    async def get_ready(self, request: IRequest) -> object:
        """It can dial; otherwise 503 with the reasons, in few words for a caller who may not read."""
        reasons = self._status.reasons_not_ready(brief=not may_read(request))
        return Answer(503 if reasons else 200, {"ready": not reasons, "reasons": reasons})
