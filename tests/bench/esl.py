"""Bytes of a real hangup event to headers that can be read, beside the parsers of genesis and greenswitch."""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory

from dialer.esl.wire import Event, Frame, Parser, decode_event
from tests.bench.benchmark import Bench, Figure, Round, at_least
from tests.bench.rivals import command
from tests.esl.support import Connection
from tests.esl.transcripts import server_bytes
from tests.processes import RunFailed, output

JSON, PLAIN = "ivr_answered_cust_hangup_json", "ivr_answered_cust_hangup"
"""Recordings of the same kind of call in both forms."""
PASSES, SHORT_PASSES = 200, 10
"""Times that each side goes through its events. The fastest counts: others on the machine make none faster."""
EVENTS = 130
"""In a pass of ours: 1.3 MB, which the processor's cache holds, as it holds what was just read from a socket, and as it
holds the one event of the others."""
RIVALS_EVENTS = 10
"""In a pass of the others': it takes about as long as one of ours."""
READ = 1 << 16
"""Bytes that Twisted reads from a socket at most: so the events are cut."""

ROUNDS = 5


def measure(bench: Bench) -> Round:
    """One round: ours, then theirs."""
    frame, plain = hangup(JSON), hangup(PLAIN)
    passes = SHORT_PASSES if bench.short else PASSES
    ours = _ours(frame, passes)
    with TemporaryDirectory(prefix="dialer-bench-") as where:
        file = Path(where) / "event"
        file.write_bytes(plain.body)
        theirs = output(command("parse.py", file, passes, RIVALS_EVENTS), bench.cancelled, within=300)
    expected = decode_event(plain)
    problems = [
        f"{name} read {told['name']}, {told['cause']}"
        for name, told in theirs.items()
        if (told["name"], told["cause"]) != (expected.name, expected.get("Hangup-Cause"))
    ]
    return Round(
        figures=[
            Figure(
                f"events, beside {name}",
                1 / ours,
                "/s",
                reference=1 / theirs[name]["seconds"],
                target=at_least(target, ratio=True),
            )
            for name, target in (("genesis", 15), ("greenswitch", 5))
        ],
        problems=problems,
        details={
            "microsecondsPerEvent": {
                "ours": round(ours * 1e6, 2),
                **{name: round(told["seconds"] * 1e6, 2) for name, told in theirs.items()},
            },
            "bytes": {"json": len(frame.body), "plain": len(plain.body)},
            "headers": {
                "json": len(decode_event(frame).headers),
                "plain": len(expected.headers),
                **{name: told["headers"] for name, told in theirs.items()},
            },
        },
    )


def hangup(recording: str) -> Frame:
    """The frame of the recording's CHANNEL_HANGUP_COMPLETE."""
    for frame in Parser().feed(server_bytes(recording)):
        if frame.content_type.startswith("text/event-") and decode_event(frame).name == "CHANNEL_HANGUP_COMPLETE":
            return frame
    raise RunFailed(f"no hangup in {recording}")


def _ours(frame: Frame, passes: int) -> float:
    """Processor seconds for one event, from the transport's bytes to the handler, through the whole protocol."""
    wire = b"".join(f"{name}: {value}\n".encode() for name, value in frame.headers.items()) + b"\n" + frame.body
    stream = wire * EVENTS
    pieces = [stream[start : start + READ] for start in range(0, len(stream), READ)]
    expected = decode_event(frame)
    call = expected.headers["Unique-ID"]
    seen = 0

    def note(event: Event) -> None:
        nonlocal seen
        seen += event.get("Unique-ID") == call

    connection = Connection(on_event=note).logged_in()
    receive = connection.protocol.dataReceived
    took: list[float] = []
    for _ in range(passes):
        began = time.thread_time()
        for piece in pieces:
            receive(piece)
        took.append(time.thread_time() - began)
    if seen != passes * EVENTS:
        raise RunFailed(f"{seen} of {passes * EVENTS} events came through")
    whole = Connection().logged_in()
    whole.receive(wire)
    if dict(whole.events[0].headers) != dict(expected.headers):
        raise RunFailed("the event that came through is another one")
    return min(took) / EVENTS
