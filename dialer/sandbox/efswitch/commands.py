"""The API commands of the switch, those that a dialer or an operator may use."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from .call import CAUSES
from .control import Control
from .dialstring import USAGE

from .tables import calls_table, channels_table

if TYPE_CHECKING:
    from .connection import Connection
    from .switch import EFSwitch

Done = Callable[[str], None]
Handler = Callable[[str], str]

NO_CHANNEL: Final = "-ERR No such channel!\n"
_PROFILE_URL: Final = "sip:mod_sofia@127.0.0.1:5080"
_CAUSE_BY_NUMBER: Final = {str(number): cause for cause, number in reversed(CAUSES.items())}
_MODULES: Final = frozenset({"mod_sofia", "mod_event_socket", "mod_commands", "mod_dptools", "mod_dialplan_xml"})


class Commands:
    """Executes what comes after `api` and `bgapi`."""

    def __init__(self, switch: EFSwitch) -> None:
        self._switch = switch
        self._control = Control(switch)
        self._handlers: dict[str, Handler] = {
            "status": self._status,
            "version": lambda _: "FreeSWITCH Version 1.11.3-dev~64bit ( 64bit)\n",
            "uptime": lambda _: f"{int(switch.uptime())}\n",
            "show": self._show,
            "uuid_exists": lambda uuid: "true" if switch.is_alive(uuid) else "false",
            "uuid_kill": self._uuid_kill,
            "uuid_getvar": self._uuid_getvar,
            "uuid_dump": self._uuid_dump,
            "create_uuid": lambda _: switch.new_uuid(),
            "hupall": self._hupall,
            "sofia": self._sofia,
            "sofia_contact": lambda _: "error/user_not_registered",
            "global_getvar": self._global_getvar,
            "module_exists": lambda name: "true" if name in _MODULES else "false",
            "reload": self._reload,
        }

    def execute(self, name: str, argument: str, connection: Connection, done: Done) -> None:
        """Execute a command; `done` hears the answer once, at once or later."""
        switch, command = self._switch, name.lower()
        switch.announce(
            "API", {"API-Command": name, "API-Command-Argument": argument} if argument else {"API-Command": name}
        )
        if command == "originate" or (command == "jsoriginate" and switch.js_originate):
            if argument:
                switch.originate(name, argument, connection, done)
            else:
                done(USAGE)
        elif command == "fsctl":
            self._fsctl(argument, done)
        elif command == "simulator":
            done(self._control.execute(argument, connection))
        elif command in self._handlers:
            done(self._handlers[command](argument))
        else:
            done(f"-ERR {name} Command not found!\n")

    def uptime_text(self) -> str:
        """The uptime as `status` and HEARTBEAT spell it."""
        micro = int(self._switch.uptime() * 1_000_000)
        seconds, micro = divmod(micro, 1_000_000)
        minutes, seconds = divmod(seconds, 60)
        hours, minutes = divmod(minutes, 60)
        days, hours = divmod(hours, 24)
        years, days = divmod(days, 365)
        units = {
            "year": years,
            "day": days,
            "hour": hours,
            "minute": minutes,
            "second": seconds,
            "millisecond": micro // 1000,
            "microsecond": micro % 1000,
        }
        return ", ".join(f"{number} {unit}{'' if number == 1 else 's'}" for unit, number in units.items())

    def _status(self, _: str) -> str:
        switch, limits = self._switch, self._switch.limits
        second = limits.last_second(switch.uptime())
        return (
            f"UP {self.uptime_text()}\n"
            f"FreeSWITCH (Version 1.11.3-dev  64bit) is {'paused' if limits.paused else 'ready'}\n"
            f"{limits.total} session(s) since startup\n"
            f"{len(switch.channels)} session(s) - peak {limits.peak}, last 5min {limits.peak} \n"
            f"{second} session(s) per Sec out of max {limits.per_second}, peak {limits.peak_per_second}, "
            f"last 5min {limits.peak_per_second} \n"
            f"{limits.sessions} session(s) max\n"
            "min idle cpu 0.00/95.00\n"
            "Current Stack Size/Max 240K/8192K\n"
        )

    def _show(self, argument: str) -> str:
        words = argument.lower().split()
        if not words:
            return "-USAGE: codec|endpoint|application|api|dialplan|file|timer|calls [count]|channels [count|like <match string>]\n"
        table, form = words[0], " ".join(words[1:])
        if table == "channels":
            return channels_table(self._switch, form)
        if table in ("calls", "bridged_calls", "detailed_calls"):
            return calls_table(self._switch, form)
        return "-ERR unknown table\n"

    def _uuid_kill(self, argument: str) -> str:
        words = argument.split()
        if not words:
            return "-USAGE: <uuid> [cause]\n"
        if not self._switch.is_alive(words[0]):
            return NO_CHANNEL
        wanted = words[1].upper() if len(words) > 1 else "NORMAL_CLEARING"
        cause = _CAUSE_BY_NUMBER.get(wanted, wanted)
        self._switch.clock.callLater(0, self._switch.kill, words[0], cause)
        return "+OK\n"

    def _uuid_getvar(self, argument: str) -> str:
        words = argument.split()
        if len(words) < 2:
            return "-USAGE: <uuid> <var>\n"
        channel = self._switch.channels.get(words[0])
        if channel is None:
            return NO_CHANNEL
        value = channel.variable(words[1])
        return "_undef_" if value is None else value

    def _uuid_dump(self, argument: str) -> str:
        words = argument.split()
        if not words:
            return "-USAGE: <uuid> [format]\n"
        channel = self._switch.channels.get(words[0])
        if channel is None:
            return NO_CHANNEL
        envelopes = self._switch.envelopes
        sequence = envelopes.next()
        if "json" in words[1:]:
            return envelopes.head("CHANNEL_DATA", "json", sequence) + channel.body("CHANNEL_DATA", "json") + "}"
        head = json.loads(envelopes.head("CHANNEL_DATA", "json", sequence) + "}")
        return "".join(f"{name}: {value}\n" for name, value in (head | channel.dump()).items()) + "\n"

    def _hupall(self, argument: str) -> str:
        cause = (argument.split() or ["MANAGER_REQUEST"])[0].upper()
        self._switch.clock.callLater(0, self._switch.kill_all, cause)
        return f"+OK hangup all channels with cause {cause}\n"

    def _sofia(self, argument: str) -> str:
        gateways, now = self._switch.gateways, self._switch.time()
        match argument.split():
            case ["status"]:
                return gateways.status(_PROFILE_URL)
            case ["status", "gateway", name, *_]:
                return gateways.show(name, now)
            case ["status", "profile", "external", *_]:
                return f"{'=' * 97}\nName             \texternal\nURL              \t{_PROFILE_URL}\n\n"
            case ["status", "profile", *_]:
                return "Invalid Profile!\n"
            case ["status", *_]:
                return gateways.listing()
            case ["xmlstatus"]:
                return gateways.show_all_xml(_PROFILE_URL)
            case ["xmlstatus", "gateway", *names]:
                return gateways.show_xml(names[0] if names else "", now)
            case ["profile", "external", "gwlist", *states]:
                return gateways.names(up=states != ["down"])
            case [unknown, *_]:
                return f"Unknown Command [{unknown}]\n"
        return "USAGE:\nsofia <status|xmlstatus> gateway <name>\n"

    def _global_getvar(self, name: str) -> str:
        identity = self._switch.envelopes.identity
        known = {
            "hostname": identity.hostname,
            "switchname": identity.switchname,
            "core_uuid": identity.core_uuid,
            "local_ip_v4": identity.ipv4,
        }
        return known.get(name, "") if name else "\n".join(f"{key}={value}" for key, value in known.items()) + "\n"

    def _reload(self, argument: str) -> str:
        if argument != "mod_event_socket":
            return "+OK Reloading XML\n+OK module reloaded\n" if argument in _MODULES else "-ERR [Module not found]\n"
        self._switch.clock.callLater(0, self._switch.reload_event_socket)
        return f"+OK Job-UUID: {self._switch.new_uuid()}\n"

    def _fsctl(self, argument: str, done: Done) -> None:
        switch, limits = self._switch, self._switch.limits
        match argument.lower().split():
            case ["sps", *rest]:
                limits.per_second = _positive(rest, limits.per_second)
                done(f"+OK sessions per second: {limits.per_second}\n")
            case ["max_sessions", *rest]:
                limits.sessions = _positive(rest, limits.sessions)
                done(f"+OK max sessions: {limits.sessions}\n")
            case ["pause", *_]:
                limits.paused = True
                done("+OK\n")
            case ["resume", *_]:
                limits.paused = False
                done("+OK\n")
            case ["pause_check", *_]:
                done("true" if limits.paused else "false")
            case ["shutdown", "elegant", *_]:
                switch.when_silent(switch.shut_down)
            case ["shutdown", "now", *_]:
                switch.shut_down(now=True)
            case ["shutdown", *_]:
                done("+OK\n")
                switch.clock.callLater(0, switch.shut_down)
            case ["hupall", *rest]:
                switch.clock.callLater(0, switch.kill_all, rest[0].upper() if rest else "MANAGER_REQUEST")
                done("+OK\n")
            case _:
                done("-USAGE: [hupall|pause|resume|shutdown [now|elegant]|sps|max_sessions]\n")


def _positive(words: list[str], default: int) -> int:
    return int(words[0]) if words and words[0].isdecimal() and int(words[0]) else default
