"""The control routes under `/sandbox`; the package's docstring lists them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import orjson

from dialer.sandbox.vc.behaviour import MAX_DELAY, Rule
from dialer.sandbox.vc.ledger import Record

if TYPE_CHECKING:
    from dialer.sandbox.vc.connector import VoiceConnector

PREFIX = "/sandbox"

_Shown = dict[str, Any]


def control(
    connector: VoiceConnector, method: str, path: str, query: Mapping[str, str], raw: bytes | None
) -> tuple[int, _Shown]:
    """Do what a control request asks; returns the HTTP status and what to show."""
    route = _ROUTES.get((method, path.removeprefix(PREFIX)))
    if route is None:
        return 404, {"error": f"there is no {method} {path}"[:200]}
    try:
        return 200, route(connector, query, raw)
    except ValueError as error:
        return 400, {"error": str(error)}


def _object(raw: bytes | None) -> dict[str, Any]:
    try:
        body = orjson.loads(raw or b"")
    except orjson.JSONDecodeError as error:
        raise ValueError(f"the body is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise ValueError("the body is not a JSON object")
    return body


def _show_summary(connector: VoiceConnector, _: Mapping[str, str], __: bytes | None) -> _Shown:
    return connector.summary()


def _forget(connector: VoiceConnector, _: Mapping[str, str], __: bytes | None) -> _Shown:
    connector.ledger.clear()
    return {}


def _reset(connector: VoiceConnector, _: Mapping[str, str], __: bytes | None) -> _Shown:
    connector.reset()
    return {}


def _show_behaviour(connector: VoiceConnector, _: Mapping[str, str], __: bytes | None) -> _Shown:
    return {**connector.behaviours.as_json()}


def _behave(connector: VoiceConnector, query: Mapping[str, str], raw: bytes | None) -> _Shown:
    connector.behaviours.add(
        *(
            Rule.from_json(channel, fields)
            for channel, given in _object(raw).items()
            for fields in (given if isinstance(given, list) else [given])
        )
    )
    return _show_behaviour(connector, query, raw)


def _show_settings(connector: VoiceConnector, _: Mapping[str, str], __: bytes | None) -> _Shown:
    return {
        "replyDelay": connector.reply_delay,
        "dialerUrl": connector.dialer_url,
        "agents": connector.pool.size,
    }


def _set(connector: VoiceConnector, query: Mapping[str, str], raw: bytes | None) -> _Shown:
    body = _object(raw)
    unknown = sorted(set(body) - {"replyDelay", "dialerUrl", "agents"})
    if unknown:
        raise ValueError(f"unknown field {unknown[0]}")
    delay = body.get("replyDelay", connector.reply_delay)
    if isinstance(delay, bool) or not isinstance(delay, int | float) or not 0 <= delay <= MAX_DELAY:
        raise ValueError(f"replyDelay must be seconds from 0 to {MAX_DELAY:g}: {delay!r}")
    url = body.get("dialerUrl", connector.dialer_url)
    if url is not None and not (isinstance(url, str) and url.startswith("http://") and url.isascii()):
        raise ValueError(f"dialerUrl must be a http:// URL or null: {url!r}")
    if "agents" in body:
        connector.pool.resize(body["agents"])
    connector.reply_delay, connector.dialer_url = float(delay), url
    return _show_settings(connector, query, raw)


def _integer(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise ValueError(f"{name} must be a whole number: {text!r}")
    return int(text)


def _records(connector: VoiceConnector, query: Mapping[str, str], _: bytes | None) -> _Shown:
    after, limit = _integer(query, "after", 0), _integer(query, "limit", connector.ledger.bound)

    def wanted(record: Record) -> bool:
        return (
            record.seq > after
            and query.get("direction", record.direction) == record.direction
            and query.get("path", record.path) == record.path
            and ("contact" not in query or record.contact_id == query["contact"])
        )

    return {
        "records": [record.as_json() for record in connector.records(wanted)[:limit]],
        "dropped": connector.ledger.dropped,
        "bound": connector.ledger.bound,
    }


_ROUTES: dict[tuple[str, str], Callable[[VoiceConnector, Mapping[str, str], bytes | None], _Shown]] = {
    ("GET", "/records"): _records,
    ("DELETE", "/records"): _forget,
    ("GET", "/summary"): _show_summary,
    ("GET", "/behaviour"): _show_behaviour,
    ("POST", "/behaviour"): _behave,
    ("GET", "/settings"): _show_settings,
    ("POST", "/settings"): _set,
    ("POST", "/reset"): _reset,
}
