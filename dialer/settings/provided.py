"""What is provided when nothing is configured, or when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from dialer.variable import Simulators, variable


def nothing_configured(fields: Mapping[str, Any]) -> bool:
    """Whether none of the fields that name something real is set."""
    return not any(fields[name] for name in ("db_url", "esl_ip", "voice_connector"))


class ProvidedSettings(BaseModel):
    """The simulators."""

    sandbox: Simulators = variable(
        "", "`efswitch`, `vc` or both: provide these on purpose", "efswitch, vc or both", shown="empty"
    )
