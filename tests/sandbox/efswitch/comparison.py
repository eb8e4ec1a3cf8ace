"""Which recordings are replayed, and how what the simulator says is compared with what the real switch said."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import TypeVar

from hamcrest import assert_that, equal_to

from tests.esl.transcripts import INDEX, client_bytes, server_bytes

from .recorded import Frame, Mask, frames

REPLAYED: set[str] = set()
"""The recordings that some test replays."""

NOT_SENT = re.compile(r"CHANNEL_(STATE|CALLSTATE|EXECUTE|EXECUTE_COMPLETE)|CODEC|CALL_UPDATE|PLAYBACK_.*|MODULE_UNLOAD")
"""Events that the simulator does not have."""

Test = TypeVar("Test", bound=Callable[..., object])


def replays(*names: str) -> Callable[[Test], Test]:
    """Decorates a test that replays the client's side of these recordings."""
    unknown = set(names) - set(INDEX)
    if unknown:
        raise ValueError(f"no recordings {unknown}")
    REPLAYED.update(names)
    return lambda test: test


def said(name: str) -> list[Frame]:
    """What the real switch said, masked. Each CHANNEL_DESTROY comes where the simulator has it."""
    mask = Mask()
    return [mask.frame(frame) for frame in _destroyed_at_once(list(frames(server_bytes(name))))]


def said_about_own(name: str) -> list[Frame]:
    """The same without the calls left over from the recording before, for clients that named all their calls."""
    client = client_bytes(name).decode()
    mask = Mask()
    return [mask.frame(f) for f in frames(server_bytes(name)) if dict(f[1]).get("Unique-ID", "") in client]


def _destroyed_at_once(whole: list[Frame]) -> list[Frame]:
    """With each CHANNEL_DESTROY right behind the CHANNEL_HANGUP_COMPLETE of its channel."""

    def is_event(frame: Frame, event: str) -> bool:
        return dict(frame[1]).get("Event-Name") == event

    ordered: list[Frame] = []
    for frame in whole:
        ends = [
            place
            for place, each in enumerate(ordered)
            if is_event(each, "CHANNEL_HANGUP_COMPLETE")
            and dict(each[1])["Unique-ID"] == dict(frame[1]).get("Unique-ID")
        ]
        ordered.insert(ends[0] + 1 if ends and is_event(frame, "CHANNEL_DESTROY") else len(ordered), frame)
    return ordered


def masked_further(frame: Frame) -> Frame:
    """What only some answers have: counters, times in running text."""
    outer, headers, body = frame
    body = re.sub(r"\d+ milliseconds, \d+ microseconds", "some", body)
    body = re.sub(r"(idle cpu 0.00/)[\d.]+", r"\1n", body)
    body = re.sub(r'("(b_)?created(_epoch)?"|"call_created_epoch"):"[^"]+"', r"\1:a time", body)
    if body.startswith('{"Event-Name":"CHANNEL_DATA"'):
        mask = Mask()
        shown = {name: mask.header(name, value) for name, value in json.loads(body).items()}
        body = json.dumps([each for each in shown.items() if each[0] != "variable_sip_contact_params"])
    kind = dict(outer)["Content-Type"]
    if kind == "api/response":
        outer = [each for each in outer if each[0] != "Content-Length"]
    headers = [each for each in headers if each[0] != "Content-Length" and not each[0].startswith("Session-")]
    headers = [each for each in headers if each[0] not in ("Uptime-msec", "variable_sip_contact_params")]
    return outer, headers, body


def compare(expected: Sequence[Frame], actual: Sequence[Frame]) -> None:
    """Assert that two switches said the same, both masked already."""
    wanted, given = [masked_further(each) for each in expected], [masked_further(each) for each in actual]
    assert_that([name_of(frame) for frame in given], equal_to([name_of(frame) for frame in wanted]))
    for one, other in zip(wanted, given, strict=True):
        assert_that(other, equal_to(one))


def name_of(frame: Frame) -> str:
    """What a frame is: the name of an event, or the first of a reply."""
    outer, headers, body = frame
    return dict(headers).get("Event-Name") or dict(outer).get("Reply-Text") or body[:40]


def job_first(name: str) -> float:
    """1 when the recorded switch sent the job of the call that failed before its last events, else 0."""
    events = [dict(headers)["Event-Name"] for _, headers, _ in frames(server_bytes(name)) if headers]
    return 1.0 if events[:1] == ["BACKGROUND_JOB"] else 0.0


def leg_of(frame: Frame) -> tuple[str, str]:
    """An event's name and its leg."""
    headers = dict(frame[1])
    return headers["Event-Name"], headers.get("variable_channel_name", "")
