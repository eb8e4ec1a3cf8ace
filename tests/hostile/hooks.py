"""What Schemathesis checks besides what it has: loaded by it, in a process of its own."""

from __future__ import annotations

import json
import re
from typing import Any

import schemathesis
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi.checks import negative_data_rejection

UPLOADS = ("text/csv", "application/x-ndjson")

MAY_BE_SAID = {404, 409}
"""Of a request that is right: what it names is not there, or is otherwise."""

BESIDE_THE_SCHEMA = re.compile(
    r"must not be before startTime|is required when|are the same field|is also that of entry|ISO 8601|"
    r"schedulingMetadata|priority must be an integer|the list is empty|first line"
)
"""What a request may be refused for that keeps to the schema: days that are not in the calendar, rules between fields,
the size and the characters of what lies deep within, 3.0 for an integer. Exactly which of them is known to
tests/web/test_openapi_properties.py."""


@schemathesis.check
def right_is_accepted(context: Any, response: Any, case: Any) -> None:
    """What keeps to the schema is accepted, or the answer says which other rule it breaks."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    accepted = response.status_code < 300 or response.status_code in MAY_BE_SAID
    assert accepted or BESIDE_THE_SCHEMA.search(response.json()["error"]["message"]), "a right request was refused"


@schemathesis.check
def wrong_is_refused(context: Any, response: Any, case: Any) -> None:
    """What breaks the schema is refused. A list in JSON takes no parameters; of an upload each row is for itself."""
    if case.operation.path == "/contacts":
        query = case.meta and case.meta.components.get(ParameterLocation.QUERY)
        if case.media_type in UPLOADS or (query and query.mode.is_negative):
            return
    negative_data_rejection(context, response, case)


@schemathesis.serializer("application/x-ndjson")
def json_line(context: Any, value: Any) -> bytes:
    """One contact, or what was made of it, in a line."""
    return json.dumps(value).encode() + b"\n"


@schemathesis.check
def nothing_of_the_inside(context: Any, response: Any, case: Any) -> None:
    """No answer shows what only the log may."""
    if not response.request.url.endswith(("/openapi.json", "/docs")):
        for mark in (b"Traceback", b'File "', b"psycopg2", b"SELECT ", b"INSERT "):
            assert mark not in response.content, str(mark)
