"""Where a browser says that a request comes from, held against where the dialer is.

A browser adds what it knows of its user by itself: cookies, and the network that it is in. Any page may have it send
requests, and one whose name its owner makes an address of the dialer (DNS rebinding) may even read the answers.
Programs send none of the headers that tell.
"""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit

from attrs import frozen

from dialer.access.networks import is_address

DEFAULT_PORTS = {"http": 80, "https": 443}

Place = tuple[str, int | None]
"""A host in lower case and a port; None: that of the scheme, which a Host header does not tell."""


@frozen
class Asked:
    """The headers of a request that tell of browsers; None: not sent."""

    host: str | None = None
    origin: str | None = None
    fetch_site: str | None = None
    fetch_mode: str | None = None
    accept_language: str | None = None

    @property
    def names_origin(self) -> bool:
        """Whether it says what page it comes from, as whatever a browser sends to change something does."""
        return self.origin is not None or self.fetch_site is not None

    @property
    def by_browser(self) -> bool:
        """Whether a browser sent it.

        Over plain HTTP a reading request tells so by nothing but the languages that it asks for: browsers add them, and
        a page can change but not remove them. (What a browser is called a page can change in some.) Of programs hardly
        one does; Node.js's `fetch` does, and is known by a Sec-Fetch-Mode without Sec-Fetch-Site: browsers send both or
        neither, and pages can set neither.
        """
        if self.names_origin:
            return True
        return self.accept_language is not None and self.fetch_mode is None


class Origins:
    """`public` are the base URLs under which browsers find the dialer, `names` those of this machine."""

    def __init__(self, public: Collection[str], names: Collection[str] = ()) -> None:
        self._public = frozenset(map(_origin, public))
        self._names = frozenset(name.lower() for name in names) | {host for _, host, _ in self._public}

    def is_own(self, asked: Asked) -> bool:
        """Whether the page that sent this is the dialer's, by the Origin that it must carry."""
        if asked.origin is None or asked.fetch_site not in (None, "same-origin"):
            return False
        try:
            scheme, host, port = _origin(asked.origin)
            there, given = _place(asked.host)
        except ValueError:
            return False
        if (scheme, host, port) in self._public:
            return True
        return scheme in DEFAULT_PORTS and host == there and port == (given or DEFAULT_PORTS[scheme])

    def is_known_host(self, asked: Asked) -> bool:
        """Whether nobody else can have made the name in the Host header one of the dialer's: it is an address, a name
        within this machine or network, or one that is configured."""
        try:
            host, _ = _place(asked.host)
        except ValueError:
            return False
        if "." not in host or host.endswith(".localhost") or host in self._names:
            return True
        return is_address(host)


def is_secure(origin: str | None) -> bool:
    """Whether the page came over TLS, to the dialer or to a proxy before it."""
    return origin is not None and origin.lower().startswith("https://")


def _origin(text: str) -> tuple[str, str, int | None]:
    parts = urlsplit(text)
    scheme = parts.scheme.lower()
    return scheme, (parts.hostname or "").lower(), parts.port or DEFAULT_PORTS.get(scheme)


def _place(host: str | None) -> Place:
    """Raises ValueError for what no Host header may be, and when there is none."""
    parts = urlsplit(f"//{host or ''}")
    if not parts.hostname or parts.netloc != host or "@" in parts.netloc:
        raise ValueError
    return parts.hostname.lower(), parts.port
