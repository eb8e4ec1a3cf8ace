"""The gateways of the switch and the tables that tell of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Literal
from xml.sax.saxutils import escape

from attrs import define, field

GatewayState = Literal["UP", "UP (ping)", "DOWN"]
STATES: Final[tuple[GatewayState, ...]] = ("UP", "UP (ping)", "DOWN")
_RULE: Final = "=" * 97
_XML: Final = '<?xml version="1.0" encoding="ISO-8859-1"?>\n'
MAX_MADE_UP: Final = 1000
"""Gateways that are remembered when any name is valid: names come from the network, so there must be an end."""


@define(kw_only=True)
class Gateway:
    """One gateway. `ping` is the seconds between two OPTIONS requests, 0 for a gateway that is never asked and
    therefore always up. `pinged` and `up_since` are Unix times."""

    name: str
    host: str = "127.0.0.1"
    port: int = 5060
    context: str = "public"
    state: GatewayState = "UP"
    ping: int = 0
    ping_time: str = "0.00"
    pinged: int = 0
    up_since: float = 0.0
    calls: int = 0
    failed: int = 0
    limits: tuple[int, int] = field(default=(1, 1))

    @property
    def is_up(self) -> bool:
        """Whether calls may go out through it."""
        return self.state != "DOWN"

    def table(self, now: float, ip: str) -> str:
        """The answer to `sofia status gateway NAME`."""
        rows = self._rows(now, ip)
        lines = [f"{title:<8}\t{value}" if len(title) <= 8 else f"{title}\t{value}" for title, value in rows.items()]
        return "\n".join([_RULE, *lines, _RULE]) + "\n"

    def _rows(self, now: float, ip: str) -> dict[str, str]:
        low, high = self.limits
        return {
            "Name": self.name,
            "Profile": "external",
            "Scheme": "Digest",
            "Realm": self.host,
            "Username": "none",
            "Password": "yes",
            "From": f"<sip:none@{self.host}:{self.port}>",
            "Contact": f"<sip:gw+{self.name}@{ip}:5080;transport=udp;gw={self.name}>",
            "Exten": "none",
            "To": f"sip:none@{self.host}:{self.port}",
            "Proxy": f"sip:{self.host}:{self.port}",
            "Context": self.context,
            "Expires": "3600",
            "Freq": "3600",
            "Ping": str(self.pinged if self.ping else 0),
            "PingFreq": str(self.ping),
            "PingTime": self.ping_time,
            "PingState": f"{low}/{int(self.is_up)}/{high}" if self.ping else "0/0/0",
            "State": "NOREG",
            "Status": self.state,
            "Uptime": f"{self._uptime(now):.0f}s",
            "CallsIN": "0",
            "CallsOUT": str(self.calls),
            "FailedCallsIN": "0",
            "FailedCallsOUT": str(self.failed),
        }

    def _uptime(self, now: float) -> float:
        return max(0.0, now - self.up_since) // 1 if self.is_up else 0.0

    def xml(self, now: float, ip: str) -> str:
        """The element that `sofia xmlstatus gateway` has for it."""
        rows = self._rows(now, ip)
        low, high = self.limits if self.ping else (0, 0)
        names = [
            "Name",
            "Profile",
            "Scheme",
            "Realm",
            "Username",
            "Password",
            "From",
            "Contact",
            "Exten",
            "To",
            "Proxy",
            "Context",
            "Expires",
            "Freq",
        ]
        values = {name.lower(): rows[name] for name in names} | {
            "ping": rows["Ping"],
            "pingfreq": rows["PingFreq"],
            "pingmin": str(low),
            "pingcount": str(int(bool(self.ping) and self.is_up)),
            "pingmax": str(high),
            "pingtime": rows["PingTime"],
            "pinging": str(int(self.state == "UP (ping)")),
            "state": "NOREG",
            "status": "UP" if self.is_up else "DOWN",
            "uptime-usec": str(int(max(0.0, now - self.up_since) * 1_000_000) if self.is_up else 0),
            "calls-in": "0",
            "calls-out": rows["CallsOUT"],
            "failed-calls-in": "0",
            "failed-calls-out": rows["FailedCallsOUT"],
        }
        lines = [f"    <{name}>{escape(value)}</{name}>" for name, value in values.items()]
        return "\n".join(["  <gateway>", *lines, "  </gateway>"]) + "\n"


class Gateways:
    """The gateways by name.

    `"any"` makes up a gateway that is up for each name asked for (at most MAX_MADE_UP); otherwise only those given
    exist: as Gateway objects, or as a mapping from name to state.
    """

    def __init__(
        self, known: Literal["any"] | Iterable[Gateway] | Mapping[str, str], *, started: float, ip: str = "127.0.0.1"
    ) -> None:
        self._any = known == "any"
        self._started = started
        self.ip = ip
        self._by_name: dict[str, Gateway] = {}
        if isinstance(known, str):
            return
        gateways = known.items() if isinstance(known, Mapping) else ((each.name, each) for each in known)
        for name, each in gateways:
            if isinstance(each, Gateway):
                each.up_since = each.up_since or started
                self._by_name[name] = each
            else:
                self.put(name, each)

    def put(self, name: str, state: str) -> Gateway:
        """Add a gateway or change the state of one. Raises ValueError for a state that is none."""
        if state.upper() not in {each.upper() for each in STATES}:
            raise ValueError(f"state must be one of {', '.join(STATES)}: {state!r}")
        gateway = self._by_name.get(name)
        if gateway is None:
            gateway = self._by_name[name] = self._new(name)
        gateway.state = next(each for each in STATES if each.upper() == state.upper())
        return gateway

    def _new(self, name: str) -> Gateway:
        return Gateway(name=name, port=5060 + len(self._by_name) % 1000, up_since=self._started)

    def remove(self, name: str) -> None:
        """Forget a gateway; from now on its name is unknown unless any name is valid."""
        self._by_name.pop(name, None)

    def get(self, name: str) -> Gateway | None:
        """The gateway of that name, also as `external::NAME`; None when there is none."""
        name = name.removeprefix("external::")
        gateway = self._by_name.get(name)
        if gateway is None and self._any and name:
            gateway = self._new(name)
            if len(self._by_name) < MAX_MADE_UP:
                self._by_name[name] = gateway
        return gateway

    def status(self, profile_url: str) -> str:
        """The answer to `sofia status`."""
        rows = [
            f"{'Name':>25}\t{'Type':>7}\t{'Data':>42}\tState",
            _RULE,
            f"{'external':>25}\t{'profile':>7}\t{profile_url:>42}\tRUNNING (0)",
        ]
        for each in self._by_name.values():
            data = f"sip:none@{each.host}:{each.port}"
            rows.append(f"{'external::' + each.name:>25}\t{'gateway':>7}\t{data:>42}\tNOREG")
        return "\n".join([*rows, _RULE, "1 profile 0 aliases"]) + "\n"

    def listing(self) -> str:
        """The answer to `sofia status gateway` without a name."""
        rows = [
            f"{'Profile::Gateway-Name':>25}\t{'Data    ':>32}\tState\tPing Time\tIB Calls(F/T)\tOB Calls(F/T)",
            _RULE,
        ]
        for each in self._by_name.values():
            data = f"sip:none@{each.host}:{each.port}"
            calls = f"{each.failed}/{each.calls}"
            rows.append(f"{'external::' + each.name:>25}\t{data:>32}\tNOREG\t{each.ping_time:>6}\t0/0\t{calls}")
        failed = sum(each.failed for each in self._by_name.values())
        total = sum(each.calls for each in self._by_name.values())
        end = f"{len(self._by_name)} gateways: Inbound(Failed/Total): 0/0,Outbound(Failed/Total):{failed}/{total}"
        return "\n".join([*rows, _RULE, end]) + "\n"

    def names(self, *, up: bool) -> str:
        """The answer to `sofia profile external gwlist up|down`."""
        return "".join(f"{each.name} " for each in self._by_name.values() if each.is_up == up)

    def show(self, name: str, now: float) -> str:
        """The answer to `sofia status gateway NAME`."""
        gateway = self.get(name)
        return "Invalid Gateway!\n" if gateway is None else gateway.table(now, self.ip)

    def show_xml(self, name: str, now: float) -> str:
        """The answer to `sofia xmlstatus gateway [NAME]`."""
        if not name:
            each = "".join(each.xml(now, self.ip) for each in self._by_name.values())
            return f"{_XML}<gateways>\n{each}</gateways>\n"
        gateway = self.get(name)
        return "Invalid Gateway!\n" if gateway is None else _XML + gateway.xml(now, self.ip)

    def show_all_xml(self, profile_url: str) -> str:
        """The answer to `sofia xmlstatus`."""
        text = (
            f"{_XML}<profiles>\n<profile>\n<name>external</name>\n<type>profile</type>\n<data>{profile_url}</data>\n"
            "<state>RUNNING (0)</state>\n</profile>\n"
        )
        for each in self._by_name.values():
            text += (
                f"<gateway>\n<name>{escape(each.name)}</name>\n<type>gateway</type>\n"
                f"<data>sip:none@{each.host}:{each.port}</data>\n<state>NOREG</state>\n</gateway>\n\n"
            )
        return text + "</profiles>\n"
