"""`api simulator {...}`: the simulator's own command, to control one that runs in another process.

The argument is one JSON object; the answer is one too, `{"ok": true, ...}` or `{"error": text}`. What it may have:

| member | does |
|---|---|
| `{"gateway": "gw1", "state": "UP" \\| "UP (ping)" \\| "DOWN" \\| "none"}` | adds, changes or removes a gateway |
| `{"rules": [...]}` | replaces the rules; objects as `Rule.from_json` takes them |
| `{"js_originate": true}` | adds or removes the command `JSoriginate` |
| `{"sps": 30}` `{"max_sessions": 1000}` | the limits, as `fsctl` sets them |
| `{"records": "calls", "since": 0, "limit": 1000}` | what happened: `{"count", "calls": [...]}`, see `Attempt` |
| `{"records": "clear"}` | forgets it |
| `{"calls": true}` | the live channels: `{"calls": [{"uuid", "number", "gateway", "answered", "bridged"}]}` |
| `{"kill": uuid, "cause": "NORMAL_CLEARING"}` | ends a call |
| `{"faults": true}` | the faults that are on |
| `{"fault": name, ...}` | one of those below |

| fault | with | does |
|---|---|---|
| `drop` | | cuts all other connections, no notice |
| `deny` `stop_reading` `stall` | `"on": true`, `"for": seconds` | see `Faults` |
| `delay` | `"seconds"`, `"for"` | each command waits so long |
| `lose` `repeat` | `"event"`, `"fraction"` (1), `"for"` | leaves out or repeats events of that name |
| `cut_before` | `"count"` (1) | cuts the connection of the next originates right before they are executed |
| `cut_after` | `"count"` (1) | cuts it right after they are executed, before the reply |
| `restart` | `"keep_calls"` (false), `"downtime"` (0) | bare EOF for all, this connection too, then listens again |
| `reload` | | `reload mod_event_socket` |
| `shutdown` | `"now"` (false) | `fsctl shutdown` |
| `clear` | | turns all faults off |

With `"for"` a fault ends by itself after so many seconds. A connection that has used this command is spared by all
faults but `restart`, `reload` and `shutdown`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .rules import Rules

if TYPE_CHECKING:
    from .connection import Connection
    from .switch import EFSwitch

Answer = dict[str, Any]


class Control:
    """Executes `simulator`."""

    def __init__(self, switch: EFSwitch) -> None:
        self._switch = switch
        self._orders: dict[str, Callable[[Mapping[str, Any]], Answer]] = {
            "fault": self._fault,
            "gateway": self._gateway,
            "rules": self._rules,
            "js_originate": self._js_originate,
            "sps": self._limits,
            "max_sessions": self._limits,
            "records": self._records,
            "calls": self._calls,
            "kill": self._kill,
            "faults": lambda _: self._switch.faults.to_json(),
        }

    def execute(self, argument: str, connection: Connection) -> str:
        """The answer to `simulator ARGUMENT`, as JSON text."""
        connection.is_control = True
        connection.fault_changed()
        try:
            order = json.loads(argument)
            if not isinstance(order, dict):
                raise ValueError("not a JSON object")
            name = next((each for each in self._orders if each in order), None)
            if name is None:
                raise ValueError(f"none of {', '.join(self._orders)} in it")
            answer = {"ok": True, **self._orders[name](order)}
        except (ValueError, TypeError, KeyError) as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        return json.dumps(answer) + "\n"

    def _gateway(self, order: Mapping[str, Any]) -> Answer:
        if str(order["state"]) == "none":
            self._switch.calls.gateways.remove(str(order["gateway"]))
        else:
            self._switch.set_gateway(str(order["gateway"]), str(order["state"]))
        return {}

    def _rules(self, order: Mapping[str, Any]) -> Answer:
        self._switch.rules = Rules.from_json(order["rules"], seed=order.get("seed"))
        return {}

    def _js_originate(self, order: Mapping[str, Any]) -> Answer:
        self._switch.js_originate = bool(order["js_originate"])
        return {}

    def _limits(self, order: Mapping[str, Any]) -> Answer:
        limits = self._switch.limits
        limits.per_second = int(order.get("sps", limits.per_second))
        limits.sessions = int(order.get("max_sessions", limits.sessions))
        return {}

    def _records(self, order: Mapping[str, Any]) -> Answer:
        records = self._switch.records
        if order["records"] == "clear":
            records.clear()
            return {"count": records.count}
        found = records.since(int(order.get("since", 0)), order.get("limit"))
        return {"count": records.count, "calls": [attempt.to_json() for attempt in found]}

    def _calls(self, _: Mapping[str, Any]) -> Answer:
        calls = [
            {
                "uuid": channel.uuid,
                "number": channel.slots["number"],
                "gateway": channel.slots["gateway"],
                "agent": channel.agent,
                "answered": bool(channel.times["answered"]),
                "bridged": bool(channel.times["bridged"]),
            }
            for channel in self._switch.channels.values()
        ]
        return {"calls": calls}

    def _kill(self, order: Mapping[str, Any]) -> Answer:
        uuid = str(order["kill"])
        known = self._switch.calls.is_alive(uuid)
        self._switch.timepiece.later(0, self._switch.calls.kill, uuid, str(order.get("cause", "NORMAL_CLEARING")))
        return {"known": known}

    def _fault(self, order: Mapping[str, Any]) -> Answer:
        switch, name = self._switch, order["fault"]
        later = switch.timepiece.later
        if name == "drop":
            later(0, lambda: switch.drop(control_too=False))
        elif name == "restart":
            keep, downtime = bool(order.get("keep_calls", False)), float(order.get("downtime", 0))
            later(0, lambda: switch.restart(keep_calls=keep, downtime=downtime))
        elif name == "reload":
            later(0, switch.reload_event_socket)
        elif name == "shutdown":
            now = bool(order.get("now", False))
            later(0, lambda: switch.shut_down(now=now))
        elif name == "clear":
            switch.clear_faults()
        else:
            self._set_fault(name, order)
            switch.faults_changed()
            if "for" in order:
                later(float(order["for"]), self._end_fault, name, order)
        return {}

    def _set_fault(self, name: str, order: Mapping[str, Any]) -> None:
        faults = self._switch.faults
        if name in ("deny", "stop_reading", "stall"):
            setattr(faults, name, bool(order.get("on", True)))
        elif name == "delay":
            faults.delay = float(order["seconds"])
        elif name in ("lose", "repeat"):
            getattr(faults, name)[str(order["event"]).upper()] = float(order.get("fraction", 1))
        elif name in ("cut_before", "cut_after"):
            setattr(faults, name, int(order.get("count", 1)))
        else:
            raise ValueError(f"no fault {name!r}")

    def _end_fault(self, name: str, order: Mapping[str, Any]) -> None:
        faults = self._switch.faults
        if name in ("lose", "repeat"):
            getattr(faults, name).pop(str(order["event"]).upper(), None)
        elif name == "delay":
            faults.delay = 0.0
        elif name in ("cut_before", "cut_after"):
            setattr(faults, name, 0)
        else:
            setattr(faults, name, False)
        self._switch.faults_changed()
