"""What a voice connector accepts: the exact bodies, and the headers that go with them.

Each `check_*` returns what is wrong in one sentence that names the field, or None.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

REQUEST_AGENT = "/request-agent"
DELIVERY_NOTIFICATION = "/send-delivery-notification"
END_CHAT = "/end-chat"

_NUMBER = re.compile(r"(?=.{1,20}\Z)\+?[0-9*#]+")
_CONTACT_ID = re.compile(r"[A-Za-z0-9-]{1,40}")
# Words of any alphabet but already in the wire's form: no small letters, `_` where there was a space.
_CALL_RESULT = re.compile(r"[^a-z\s]{1,40}")
_KEY = re.compile(r"[\x21-\x7e]{1,200}")

_Field = Callable[[object], bool]


def _matches(pattern: re.Pattern[str]) -> _Field:
    return lambda value: isinstance(value, str) and pattern.fullmatch(value) is not None


def _text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _priority(value: object) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 10)


_AGENT_REQUEST: dict[str, _Field] = {
    "callingNumber": _matches(_NUMBER),
    "callUid": _matches(_CONTACT_ID),
    "eslHost": _text,
    "serviceIdentifier": _text,
    "direction": lambda value: value == "OUTBOUND",
    "callSipId": lambda value: value == "",
    "priority": _priority,
    "queue": _text,
    "queueType": lambda value: value in ("NAME", "ID"),
}
_NOTIFICATION: dict[str, _Field] = {
    "id": _matches(_CONTACT_ID),
    "serviceId": _text,
    "customerNum": _matches(_NUMBER),
    "callResult": _matches(_CALL_RESULT),
}
_END_CHAT: dict[str, _Field] = {"customerId": _matches(_NUMBER), "serviceId": _text}


def _check_fields(fields: Mapping[str, _Field], body: object) -> str | None:
    if not isinstance(body, dict):
        return "the body is not a JSON object"
    for name in fields:
        if name not in body:
            return f"{name} is missing"
    for name in body:
        if name not in fields:
            return f"{name} does not belong here"
    for name, right in fields.items():
        if not right(body[name]):
            return f"{name} is wrong: {body[name]!r}"[:200]
    return None


def _check_key(headers: Mapping[str, str]) -> str | None:
    key = headers.get("idempotency-key")
    if key is None:
        return "the header Idempotency-Key is missing"
    return None if _KEY.fullmatch(key) else f"the header Idempotency-Key is wrong: {key!r}"[:200]


def _check_agent_request(body: Any, headers: Mapping[str, str]) -> str | None:
    wrong = _check_fields(_AGENT_REQUEST, body)
    tenant = headers.get("tenantid")
    if wrong is None and tenant is not None and body["eslHost"] != tenant:
        return f"eslHost is not the tenant {tenant!r}: {body['eslHost']!r}"[:200]
    return wrong


def _check_notification(body: Any, headers: Mapping[str, str]) -> str | None:
    return _check_fields(_NOTIFICATION, body) or _check_key(headers)


def _check_end_chat(body: Any, headers: Mapping[str, str]) -> str | None:
    return _check_fields(_END_CHAT, body) or _check_key(headers)


CHECKS: dict[str, Callable[[Any, Mapping[str, str]], str | None]] = {
    REQUEST_AGENT: _check_agent_request,
    DELIVERY_NOTIFICATION: _check_notification,
    END_CHAT: _check_end_chat,
}
"""By path: what is wrong with a parsed body and its headers (names in lower case)."""


def check_headers(headers: Mapping[str, str]) -> str | None:
    """What is wrong with the headers that every body needs."""
    content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/json":
        return f"the header Content-Type is not application/json: {content_type!r}"[:200]
    if "tenantid" in headers and not headers["tenantid"]:
        return "the header tenantid is empty"
    return None
