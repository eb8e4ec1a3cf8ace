"""Recordings of a real FreeSWITCH, for the tests of both ends of the event socket."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
INDEX: dict[str, dict[str, Any]] = json.loads((HERE / "index.json").read_text(encoding="utf-8"))


@cache
def server_bytes(name: str) -> bytes:
    """What the switch sent in the recording `name`."""
    return (HERE / f"{name}.server.bin").read_bytes()


@cache
def client_bytes(name: str) -> bytes:
    """What the client sent in the recording `name`."""
    return (HERE / f"{name}.client.bin").read_bytes()
