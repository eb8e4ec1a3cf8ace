"""The variables that say where EFSwitch is, and what the commands to it are."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel

from dialer import rules
from dialer.addresses import hosts_and_ports
from dialer.variable import HOST, PORT, WAIT, Host, Line, Port, Switches, Text, Wait, by_rule, in_file, one_of, variable


class EFSwitchSettings(BaseModel):
    """EFSwitch."""

    esl_port: Port = variable("8021", "port of every switch that `ESL_IP` names without one", PORT)
    esl_ip: Switches | None = variable(
        None,
        "EFSwitch, or several: `host[:port],host[:port]`; an IPv6 address in brackets",
        "host[:port], or several of them with commas between, each once, an IPv6 address in brackets",
        shown="required unless provided",
    )
    esl_password: Line = variable(
        "ClueCon", "password of the event socket", "UTF-8 without NUL and line breaks", secret=True, spaces=True
    )
    esl_password_file: Text | None = in_file("that password")
    esl_connect_delay: Wait = variable(
        "60",
        "longest wait between two attempts to connect to EFSwitch; the first waits are short and grow with jitter",
        WAIT,
        shown="`60` s",
    )
    efswitch_ip: Host | None = variable(None, "EFSWITCH-IP in the originate string", HOST, shown="host of `ESL_IP`")
    originate_command: Annotated[
        Literal["auto", "JSoriginate", "originate"], one_of("auto", "JSoriginate", "originate")
    ] = variable(
        "auto",
        "`auto`: `JSoriginate` where the switch has it, else `originate`; or either name",
        "auto, JSoriginate or originate",
    )
    default_ivr: Annotated[str, by_rule(rules.EXTENSION)] = variable(
        "*9664", "IVR of a contact that names none", rules.EXTENSION.allowed
    )

    @property
    def switches(self) -> tuple[tuple[str, int], ...]:
        """Host and port of each EFSwitch, in the order of ESL_IP; none when the simulator stands in."""
        return hosts_and_ports(self.esl_ip, self.esl_port) if self.esl_ip else ()

    def efswitch_ip_for(self, host: str) -> str:
        """Return EFSWITCH-IP for the switch at `host`, as `switches` has it."""
        return self.efswitch_ip or host
