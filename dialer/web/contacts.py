"""Contacts over HTTP: posted one by one or in lists, shown with their histories."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

from twisted.web.iweb import IRequest

from dialer.contact import NewContact
from dialer.lists.reading import CSV, NDJSON
from dialer.store.contacts import ContactClash, ContactStore
from dialer.store.history import HistoryStore
from dialer.turnstile import Turnstile
from dialer.web.answers import HttpError
from dialer.web.endpoint import JSON, Scope, endpoint
from dialer.web.incoming import Incoming
from dialer.web.posted import content_type, posted, posted_steps
from dialer.web.schema import (
    MAX_CONTACTS,
    ContactIn,
    ContactList,
    parse_contact,
    parse_contacts_steps,
    render_contact,
    render_happening,
)
from dialer.web.shown import Accepted, ContactHistory, StoredContact, Uploaded, UploadedInPart
from dialer.web.turns import STEPS
from dialer.web.upload import UploadQuery, Uploads, reader_for


class Contacts:
    """`on_contacts` is called after contacts were stored; a list in JSON may have `most`, and of these lists
    as many are worked on at a time as `lists` lets through."""

    def __init__(
        self,
        contacts: ContactStore,
        history: HistoryStore,
        lists: Turnstile,
        *,
        on_contacts: Callable[[], None],
        most: int = MAX_CONTACTS,
    ) -> None:
        self._contacts = contacts
        self._history = history
        self._lists = lists
        self._on_contacts = on_contacts
        self._uploads = Uploads(contacts, on_contacts=on_contacts)
        self._most = most

    @endpoint(
        "POST", "/contact", scope=Scope.CONTACTS, takes=ContactIn, answers=Accepted, errors=[400, 409, 413, 415, 503]
    )
    async def post_contact(self, request: IRequest) -> object:
        """One contact, stored before it is answered."""
        try:
            return await self._store([parse_contact(posted(request))])
        except ContactClash as clash:
            raise HttpError(409, "conflict", str(clash), field="id") from clash

    @endpoint(
        "POST",
        "/contacts",
        scope=Scope.CONTACTS,
        takes={JSON: ContactList, CSV: None, NDJSON: ContactIn},
        arriving={CSV, NDJSON},
        query=UploadQuery,
        answers=Accepted | Uploaded,
        errors=[400, 409, 413, 415],
        others={503: UploadedInPart},
    )
    async def post_contacts(self, request: IRequest) -> object:
        """A list of contacts: in JSON stored whole or not at all, as CSV or JSON lines of any length row by row.

        Of JSON lines, each line is one contact. The first line of CSV names the columns by the fields of a contact, in
        any case, with or without spaces, `_` and `-`; other columns are ignored. The delimiter is comma, semicolon or
        tab. Empty cells are absent, `schedulingMetadata` is JSON. The parameters are for rows that lack a field, and
        for lists in JSON mean nothing.

        A list that is sent again is stored once.
        """
        incoming: Incoming | None = cast(Any, request).incoming
        if incoming is not None:
            if (request.getHeader(b"content-encoding") or b"identity").lower() != b"identity":
                raise HttpError(415, "unsupported_encoding", "send the list unpacked", field="Content-Encoding")
            reader = reader_for(content_type(request) or "", cast(Any, request).args)
            return await self._uploads.take(incoming, reader)
        return await self._lists.run(lambda: self._take(request))

    async def _take(self, request: IRequest) -> object:
        contacts: list[NewContact] = []

        def check() -> Iterator[None]:
            listed = yield from posted_steps(request, others=(CSV, NDJSON))
            yield
            for step in parse_contacts_steps(listed, self._most):
                contacts.extend(step)
                yield

        await STEPS.cooperate(check()).whenDone()
        return await self._store(contacts)

    async def _store(self, contacts: list[NewContact]) -> object:
        if not contacts:
            return {"accepted": 0, "duplicates": 0}
        added = await self._contacts.add(contacts)
        if added.accepted:
            self._on_contacts()
        return {"accepted": added.accepted, "duplicates": added.duplicates}

    @endpoint("GET", "/contact/<contact_id>", scope=Scope.READ, answers=StoredContact, errors=[404, 503])
    async def get_contact(self, request: IRequest, contact_id: str) -> object:  # noqa: ARG002  as every handler
        """Everything known about a contact."""
        contact = None if "\0" in contact_id else await self._contacts.look_up(contact_id)
        if contact is None:
            raise HttpError(404, "not_found", f"there is no contact {contact_id!r}", field="id")
        return render_contact(contact)

    @endpoint("GET", "/contact/<contact_id>/history", scope=Scope.READ, answers=ContactHistory, errors=[404, 503])
    async def get_history(self, request: IRequest, contact_id: str) -> object:  # noqa: ARG002
        """What happened to a contact, oldest first; also to one that was removed since."""
        happened = [] if "\0" in contact_id else await self._history.of(contact_id)
        if not happened:
            raise HttpError(404, "not_found", f"nothing is known of a contact {contact_id!r}", field="id")
        return {"id": contact_id, "history": [render_happening(each) for each in happened]}
