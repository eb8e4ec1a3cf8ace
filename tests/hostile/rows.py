"""Whether what is stored keeps to the rules of the contact table, whoever stored it and however."""

from __future__ import annotations

import json
from contextlib import closing
from typing import Any

import psycopg2
from psycopg2.extras import RealDictCursor

from dialer import rules
from dialer.contact import CampaignType, DialingMode, RoutingMode, Status
from dialer.web import metadata

REQUIRED = {
    "id": rules.ID,
    "customer_number": rules.CUSTOMER_NUMBER,
    "gateway_id": rules.GATEWAY_ID,
    "campaign_id": rules.NAME,
}
OPTIONAL = {
    "campaign_contact_id": rules.PRINTABLE,
    "ivr": rules.EXTENSION,
    "resource_id": rules.RESOURCE_ID,
    "queue_name": rules.QUEUE,
    "tenant_id": rules.NAME,
    "agent": rules.EXTENSION,
}
LONGEST = {"call_result": 40, "detail": 300, "last_error": 300}
"""Characters of what the dialer writes in words."""


def stored(conninfo: str, table: str) -> list[dict[str, Any]]:
    """All rows of a table."""
    with closing(psycopg2.connect(conninfo)) as connection, connection.cursor(cursor_factory=RealDictCursor) as cursor:
        cursor.execute(f"SELECT * FROM {table}")
        return [dict(row) for row in cursor.fetchall()]


def forbidden(conninfo: str) -> list[str]:
    """What is stored against the rules, in words; empty when nothing is."""
    found = [f"contact {row['id']}: {wrong}" for row in stored(conninfo, "contacts") for wrong in wrong_with(row)]
    for table in ("contact_events", "outbox"):
        for row in stored(conninfo, table):
            found += [f"{table} {row['contact_id']}: {name}" for name in LONGEST if not _plain(row.get(name), name)]
    return found


def wrong_with(row: dict[str, Any]) -> list[str]:
    """The columns of a contact that its rules forbid."""
    wrong = [name for name, rule in REQUIRED.items() if row[name] is None or not rule.accepts(row[name])]
    # An agent of '' says that there was none.
    wrong += [name for name, rule in OPTIONAL.items() if row[name] and not rule.accepts(row[name])]
    wrong += [name for name in OPTIONAL if row[name] == "" and name != "agent"]
    if row["campaign_type"] not in tuple(CampaignType):
        wrong.append("campaign_type")
    if row["status"] not in tuple(Status):
        wrong.append("status")
    if row["priority"] is not None and not 1 <= row["priority"] <= 10:
        wrong.append("priority")
    if row["start_time"] and row["end_time"] and row["start_time"] > row["end_time"]:
        wrong.append("end_time")
    if row["scheduling_metadata"] is not None and not _is_metadata(row["scheduling_metadata"]):
        wrong.append("scheduling_metadata")
    if row["campaign_type"] == CampaignType.AGENT:
        wrong += _wrong_with_agent(row)
    if not _plain(row["call_result"], "call_result"):
        wrong.append("call_result")
    return wrong


def _wrong_with_agent(row: dict[str, Any]) -> list[str]:
    wrong = []
    if row["dialing_mode"] not in tuple(DialingMode):
        wrong.append("dialing_mode")
    if row["routing_mode"] not in tuple(RoutingMode):
        wrong.append("routing_mode")
    if not row["resource_id"] and (row["routing_mode"] == RoutingMode.AGENT or not row["queue_name"]):
        wrong.append("resource_id")
    return wrong


def _is_metadata(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict) and len(text) <= metadata.MAX_TEXT
    except ValueError:
        return False


def _plain(text: str | None, column: str) -> bool:
    """Whether a text can be shown on one line wherever it goes."""
    return text is None or (text.isprintable() and len(text) <= LONGEST[column])
