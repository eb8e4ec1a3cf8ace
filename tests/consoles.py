"""The controls of the simulator and of the VC sandbox, when they run as processes of their own. All calls block."""

from __future__ import annotations

import json
import socket
import urllib.request
from typing import Any

TIMEOUT = 10.0
"""Seconds for an answer."""


class SimulatorConsole:
    """A connection to the simulator's event socket, for its command `simulator`. Raises OSError when it is lost."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), TIMEOUT)
        self._file = self._socket.makefile("rb")
        self._read()
        self.ask("auth ClueCon")

    def close(self) -> None:
        """Hang up."""
        self._file.close()
        self._socket.close()

    def order(self, **what: Any) -> dict[str, Any]:
        """What `simulator {...}` answers. Raises ValueError for an order that it does not know."""
        text = self.ask(f"api simulator {json.dumps(what)}")
        if not text.startswith("{"):
            # Turned away as by an access list, or told that the event socket is reloaded, or nothing at all.
            raise ConnectionResetError(f"the simulator hung up: {text.strip()}")
        answer: dict[str, Any] = json.loads(text)
        if "error" in answer:
            raise ValueError(answer["error"])
        return answer

    def ask(self, command: str) -> str:
        """Send a command; the body of its answer."""
        self._socket.sendall(f"{command}\n\n".encode())
        return self._read()

    def _read(self) -> str:
        length = 0
        while line := self._file.readline().strip():
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        return self._file.read(length).decode()


class SandboxConsole:
    """The controls of the VC sandbox at `url`."""

    def __init__(self, url: str) -> None:
        self._url = url

    def get(self, path: str) -> Any:
        """What `GET /sandbox/...` shows."""
        return self._ask(urllib.request.Request(f"{self._url}/sandbox/{path}"))

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """Change something by `POST /sandbox/...`."""
        headers = {"Content-Type": "application/json"}
        return self._ask(urllib.request.Request(f"{self._url}/sandbox/{path}", json.dumps(body).encode(), headers))

    def _ask(self, request: urllib.request.Request) -> Any:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
            return json.load(response)
