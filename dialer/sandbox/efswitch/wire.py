"""How values and frames look on the event socket. No I/O, no state."""

from __future__ import annotations

import json
import re
from typing import Final

PLAIN: Final = "plain"
JSON: Final = "json"

NO_REPLY: Final = "-ERR no reply\n"
GOODBYE: Final = "Disconnected, goodbye.\nSee you at ClueCon! http://www.cluecon.com/\n"
SHUTTING_DOWN: Final = "The system is being shut down.\n"

AUTH_REQUEST: Final = b"Content-Type: auth/request\n\n"

# FreeSWITCH leaves a percent sign alone that two upper-case hex digits follow, which makes the plain format lossy.
_UNSAFE = re.compile(rb"%(?![0-9A-F]{2})|[^!$%'()*,\-./0-9A-Za-z_~]")
_HARMLESS = re.compile(r"[!$'()*,\-./0-9A-Za-z_~]*")
_ESCAPED_IN_JSON = re.compile(r'["\\\x00-\x1f]')


def _percent(match: re.Match[bytes]) -> bytes:
    return b"%%%02X" % match[0][0]


def to_bytes(text: str) -> bytes:
    """The bytes that `text` stands for; what was not UTF-8 when it came in goes out as it came."""
    return text.encode("utf-8", "surrogateescape")


def url_encode(value: str) -> str:
    """A header value as `text/event-plain` carries it."""
    if _HARMLESS.fullmatch(value):
        return value
    return _UNSAFE.sub(_percent, to_bytes(value)).decode("ascii")


def json_escape(value: str) -> str:
    """A header value as it stands between the quotes of `text/event-json`."""
    if not _ESCAPED_IN_JSON.search(value):
        return value
    return json.dumps(value, ensure_ascii=False)[1:-1]


def command_reply(text: str, *headers: str) -> bytes:
    """The answer to a command other than `api`: `text` becomes `Reply-Text`, `headers` are whole lines after it."""
    lines = ["Content-Type: command/reply", f"Reply-Text: {text}", *headers]
    return to_bytes("\n".join(lines) + "\n\n")


def api_response(body: str) -> bytes:
    """The answer to `api`."""
    content = to_bytes(body)
    return b"Content-Type: api/response\nContent-Length: %d\n\n%b" % (len(content), content)


def event_frame(form: str, body: str) -> bytes:
    """An event; the length comes before the type, unlike in every other frame."""
    content = to_bytes(body)
    return b"Content-Length: %d\nContent-Type: text/event-%b\n\n%b" % (len(content), form.encode(), content)


def disconnect_notice(text: str = GOODBYE) -> bytes:
    """The last frame before the end of a connection."""
    return b"Content-Type: text/disconnect-notice\nContent-Length: %d\n\n%b" % (len(text), text.encode())


def rude_rejection() -> bytes:
    """All that a client hears whose address the access list denies."""
    text = b"Access Denied, go away.\n"
    return b"Content-Type: text/rude-rejection\nContent-Length: %d\n\n%b" % (len(text), text) + disconnect_notice()
