"""EFSwitch: a FreeSWITCH as its event socket shows it, for tests, benchmarks and integrators.

Start one with `EFSwitch(reactor).listen(reactor)` or `python -m dialer.sandbox.efswitch`; what it answers and sends
was taken from recordings of a real switch. `control` describes how to steer one from another process.
"""

from .events import Identity
from .faults import Faults
from .gateways import Gateway
from .records import Attempt
from .rules import Outcome, Rule, Rules
from .switch import EFSwitch

__all__ = ["Attempt", "EFSwitch", "Faults", "Gateway", "Identity", "Outcome", "Rule", "Rules"]
