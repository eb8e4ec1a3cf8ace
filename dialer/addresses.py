"""Where the others are, as operators write it: lists of `host:port`, base URLs, and PostgreSQL's address.

A reader raises a ValueError without arguments: whoever asked knows the variable's name and what it allows.
"""

from __future__ import annotations

import re

from psycopg2 import ProgrammingError
from psycopg2.extensions import make_dsn, parse_dsn

from dialer.rules import is_host, is_ipv6

MAX_WEBHOOK_HOSTS = 20
"""Hosts that contacts may name for their webhooks: each is asked about in the database once a second."""

_ENTRY = re.compile(r"(?:\[(?P<ipv6>[^\[\]]+)\]|(?P<host>[^:\[\]]+))(?::(?P<port>[0-9]{1,5}))?")
_BASE_URL = re.compile(r"(?i:https?)://(?P<where>[^/?#@]+)(?:/(?:%[0-9A-Fa-f]{2}|[A-Za-z0-9._~!$&'()*+,;=:@/-])*)?")
_POSTGRES_URL = re.compile(r"postgres(?:ql)?://")
_DIRECTORY = re.compile(r"/[A-Za-z0-9._/@-]*")
_NOT_A_PORT = re.compile(r":(?![0-9]+(?:/|\Z)).*", re.DOTALL)


def host_and_port(text: str, default_port: int) -> tuple[str, int]:
    """Read `host`, `host:port`, `[ipv6]` or `[ipv6]:port`; the brackets are not part of the host."""
    found = _ENTRY.fullmatch(text)
    if found is None:
        raise ValueError
    ipv6, host, port = found.group("ipv6", "host", "port")
    number = int(port) if port else default_port
    if not (is_ipv6(ipv6) if ipv6 else is_host(host)) or not 1 <= number <= 65535:
        raise ValueError
    return ipv6 or host, number


def hosts_and_ports(text: str, default_port: int) -> tuple[tuple[str, int], ...]:
    """Read a comma separated list of `host_and_port`; the same one twice is refused."""
    entries = tuple(host_and_port(entry.strip(), default_port) for entry in text.split(","))
    if len({(host.lower(), port) for host, port in entries}) < len(entries):
        raise ValueError
    return entries


def base_url(text: str) -> str:
    """Check an http or https URL without user, query and fragment; returned without a slash at its end."""
    found = _BASE_URL.fullmatch(text)
    if found is None:
        raise ValueError
    host_and_port(found["where"], 80)
    return text.rstrip("/")


def webhook_url(text: str) -> str:
    """Check an http or https URL without user and fragment; returned as it is."""
    where, _, query = text.partition("?")
    base_url(where)
    if not re.fullmatch(r"(?:%[0-9A-Fa-f]{2}|[A-Za-z0-9._~!$&'()*+,;=:@/?-])*", query):
        raise ValueError
    return text


def webhook_hosts(text: str) -> tuple[tuple[str, int], ...]:
    """Read a list of `host[:port]`, with commas or spaces between them; without a port it is 443."""
    entries = re.split(r"[,\s]+", text.strip(", \t\n\r"))
    hosts = hosts_and_ports(",".join(entries), 443) if entries != [""] else ()
    if len(hosts) > MAX_WEBHOOK_HOSTS:
        raise ValueError
    return tuple((host.lower(), port) for host, port in hosts)


def check_database(text: str) -> str:
    """Check what DB_URL may be: a host, the directory of a Unix socket, or a URL that libpq understands."""
    if not _POSTGRES_URL.match(text):
        if not (is_host(text) or _DIRECTORY.fullmatch(text) or is_ipv6(text.removeprefix("[").removesuffix("]"))):
            raise ValueError
        return text
    try:
        parts = parse_dsn(text)
    except (ProgrammingError, UnicodeError):
        raise ValueError from None  # libpq's words repeat the URL, and with it the password
    hosts = [host for host in parts.get("host", "").split(",") if host]
    ports = [port for port in parts.get("port", "").split(",") if port]
    if not all(is_host(host) or _DIRECTORY.fullmatch(host) for host in hosts):
        raise ValueError
    if not all(re.fullmatch("[0-9]{1,5}", port) and 1 <= int(port) <= 65535 for port in ports):
        raise ValueError
    return text


def database_conninfo(text: str, **rest: str) -> str:
    """Make libpq's connection string of what `check_database` accepted; what a URL says itself wins over the rest.

    The rest is called as libpq calls it; what is empty is left to libpq.
    """
    parts = parse_dsn(text) if _POSTGRES_URL.match(text) else {"host": text.removeprefix("[").removesuffix("]")}
    conninfo: str = make_dsn(**{key: value for key, value in {**rest, **parts}.items() if value != ""})
    return conninfo


def password_of(conninfo: str) -> str:
    """The password in a connection string of libpq; empty when there is none."""
    return str(parse_dsn(conninfo).get("password", "")) if conninfo else ""


def without_password(text: str) -> str:
    """Return a wrong DB_URL as it may be shown, however it is written: rather too little than a password.

    A password stands before the last `@`, or after a `=`; one that lost its `@` looks like a port.
    """
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "", text
    if not re.fullmatch("[A-Za-z0-9+.-]*", scheme) or re.search("[?=]|://", rest):
        return "***"
    if "@" in rest:
        rest = "***@" + rest.rpartition("@")[2]
    return scheme + separator + _NOT_A_PORT.sub(":***", rest)


def without_user(text: str) -> str:
    """Return a wrong base URL as it may be shown: what stands before an `@` may hold a password."""
    return re.sub("^.*@", "***@", text, flags=re.DOTALL)
