"""The results of a campaign as one file of any size: CSV, JSON or JSON lines, written page by page."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from enum import StrEnum
from typing import Annotated, Any, Literal, cast

import orjson
from pydantic import Field
from twisted.web.iweb import IRequest

from dialer.contact import Contact, Status
from dialer.lists.reading import CSV, NDJSON
from dialer.lists.spreadsheet import defused
from dialer.store.results import ResultStore
from dialer.web.answers import HttpError
from dialer.web.campaigns import no_campaign
from dialer.web.endpoint import JSON, Scope, endpoint
from dialer.web.query import Query, parse_query
from dialer.web.schema import SHOWN, render_contact
from dialer.web.shown import StoredContact
from dialer.web.streaming import Streamed


class Format(StrEnum):
    """What the results may be written as."""

    CSV = "csv"
    JSON = "json"
    NDJSON = "ndjson"


_Stored = Literal[Status.PENDING, Status.AGENT_PENDING, Status.DIALED, Status.ENDED, Status.STOPPED, Status.FAILED]
_STATUSES = tuple(status for status in Status if status is not Status.REMOVED)
_TYPES = {Format.CSV: CSV, Format.JSON: JSON, Format.NDJSON: NDJSON}


class ResultsQuery(Query):
    """Which contacts, and how they are written; without `format` as `Accept` says."""

    format: Annotated[Format | None, Field(description="csv, json or ndjson")] = None
    status: Annotated[_Stored | None, Field(description=", ".join(_STATUSES))] = None


class Results:
    """The contacts of a campaign, all of them."""

    def __init__(self, results: ResultStore) -> None:
        self._results = results

    @endpoint(
        "GET",
        "/campaign/<campaign_id>/results",
        scope=Scope.READ,
        query=ResultsQuery,
        answers={CSV: None, JSON: list[StoredContact], NDJSON: StoredContact},
        errors=[400, 404, 406, 503],
    )
    async def get_results(self, request: IRequest, campaign_id: str) -> object:
        """All contacts of a campaign in the order of their arrival, with what became of them.

        Each contact that was there at the beginning is in it once, as it was when its page was read, unless it was
        removed before that.
        """
        asked = parse_query(ResultsQuery, cast(Any, request).args)
        kind = asked.format or accepted_format(request.getHeader(b"accept"))
        last = None if "\0" in campaign_id else await self._results.last_arrival(campaign_id)
        if last is None:
            raise no_campaign(campaign_id)
        name = re.sub(r"[^A-Za-z0-9._-]", "_", campaign_id).lstrip(".") or "campaign"
        headers = {"Content-Disposition": f'attachment; filename="{name}.{kind}"', "Vary": "Accept"}
        content_type = CSV + "; charset=utf-8; header=present" if kind is Format.CSV else _TYPES[kind]
        return Streamed(content_type, self._pieces(campaign_id, last, asked.status, kind), headers)

    async def _pieces(
        self, campaign_id: str, last: int, status: Status | None, kind: Format
    ) -> AsyncGenerator[bytes, None]:
        write = WRITERS[kind]()
        after = -1
        yield write.head
        while True:
            page = await self._results.page(campaign_id, after=after, upto=last, status=status)
            if page.contacts:
                yield write.rows(page.contacts)
            if page.end is None or page.end >= last:
                break
            after = page.end
        yield write.foot


def accepted_format(accept: bytes | str | None) -> Format:
    """The format that an Accept header asks for; JSON for one that takes anything. Raises HttpError 406."""
    text = accept.decode("latin-1") if isinstance(accept, bytes) else accept or "*/*"
    ranked: list[tuple[float, Format]] = []
    for part in text.lower().split(","):
        kind, *parameters = (each.strip() for each in part.split(";"))
        quality = next((each.removeprefix("q=") for each in parameters if each.startswith("q=")), "1")
        weight = float(quality) if re.fullmatch(r"[01](\.[0-9]{0,3})?", quality) else 0.0
        for found, pattern in _ACCEPTED:
            if weight and re.fullmatch(pattern, kind):
                ranked.append((weight, found))
                break
    if not ranked:
        message = "the results are text/csv, application/json or application/x-ndjson"
        raise HttpError(406, "not_acceptable", message, field="Accept")
    # Of those that are as welcome the first.
    return max(ranked, key=lambda each: each[0])[1]


_ACCEPTED = (
    (Format.JSON, r"application/(json|\*)|\*/\*"),
    (Format.NDJSON, r"application/(x-ndjson|jsonl|x-jsonlines)"),
    (Format.CSV, r"text/(csv|\*)"),
)


class _Csv:
    """A header and a row for each contact; nothing in them is a formula."""

    def __init__(self) -> None:
        self.head = _lines([SHOWN])
        self.foot = b""

    def rows(self, contacts: Sequence[Contact]) -> bytes:
        return _lines([_cell(value) for value in render_contact(contact).values()] for contact in contacts)


class _JsonLines:
    """An object in each line."""

    head = foot = b""

    def rows(self, contacts: Sequence[Contact]) -> bytes:
        return b"".join(orjson.dumps(render_contact(contact)) + b"\n" for contact in contacts)


class _Json:
    """One list."""

    head, foot = b"[", b"]\n"

    def __init__(self) -> None:
        self._before = b"\n"

    def rows(self, contacts: Sequence[Contact]) -> bytes:
        text = b",\n".join(orjson.dumps(render_contact(contact)) for contact in contacts)
        before, self._before = self._before, b",\n"
        return before + text


WRITERS: dict[Format, Callable[[], _Csv | _Json | _JsonLines]] = {
    Format.CSV: _Csv,
    Format.JSON: _Json,
    Format.NDJSON: _JsonLines,
}


def _cell(value: object) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return defused(str(text))


def _lines(rows: Iterable[Sequence[str]]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer).writerows(rows)
    return buffer.getvalue().encode()
