"""The API commands of the switch, those that a dialer or an operator may use."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from .causes import CAUSES
from .control import Control
from .dialstring import USAGE
from .status import VERSION, status_text
from .tables import calls_table, channels_table
from .wire import NO_REPLY, to_bytes

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
            "status": lambda _: status_text(switch.calls, switch.timepiece.uptime()),
            "version": lambda _: f"FreeSWITCH Version {VERSION} ( 64bit)\n",
            "uptime": lambda _: f"{int(switch.timepiece.uptime())}\n",
            "show": self._show,
            "uuid_exists": lambda uuid: "true" if switch.calls.is_alive(uuid) else "false",
            "uuid_kill": self._uuid_kill,
            "uuid_getvar": self._uuid_getvar,
            "uuid_dump": self._uuid_dump,
            "create_uuid": lambda _: switch.calls.new_uuid(),
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
        switch.bus.announce(
            "API", {"API-Command": name, "API-Command-Argument": argument} if argument else {"API-Command": name}
        )
        if command == "originate" or (command == "jsoriginate" and switch.js_originate):
            if argument:
                switch.calls.originate(name, argument, connection.serial, done)
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

    def background(self, name: str, argument: str, connection: Connection, job: str) -> None:
        """Execute a command as a job: its answer becomes a BACKGROUND_JOB event for all who subscribed to it."""

        def done(body: str) -> None:
            text = body or NO_REPLY
            headers = {"Job-UUID": job, "Job-Command": name}
            if argument:
                headers["Job-Command-Arg"] = argument
            headers["Content-Length"] = str(len(to_bytes(text)))
            self._switch.bus.announce("BACKGROUND_JOB", headers, text)

        self.execute(name, argument, connection, done)

    def _show(self, argument: str) -> str:
        words = argument.lower().split()
        if not words:
            return "-USAGE: calls [count]|channels [count] [as json]\n"
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
        if not self._switch.calls.is_alive(words[0]):
            return NO_CHANNEL
        wanted = words[1].upper() if len(words) > 1 else "NORMAL_CLEARING"
        cause = _CAUSE_BY_NUMBER.get(wanted, wanted)
        self._switch.timepiece.later(0, self._switch.calls.kill, words[0], cause)
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
        envelopes = self._switch.bus.envelopes
        sequence = envelopes.next()
        if "json" in words[1:]:
            return envelopes.head("CHANNEL_DATA", "json", sequence) + channel.body("CHANNEL_DATA", "json") + "}"
        head = json.loads(envelopes.head("CHANNEL_DATA", "json", sequence) + "}")
        return "".join(f"{name}: {value}\n" for name, value in (head | channel.dump()).items()) + "\n"

    def _hupall(self, argument: str) -> str:
        cause = (argument.split() or ["MANAGER_REQUEST"])[0].upper()
        self._switch.timepiece.later(0, self._switch.calls.kill_all, cause)
        return f"+OK hangup all channels with cause {cause}\n"

    def _sofia(self, argument: str) -> str:
        gateways, now = self._switch.calls.gateways, self._switch.timepiece.time()
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
        identity = self._switch.bus.envelopes.identity
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
        self._switch.timepiece.later(0, self._switch.reload_event_socket)
        return f"+OK Job-UUID: {self._switch.calls.new_uuid()}\n"

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
                switch.calls.when_silent(switch.shut_down)
            case ["shutdown", "now", *_]:
                switch.shut_down(now=True)
            case ["shutdown", *_]:
                done("+OK\n")
                switch.timepiece.later(0, switch.shut_down)
            case ["hupall", *rest]:
                switch.timepiece.later(0, switch.calls.kill_all, rest[0].upper() if rest else "MANAGER_REQUEST")
                done("+OK\n")
            case _:
                done("-USAGE: [hupall|pause|resume|shutdown [now|elegant]|sps|max_sessions]\n")


def _positive(words: list[str], default: int) -> int:
    return int(words[0]) if words and words[0].isdecimal() and int(words[0]) else default
