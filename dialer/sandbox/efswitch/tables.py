"""`show channels` and `show calls`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .switch import EFSwitch

_CALL_COLUMNS: Final = [
    "uuid",
    "direction",
    "created",
    "created_epoch",
    "name",
    "state",
    "cid_name",
    "cid_num",
    "ip_addr",
    "dest",
    "presence_id",
    "presence_data",
    "accountcode",
    "callstate",
    "callee_name",
    "callee_num",
    "callee_direction",
    "call_uuid",
    "hostname",
    "sent_callee_name",
    "sent_callee_num",
]
_OTHER_COLUMNS: Final = [
    "uuid",
    "direction",
    "created",
    "created_epoch",
    "name",
    "state",
    "cid_name",
    "cid_num",
    "ip_addr",
    "dest",
    "presence_id",
    "presence_data",
    "accountcode",
    "callstate",
    "callee_name",
    "callee_num",
    "callee_direction",
    "sent_callee_name",
    "sent_callee_num",
]


def channels_table(switch: EFSwitch, form: str) -> str:
    """`show channels`, with `form` `as json`, `count` or empty."""
    if form == "count":
        return f"\n{len(switch.channels)} total.\n"
    return _table(_channel_rows(switch), form)


def _channel_rows(switch: EFSwitch) -> list[dict[str, str]]:
    name = switch.bus.envelopes.identity.switchname
    return [channel.row() | {"hostname": name} for channel in switch.channels.values()]


def calls_table(switch: EFSwitch, form: str) -> str:
    """`show calls`: one row a call, its second leg in columns that begin with `b_`."""
    rows = {row["uuid"]: row for row in _channel_rows(switch)}
    calls = []
    for uuid, row in rows.items():
        channel = switch.channels[uuid]
        if channel.agent and channel.slots["other_uuid"] in rows and channel.has("bridged_agent"):
            continue
        other = rows.get(channel.slots.get("other_uuid", "")) if channel.has("bridged") else None
        call = {column: row[column] for column in _CALL_COLUMNS}
        call |= {f"b_{column}": other[column] if other else "" for column in _OTHER_COLUMNS}
        bridged = channel.times["bridged"] // 1_000_000
        call["call_created_epoch"] = str(bridged) if other and bridged else ""
        calls.append(call)
    return f"\n{len(calls)} total.\n" if form == "count" else _table(calls, form)


def _table(rows: list[dict[str, str]], form: str) -> str:
    if form == "as json":
        if not rows:
            return '{"row_count": 0}\n'
        return json.dumps({"row_count": len(rows), "rows": rows}, ensure_ascii=False, separators=(",", ":"))
    if not rows:
        return "\n0 total.\n"
    lines = [",".join(rows[0]), *(",".join(row.values()) for row in rows)]
    return "\n".join(lines) + f"\n\n{len(rows)} total.\n"
