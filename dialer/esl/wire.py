"""Bytes of the event socket to frames, and frames to events. No I/O, no clock.

A frame is a block of `Name: value` lines, an empty line, and as many bytes of body as its `Content-Length` says.
An event is a frame whose body holds the event's own headers, as JSON or as URL-encoded lines.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from io import BytesIO
from typing import Any, overload
from urllib.parse import unquote

import orjson
from attrs import define, field

from dialer.esl.errors import WireError

MAX_HEADER_BYTES = 64 * 1024
"""Longest block of outer headers. Real ones have two or three short lines; a refusal may quote a whole command."""

MAX_BODY_BYTES = 32 * 1024 * 1024
"""Longest body. An event with 300 large variables has 200 kB; `show channels as json` has about 800 bytes a
channel, so 5,000 bridged calls (10,000 channels) make 8 MB. Four times that is a fault, not a switch."""

_LONGEST_NUMBER = 10
"""Digits of a Content-Length that are worth converting; more could only be over any limit."""

_USUAL = re.compile(rb"Content-Length: ([0-9]{1,%d})\nContent-Type: ([a-z/-]{1,40})\n\n" % _LONGEST_NUMBER)
"""What comes before each event, read in a third of the time that other blocks of headers take."""


_NAMED = re.compile(rb'\{"Event-Name":"([A-Z_]{1,60})",')
"""How an event in JSON begins."""
_KEYS = (b'"Unique-ID":"', b'"Job-UUID":"')
"""What comes before the id of the call, or of the job, that it is about."""

# Frames and events are values that nobody changes. They are not frozen, since making one would take half as long again.


@define
class Frame:
    """One unit of the wire: outer headers (not URL-decoded) and the bytes of the body, empty when it has none."""

    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def content_type(self) -> str:
        """What the frame is: `command/reply`, `api/response`, `text/event-json`, ..."""
        return self.headers["Content-Type"]

    @property
    def reply_text(self) -> str:
        """The `Reply-Text` of a `command/reply`, such as `+OK accepted`; empty in other frames."""
        return self.headers.get("Reply-Text", "")

    @property
    def text(self) -> str:
        """The body as text; bytes that are not UTF-8 become U+FFFD."""
        return self.body.decode("utf-8", "replace")


@define
class Event:
    """An event of the switch. `headers` are decoded; of a repeated header the last one counts.

    A header with several values is FreeSWITCH's own text `ARRAY::one|:two`, whatever format carried it.
    `body` is the text after the headers, such as the result of a BACKGROUND_JOB; empty when there is none.
    """

    name: str
    _values: Mapping[str, Any] = field(alias="headers")
    body: str = ""

    @property
    def about(self) -> str:
        """The id of the call that it tells of, or of the job; empty when it has none."""
        return self.get("Job-UUID" if self.name == "BACKGROUND_JOB" else "Unique-ID", "")

    @property
    def headers(self) -> Mapping[str, str]:
        """All of them, as text."""
        return {name: _text_of(value) for name, value in self._values.items()}

    @overload
    def get(self, header: str) -> str | None: ...
    @overload
    def get(self, header: str, default: str) -> str: ...
    @overload
    def get(self, header: str, default: None) -> str | None: ...
    def get(self, header: str, default: str | None = None) -> str | None:
        """The value of a header, spelt as FreeSWITCH spells it, or `default`."""
        # JSON may hold other things than text. They become text here and not before: of 240 headers few are asked for.
        value = self._values.get(header)
        return default if value is None and header not in self._values else _text_of(value)


class UnreadEvent(Event):
    """An event in JSON of which was only looked at what it is and whom it is about. Everything else is read when it is
    asked for, which raises WireError when it cannot be."""

    __slots__ = ("_about", "_event", "_frame")

    def __init__(self, name: str, about: str, frame: Frame) -> None:
        self.name = name
        self._about = about
        self._frame = frame
        self._event: Event | None = None

    @property
    def about(self) -> str:
        return self._about

    @property
    def size(self) -> int:
        """Bytes of it."""
        return len(self._frame.body)

    @property
    def _values(self) -> Mapping[str, Any]:  # type: ignore[override]
        return self._read()._values

    @property
    def body(self) -> str:  # type: ignore[override]
        return self._read().body

    def _read(self) -> Event:
        if self._event is None:
            self._event = decode_event(self._frame)
        return self._event


class Parser:
    """Collects bytes until they are whole frames.

    The bytes may be cut anywhere. No byte is scanned twice, and those of a body not at all before it is complete.
    Those of a header block, which is short, are put together each time that more of it comes.
    """

    def __init__(self, *, max_header_bytes: int = MAX_HEADER_BYTES, max_body_bytes: int = MAX_BODY_BYTES) -> None:
        self._max_header_bytes = max_header_bytes
        self._max_body_bytes = max_body_bytes
        self._held = BytesIO()  # what came and is in no frame yet
        self._needed = 0  # that many bytes complete the body that is awaited
        self._scanned = 0  # no empty line begins before this offset
        self._headers: dict[str, str] | None = None  # of the frame whose body is awaited
        self._length = 0  # of that body
        self._broken: str | None = None

    def feed(self, data: bytes) -> list[Frame]:
        """Take more bytes and give the frames that they complete, in order.

        Raises WireError when the bytes cannot be understood. Its `frames` are those that were whole before, since
        they are as true as ever; nothing that comes after can be, so feeding again raises again.
        """
        if self._broken is not None:
            raise WireError(self._broken)
        self._held.write(data)
        if self._held.tell() < self._needed:
            return []
        frames: list[Frame] = []
        try:
            self._cut(self._held.getvalue(), frames)
        except WireError as error:
            self._broken = str(error)
            self._held = BytesIO()
            raise WireError(self._broken, frames) from None
        return frames

    def _cut(self, buffer: bytes, frames: list[Frame]) -> None:
        """Cut the frames that are whole out of the buffer, and keep the rest."""
        start = 0
        while True:
            if self._headers is None:
                start = self._read_headers(buffer, start)
                if self._headers is None:
                    break
            end = start + self._length
            if len(buffer) < end:
                break
            frames.append(Frame(self._headers, buffer[start:end]))
            self._headers = None
            start = end
        self._held = BytesIO()
        self._held.write(buffer[start:])
        self._needed = 0 if self._headers is None else self._length

    def _read_headers(self, buffer: bytes, start: int) -> int:
        """Read a header block from `start`; the offset after it, or after what is of no use when it is not whole."""
        usual = _USUAL.match(buffer, start)
        if usual is not None and usual.end() - start <= self._max_header_bytes:
            length, kind = usual.groups()
            self._length = self._bounded(int(length))
            self._headers = {"Content-Length": length.decode(), "Content-Type": kind.decode()}
            self._scanned = 0
            return usual.end()
        while buffer.startswith(b"\n", start):  # an empty line more than needed does no harm
            start += 1
        end = buffer.find(b"\n\n", max(start, self._scanned))
        self._scanned = 0
        if max(end, len(buffer) if end < 0 else end) - start > self._max_header_bytes:
            raise WireError(f"a header block of more than {self._max_header_bytes} bytes")
        if end < 0:
            first, newline, _ = buffer[start : start + 200].partition(b"\n")
            if newline and b":" not in first:  # another protocol greets us: no use in waiting for more of it
                raise WireError(f"not a header line: {_shown(first)}")
            self._scanned = max(0, len(buffer) - start - 1)
            return start
        headers = _header_block(buffer[start:end])
        self._length = self._body_length(headers)
        self._headers = headers
        return end + 2

    def _body_length(self, headers: Mapping[str, str]) -> int:
        if "Content-Type" not in headers:
            raise WireError(f"a frame without Content-Type: {_shown(', '.join(headers).encode())}")
        return self._bounded(_number(headers.get("Content-Length", "0")))

    def _bounded(self, length: int) -> int:
        if length > self._max_body_bytes:
            raise WireError(f"a body of {length} bytes, more than {self._max_body_bytes}")
        return length


def decode_event(frame: Frame) -> Event:
    """The event in a `text/event-json` or `text/event-plain` frame.

    Raises WireError when the body does not hold one. The frames after it are not affected.
    """
    if frame.content_type == "text/event-json":
        return _json_event(frame.body)
    if frame.content_type == "text/event-plain":
        return _plain_event(frame.body)
    raise WireError(f"{_shown(frame.content_type.encode())} does not hold an event")


def skim_event(frame: Frame) -> Event | None:
    """The event in a frame whose beginning looks as FreeSWITCH writes it, unread; None for any other.

    For events that are probably somebody else's: it takes a twentieth of the time. A text can be no name here: a quote
    within a text has a backslash before it. Of two headers of one name the first counts, and whether the rest is sound
    shows when it is read; FreeSWITCH repeats none.
    """
    body = frame.body
    if (usual := _NAMED.match(body)) is None:
        return None
    key = _KEYS[usual[1] == b"BACKGROUND_JOB"]
    if (start := body.find(key)) < 0:
        return None
    start += len(key)
    if (end := body.find(b'"', start)) < 0:
        return None
    about = body[start:end]
    return UnreadEvent(usual[1].decode(), about.decode(), frame) if about.isascii() and b"\\" not in about else None


def _json_event(body: bytes) -> Event:
    try:
        try:
            headers = orjson.loads(body)
        except ValueError:
            # A SIP header in another character set goes through FreeSWITCH as it came, and orjson wants UTF-8.
            headers = orjson.loads(body.decode("utf-8", "replace"))
    except ValueError as error:
        raise WireError(f"a JSON event that does not parse ({error}): {_shown(body)}") from None
    if not isinstance(headers, dict):
        raise WireError(f"a JSON event that is not an object: {_shown(body)}")
    text = _text_of(headers.pop("_body", ""))
    return Event(_text_of(headers.get("Event-Name", "")), headers, text)


def _text_of(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "ARRAY::" + "|:".join(map(_single, value)) if isinstance(value, list) else _single(value)


def _single(value: Any) -> str:
    if isinstance(value, str):
        return value
    try:
        return "" if value is None else orjson.dumps(value).decode()
    except orjson.JSONEncodeError:  # lists within lists, deeper than anybody means: orjson reads more than it writes
        return ""


def _plain_event(body: bytes) -> Event:
    block, _, rest = body.partition(b"\n\n")
    headers = _header_block(block.strip(b"\n"))
    for name, value in headers.items():
        if "%" in value:
            headers[name] = unquote(value, "utf-8", "replace")
    length = _number(headers.get("Content-Length", "0"))
    if len(rest) < length:
        raise WireError(f"an event whose body has {len(rest)} bytes instead of {length}")
    return Event(headers.get("Event-Name", ""), headers, rest[:length].decode("utf-8", "replace"))


def _header_block(block: bytes) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in block.decode("utf-8", "replace").split("\n"):
        name, colon, value = line.partition(":")
        if not colon:
            raise WireError(f"not a header line: {_shown(line.encode())}")
        headers[name] = value.strip(" ")
    return headers


def _number(digits: str) -> int:
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _LONGEST_NUMBER):
        raise WireError(f"not a Content-Length: {_shown(digits.encode())}")
    return int(digits)


def _shown(data: bytes) -> str:
    """The start of what was received, for a message: quoted, since it may be anything."""
    return ascii(data[:60].decode("utf-8", "replace"))
