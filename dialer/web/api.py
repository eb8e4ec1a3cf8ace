"""The HTTP interface (SPEC 3): parse, call the core, render."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from functools import wraps
from typing import Any, cast

from klein import Klein
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Cooperator
from twisted.logger import Logger
from twisted.web.iweb import IRequest
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

from dialer.agents import Agents, EFSwitchDown, NotWaiting, Stopping, UnknownContact
from dialer.contact import Contact, NewContact
from dialer.placing import NotReady
from dialer.settlement import Dropped
from dialer.status import StatusReport
from dialer.store.campaigns import CampaignCount, CampaignStore
from dialer.store.contacts import ContactClash, ContactStore
from dialer.store.database import DatabaseError
from dialer.store.history import HistoryStore
from dialer.store.outbox import NotResendable, OutboxStore
from dialer.throttle import ThrottleClosed
from dialer.web.answers import Answer, HttpError, write_error, write_json
from dialer.web.notifications import parse_id, parse_page, render_message, render_page
from dialer.web.schema import (
    Invalid,
    parse_contact,
    parse_contacts_steps,
    parse_json,
    parse_reply,
    render_contact,
    render_happening,
)

Handler = Callable[..., Awaitable[object]]


class Api:
    """The routes. `on_contacts` is called after contacts were stored, or a campaign was started;
    `on_resend` after a message for the VC was made to wait again."""

    log = Logger()
    app = Klein()

    def __init__(
        self,
        clock: IReactorTime,
        contacts: ContactStore,
        campaigns: CampaignStore,
        history: HistoryStore,
        agents: Agents,
        outbox: OutboxStore,
        status: StatusReport,
        *,
        on_contacts: Callable[[], None],
        on_resend: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._contacts = contacts
        self._campaigns = campaigns
        self._history = history
        self._agents = agents
        self._outbox = outbox
        self._status = status
        self._on_contacts = on_contacts
        self._on_resend = on_resend

    def resource(self) -> Any:
        """The root resource for a Site."""
        return self.app.resource()

    @staticmethod
    def _handler(function: Handler) -> Callable[..., Deferred[bytes]]:
        """Answer in JSON whatever happens, and finish the work though the client goes away meanwhile."""

        @wraps(function)
        def handle(self: Api, request: IRequest, *arguments: Any, **keywords: Any) -> Deferred[bytes]:
            answer: Deferred[bytes] = Deferred(canceller=lambda _: None)
            gone = False

            def left(_: object) -> None:
                nonlocal gone
                gone = True

            finished: Deferred[None] = cast(Any, request).notifyFinish()
            finished.addErrback(left)

            def done(body: bytes) -> None:
                if not gone:
                    answer.callback(body)

            Deferred.fromCoroutine(self._answer(function, request, arguments, keywords)).addCallback(done)
            return answer

        return handle

    async def _answer(
        self, function: Handler, request: IRequest, arguments: tuple[Any, ...], keywords: dict[str, Any]
    ) -> bytes:
        try:
            value = await function(self, request, *arguments, **keywords)
            answer = value if isinstance(value, Answer) else Answer(200, value)
            return write_json(request, answer.body, answer.status)
        except HttpError as error:
            return write_error(request, error)
        except Exception as error:
            return write_error(request, self._http_error(error))

    def _http_error(self, error: Exception) -> HttpError:
        match error:
            case Invalid():
                return HttpError(400, "invalid", str(error), field=error.field, index=error.index)
            case ContactClash():
                return HttpError(409, "conflict", str(error), field="id", index=error.index)
            case UnknownContact():
                return HttpError(404, "not_found", str(error), field="uuid")
            case NotWaiting():
                return HttpError(409, "not_waiting", str(error))
            case NotResendable():
                return HttpError(409, "not_resendable", str(error), field="id")
            case NotReady():
                return HttpError(503, "not_ready", str(error))
            case EFSwitchDown():
                return HttpError(500, "efswitch_down", str(error))
            case DatabaseError():
                return HttpError(503, "database_down", "the database cannot be reached; try again")
            case Stopping() | Dropped() | ThrottleClosed():
                return HttpError(503, "stopping", "the dialer is stopping; try again")
        self.log.failure("Request failed")
        return HttpError(500, "internal", "an unexpected error occurred; the log tells more")

    # -- contacts --------------------------------------------------------------------------------------------------

    @app.route("/contact", methods=["POST"])
    @_handler
    async def post_contact(self, request: IRequest) -> object:
        """One contact, stored before it is answered."""
        try:
            return await self._store([parse_contact(_posted(request))])
        except ContactClash as clash:
            raise HttpError(409, "conflict", str(clash), field="id") from clash

    @app.route("/contacts", methods=["POST"])
    @_handler
    async def post_contacts(self, request: IRequest) -> object:
        """A list of contacts, stored whole or not at all; checked in steps so that calls are served meanwhile."""
        contacts: list[NewContact] = []

        def check() -> Iterator[None]:
            posted = _posted(request)
            yield
            for step in parse_contacts_steps(posted):
                contacts.extend(step)
                yield

        await _STEPS.cooperate(check()).whenDone()
        return await self._store(contacts)

    async def _store(self, contacts: list[NewContact]) -> object:
        if not contacts:
            return {"accepted": 0, "duplicates": 0}
        added = await self._contacts.add(contacts)
        if added.accepted:
            self._on_contacts()
        return {"accepted": added.accepted, "duplicates": added.duplicates}

    @app.route("/contact/<contact_id>", methods=["GET"])
    @_handler
    async def get_contact(self, request: IRequest, contact_id: str) -> object:
        """Everything known about a contact."""
        contact = None if "\0" in contact_id else await self._contacts.get(contact_id)
        if contact is None:
            raise HttpError(404, "not_found", f"there is no contact {contact_id!r}", field="id")
        return render_contact(contact)

    @app.route("/contact/<contact_id>/history", methods=["GET"])
    @_handler
    async def get_history(self, request: IRequest, contact_id: str) -> object:
        """What happened to a contact, oldest first; also to one that was removed since."""
        happened = [] if "\0" in contact_id else await self._history.of(contact_id)
        if not happened:
            raise HttpError(404, "not_found", f"nothing is known of a contact {contact_id!r}", field="id")
        return {"id": contact_id, "history": [render_happening(each) for each in happened]}

    # -- the VC's reply --------------------------------------------------------------------------------------------

    @app.route("/agent", methods=["POST"])
    @app.route("/agent;", methods=["POST"])
    @_handler
    async def post_agent(self, request: IRequest) -> object:
        """The VC's reply to an agent request; answered once EFSwitch took or refused the command."""
        contact: Contact = await self._agents.reply(parse_reply(_posted(request)))
        return {"id": contact.id, "status": contact.status, "callResult": contact.call_result}

    # -- campaigns -------------------------------------------------------------------------------------------------

    @app.route("/campaign/<campaign_id>/start", methods=["POST"])
    @_handler
    async def start_campaign(self, request: IRequest, campaign_id: str) -> object:
        """stopped → pending."""
        started = await self._control(campaign_id, self._campaigns.start)
        self._on_contacts()
        return started

    @app.route("/campaign/<campaign_id>/stop", methods=["POST"])
    @_handler
    async def stop_campaign(self, request: IRequest, campaign_id: str) -> object:
        """pending → stopped."""
        return await self._control(campaign_id, self._campaigns.stop)

    @app.route("/campaign/<campaign_id>/purge", methods=["POST"])
    @_handler
    async def purge_campaign(self, request: IRequest, campaign_id: str) -> object:
        """pending → removed."""
        return await self._control(campaign_id, self._campaigns.purge)

    async def _control(self, campaign_id: str, control: Callable[[str], Awaitable[int | None]]) -> object:
        changed = None if "\0" in campaign_id else await control(campaign_id)
        if changed is None:
            raise _no_campaign(campaign_id)
        return {"campaignId": campaign_id, "contacts": changed}

    @app.route("/campaigns", methods=["GET"])
    @_handler
    async def get_campaigns(self, request: IRequest) -> object:
        """The counts of every campaign."""
        return {"campaigns": [_rendered(count) for count in await self._campaigns.count()]}

    @app.route("/campaign/<campaign_id>", methods=["GET"])
    @_handler
    async def get_campaign(self, request: IRequest, campaign_id: str) -> object:
        """The counts of one campaign."""
        counts = [] if "\0" in campaign_id else await self._campaigns.count(campaign_id)
        if not counts:
            raise _no_campaign(campaign_id)
        return _rendered(counts[0])

    # -- messages for the VC ----------------------------------------------------------------------------------------

    @app.route("/notifications", methods=["GET"])
    @_handler
    async def get_notifications(self, request: IRequest) -> object:
        """A page of the messages that the VC does not have."""
        asked = parse_page(cast(Any, request).args)
        return render_page(
            await self._outbox.undelivered(asked.states, limit=asked.limit + 1, after=asked.after), asked
        )

    @app.route("/notifications/<message_id>/retry", methods=["POST"])
    @_handler
    async def retry_notification(self, request: IRequest, message_id: str) -> object:
        """parked → waiting, and sent again."""
        number = parse_id(message_id)
        message = None if number is None else await self._outbox.resend(number)
        if message is None:
            raise HttpError(404, "not_found", f"there is no notification {message_id!r}", field="id")
        self._on_resend()
        return render_message(message)

    # -- the dialer itself -----------------------------------------------------------------------------------------

    @app.route("/status", methods=["GET"])
    @_handler
    async def get_status(self, request: IRequest) -> object:
        """Slots, speed and what is up; 503, with what is known, while the database is down."""
        known = await self._status.report()
        if known["database"] == "down":
            error = HttpError(503, "database_down", "the database cannot be reached; try again")
            return Answer(503, known | error.body())
        return known

    @app.route("/healthz", methods=["GET"])
    @_handler
    async def get_health(self, request: IRequest) -> object:
        """The process is alive."""
        return {"status": "ok"}

    @app.route("/readyz", methods=["GET"])
    @_handler
    async def get_ready(self, request: IRequest) -> object:
        """It can dial; otherwise 503 with the reasons."""
        reasons = self._status.reasons_not_ready()
        return Answer(503 if reasons else 200, {"ready": not reasons, "reasons": reasons})

    # -- what has no route -----------------------------------------------------------------------------------------

    @app.handle_errors(HTTPException)
    def no_route(self, request: IRequest, failure: Any) -> bytes:
        """Unknown paths and wrong methods, in JSON like every error."""
        problem = failure.value
        if isinstance(problem, MethodNotAllowed):
            allowed = ", ".join(sorted(problem.valid_methods or ()))
            request.setHeader(b"allow", allowed.encode())
            return write_error(request, HttpError(405, "method_not_allowed", f"this path takes {allowed}"))
        if isinstance(problem, NotFound):
            return write_error(request, HttpError(404, "not_found", "there is no such path"))
        return write_error(request, HttpError(problem.code or 500, "http", problem.description or "refused"))


_STEPS = Cooperator(terminationPredicateFactory=lambda: lambda: True)
"""One step in a turn of the reactor; Twisted's own takes steps for 10 ms."""


def _posted(request: IRequest) -> object:
    """The JSON of a request's body. Fails with Invalid (400) or an HttpError 415."""
    kind = request.getHeader(b"content-type")
    if kind is not None and kind.split(b";")[0].strip().lower() != b"application/json":
        raise HttpError(415, "unsupported_media_type", "send application/json", field="Content-Type")
    content: Any = request.content
    return parse_json(content.read())


def _no_campaign(campaign_id: str) -> HttpError:
    return HttpError(404, "not_found", f"no contact of campaign {campaign_id!r} is known", field="campaignId")


def _rendered(count: CampaignCount) -> dict[str, object]:
    return {
        "campaignId": count.campaign_id,
        "total": count.total,
        "byStatus": count.by_status,
        "byCallResult": count.by_call_result,
    }
