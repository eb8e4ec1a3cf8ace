"""Gates for tests, and a server in memory that has one."""

from __future__ import annotations

import json
import re
from typing import Any

from attrs import define, field
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from dialer.access.networks import parse_networks
from dialer.access.origins import Origins
from dialer.access.scope import Scope
from dialer.access.sessions import Sessions
from dialer.access.tokens import parse_tokens
from dialer.web.api import Api
from dialer.web.bounds import Bounds
from dialer.web.cookie import SessionCookie
from dialer.web.endpoint import endpoints_of
from dialer.web.gate import Gate
from dialer.web.rate import Admission
from dialer.web.refusals import Refusals
from dialer.web.signin import SignIn
from dialer.web.site import BoundedSite
from tests.told import Told

TOKENS = {scope: f"{scope}-".ljust(40, "x") for scope in Scope}
CONFIGURED = " ".join(f"just-{scope}:{scope}:{token}" for scope, token in TOKENS.items())
"""A token for each scope alone, as they are configured."""


def bearer(scope: Scope) -> str:
    """What shows the token of this scope."""
    return f"Bearer {TOKENS[scope]}"


def open_gate() -> Gate:
    """One that lets in everybody."""
    clock = Clock()
    return Gate(clock, (), (), Origins(()), Sessions(clock, 3600.0), SessionCookie("dialer-1"))


class StandIn:
    """In place of a group of endpoints: whatever is called answers its name, and is remembered in `called`."""

    def __init__(self, group: type, called: list[str]) -> None:
        self.__class__ = type(group.__name__, (StandIn,), dict(vars(group)))
        for each in endpoints_of(group):
            setattr(self, each.name, self._handler(each.name, called))

    @staticmethod
    def _handler(name: str, called: list[str]) -> Any:
        async def handle(request: Any, **parts: str) -> object:
            called.append(name)
            return {"called": name}

        return handle


class Transport(StringTransport):
    """One that may be closed for writing alone."""

    def loseWriteConnection(self) -> None:
        """Nothing is written from here on."""


@define
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: Any
    text: str


@define
class Served:
    """A server in memory, with the real stack above the sockets. Its host is `dialer:8080`."""

    tokens: str = ""
    trusted: str = ""
    public: tuple[str, ...] = ()
    groups: tuple[Any, ...] = ()
    """Classes, for each of which something stands in, and instances, which are served as they are."""
    lifetime: float = 3600.0
    rate: float = 0.0
    bounds: Bounds = field(factory=Bounds)
    clock: Clock = field(factory=Clock)
    called: list[str] = field(factory=list)
    told: Told = field(factory=Told)
    site: Any = field(init=False)
    gate: Gate = field(init=False)
    api: Api = field(init=False)
    sessions: Sessions = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.sessions = Sessions(self.clock, self.lifetime)
        cookie = SessionCookie("dialer-1")
        origins = Origins(self.public)
        self.gate = Gate(
            self.clock, parse_tokens(self.tokens), parse_networks(self.trusted), origins, self.sessions, cookie
        )
        groups: list[object] = [
            group
            if not isinstance(group, type)
            else SignIn(self.clock, self.gate, self.sessions, cookie)
            if group is SignIn
            else StandIn(group, self.called)
            for group in self.groups
        ]
        refusals = Refusals(self.clock, self.told)
        admission = Admission(self.clock, self.rate, calls_per_second=1)
        self.api = Api(groups, self.gate, admit=admission.admit, deny=admission.deny, refused=refusals.refused)
        self.site = BoundedSite(
            self.api.resource(),
            self.told,
            arriving=self.api.arriving,
            admits=self.api.admits,
            bounds=self.bounds,
            refusals=refusals,
            reactor=self.clock,
        )

    def connect(self, peer: str = "192.0.2.1") -> tuple[Any, StringTransport]:
        """A connection from there: its server's end, and what goes out of that."""
        kind = IPv6Address if ":" in peer else IPv4Address
        transport = Transport(peerAddress=kind("TCP", peer, 40_000))
        channel = self.site.buildProtocol(transport.getPeer())
        channel.makeConnection(transport)
        return channel, transport

    def ask(
        self, method: str, path: str, *, peer: str = "192.0.2.1", body: bytes | None = None, **headers: str
    ) -> Answer:
        """One request; underscores in the names of headers stand for hyphens."""
        channel, transport = self.connect(peer)
        channel.dataReceived(head(method, path, length=None if body is None else len(body), **headers) + (body or b""))
        return answer(transport)


def head(method: str, path: str, *, length: int | None = None, **headers: str) -> bytes:
    """The head of a request."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {headers.pop('Host', 'dialer:8080')}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def answer(transport: StringTransport) -> Answer:
    """The answer that has been written."""
    text = transport.value().decode()
    first, _, body = text.partition("\r\n\r\n")
    status, *lines = first.split("\r\n")
    names = [line.split(": ", 1) for line in lines]
    headers = {name.lower(): value for name, value in names}
    if headers.get("transfer-encoding") == "chunked":
        body = re.sub(r"(?:\A|\r\n)[0-9a-f]+\r\n", "", body).removesuffix("\r\n")
    cookies = [value for name, value in names if name.lower() == "set-cookie"]
    if cookies:
        headers["set-cookie"] = "\n".join(cookies)
    return Answer(int(status.split()[1]), headers, json.loads(body) if body.startswith("{") else None, text)
