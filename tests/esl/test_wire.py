"""The event socket's bytes, cut anywhere, are the frames and events that the switch sent."""

from __future__ import annotations

import random
import tracemalloc

import orjson
import pytest
from hamcrest import (
    assert_that,
    calling,
    contains_string,
    empty,
    equal_to,
    greater_than,
    has_length,
    has_properties,
    instance_of,
    is_,
    none,
    raises,
)
from hypothesis import given
from hypothesis import strategies as st

from dialer.esl.errors import WireError
from dialer.esl.wire import Event, Frame, Parser, decode_event, skim_event
from tests.esl.transcripts import INDEX, server_bytes

ALL = sorted(INDEX)
SMALL = [name for name in ALL if len(server_bytes(name)) < 20_000]

HELLO = b"Content-Type: auth/request\n\n"


def parsed(*pieces: bytes) -> list[Frame]:
    parser = Parser()
    return [frame for piece in pieces for frame in parser.feed(piece)]


def events(frames: list[Frame]) -> list[Event]:
    return [decode_event(frame) for frame in frames if frame.content_type.startswith("text/event-")]


def json_frame(headers: object) -> Frame:
    body = headers if isinstance(headers, bytes) else orjson.dumps(headers)
    return Frame({"Content-Type": "text/event-json"}, body)


def plain_frame(body: bytes) -> Frame:
    return Frame({"Content-Type": "text/event-plain"}, body)


@pytest.mark.parametrize("name", ALL)
def test_a_recording_has_the_frames_and_events_that_its_index_names(name: str) -> None:
    frames = parsed(server_bytes(name))

    assert_that(frames, has_length(INDEX[name]["frames"]))
    if expected := INDEX[name]["events"]:
        wanted = {event for event, _ in expected}
        found = [
            [event.name, (event.get("Job-UUID") if event.name == "BACKGROUND_JOB" else event.get("Unique-ID", ""))[:8]]
            for event in events(frames)
            if event.name in wanted
        ]
        assert_that(found[: len(expected)], equal_to(expected))


@pytest.mark.parametrize("name", ALL)
def test_a_recording_fed_one_byte_at_a_time_gives_the_same_frames(name: str) -> None:
    data = server_bytes(name)

    assert_that(parsed(*(data[i : i + 1] for i in range(len(data)))), equal_to(parsed(data)))


@pytest.mark.parametrize("name", ALL)
def test_a_recording_fed_in_random_pieces_gives_the_same_frames(name: str) -> None:
    data = server_bytes(name)
    whole = parsed(data)
    dice = random.Random(name)
    for longest in (10, 100, 5_000):
        pieces, start = [], 0
        while start < len(data):
            end = start + dice.randint(0, longest)
            pieces.append(data[start:end])
            start = end
        assert_that(parsed(*pieces), equal_to(whole))


@pytest.mark.parametrize("name", SMALL)
def test_a_recording_cut_in_two_anywhere_gives_the_same_frames(name: str) -> None:
    data = server_bytes(name)
    whole = parsed(data)
    for cut in range(len(data)):
        if parsed(data[:cut], data[cut:]) != whole:  # a matcher for each of so many cuts would take a minute
            pytest.fail(f"cut at {cut}")


def test_json_and_plain_recordings_of_the_same_call_name_the_same_headers() -> None:
    def hangup(name: str) -> set[str]:
        (event,) = (e for e in events(parsed(server_bytes(name))) if e.name == "CHANNEL_HANGUP_COMPLETE")
        return set(event.headers)

    difference = hangup("ivr_busy") ^ hangup("ivr_busy_json")
    assert_that({name for name in difference if not name.startswith("variable_")}, is_(empty()))


def test_the_result_of_a_job_is_the_body_of_its_event() -> None:
    for name in ("ivr_busy", "ivr_busy_json"):
        (job,) = (e for e in events(parsed(server_bytes(name))) if e.name == "BACKGROUND_JOB")
        assert_that(job.body, equal_to("-ERR USER_BUSY\n"))
        assert_that(job.get("_body"), is_(None))


def test_frames_are_known_by_content_type_and_carry_their_text() -> None:
    frames = parsed(server_bytes("conn_auth_ok_exit"))

    assert_that(
        [(f.content_type, f.reply_text, f.text) for f in frames],
        equal_to(
            [
                ("auth/request", "", ""),
                ("command/reply", "+OK accepted", ""),
                ("command/reply", "+OK bye", ""),
                (
                    "text/disconnect-notice",
                    "",
                    "Disconnected, goodbye.\nSee you at ClueCon! http://www.cluecon.com/\n",
                ),
            ]
        ),
    )


def test_a_rejection_by_the_acl_is_a_frame() -> None:
    first, _ = parsed(server_bytes("conn_acl_reject"))

    assert_that(first, has_properties(content_type="text/rude-rejection", text="Access Denied, go away.\n"))


def test_a_log_line_is_a_frame() -> None:
    (frame,) = parsed(b"Content-Type: log/data\nContent-Length: 6\nLog-Level: 7\n\nhello\n")

    assert_that(frame, has_properties(content_type="log/data", text="hello\n"))


def test_a_body_of_no_bytes_ends_the_frame_at_once() -> None:
    frames = parsed(b"Content-Type: api/response\nContent-Length: 0\n\n" + HELLO)

    assert_that([f.content_type for f in frames], equal_to(["api/response", "auth/request"]))


def test_an_empty_line_too_many_between_frames_is_skipped() -> None:
    assert_that(parsed(b"\n\n", b"\n" + HELLO, b"\n" + HELLO), has_length(2))


def test_text_that_is_not_utf_8_becomes_replacement_characters() -> None:
    (frame,) = parsed(b"Content-Type: api/response\nContent-Length: 3\nX: \xff\n\na\xffb")

    assert_that(frame.text, equal_to("a\ufffdb"))
    assert_that(frame.headers["X"], equal_to("\ufffd"))


def test_the_last_of_a_repeated_json_key_counts() -> None:
    event = decode_event(json_frame(b'{"Event-Name":"X","Hangup-Cause":"A","Hangup-Cause":"B"}'))

    assert_that(event.get("Hangup-Cause"), equal_to("B"))


def test_the_last_of_a_repeated_plain_header_counts() -> None:
    event = decode_event(plain_frame(b"Event-Name: X\nHangup-Cause: A\nHangup-Cause: B\n\n"))

    assert_that(event.get("Hangup-Cause"), equal_to("B"))


def test_a_header_with_several_values_reads_the_same_in_both_formats() -> None:
    as_json = decode_event(json_frame({"Event-Name": "X", "variable_v": ["a b", "c"]}))
    as_plain = decode_event(plain_frame(b"Event-Name: X\nvariable_v: ARRAY::a%20b|:c\n\n"))

    assert_that(as_json.get("variable_v"), equal_to("ARRAY::a b|:c"))
    assert_that(as_plain.get("variable_v"), equal_to("ARRAY::a b|:c"))


def test_json_values_that_are_not_text_become_text() -> None:
    event = decode_event(json_frame({"Event-Name": "X", "n": 5, "t": True, "none": None}))

    assert_that(dict(event.headers), equal_to({"Event-Name": "X", "n": "5", "t": "true", "none": ""}))
    assert_that([event.get(name, "default") for name in ("n", "t", "none")], equal_to(["5", "true", ""]))


def test_the_name_and_the_body_of_a_json_event_that_are_not_text_become_text() -> None:
    event = decode_event(json_frame({"Event-Name": 5, "_body": ["a", "b"]}))

    assert_that((event.name, event.body), equal_to(("5", "ARRAY::a|:b")))


@pytest.mark.parametrize(
    "block",
    [
        b"Content-Length: 2\nContent-Type: text/event-json\n\n",
        b"Content-Type: text/event-json\nContent-Length: 2\n\n",
        b"Content-Length:2\nContent-Type:text/event-json\n\n",
        b"Content-Length: 2\nContent-Type: text/event-json\nContent-Length: 2\n\n",
    ],
)
def test_the_outer_headers_may_come_in_any_order_and_be_written_in_any_way(block: bytes) -> None:
    (first, second) = parsed(block + b"{}" + block + b"[]")

    for frame in (first, second):
        assert_that(frame.headers, equal_to({"Content-Length": "2", "Content-Type": "text/event-json"}))
    assert_that((first.body, second.body), equal_to((b"{}", b"[]")))


def test_a_header_block_in_its_usual_form_is_held_to_the_limits_too() -> None:
    block = b"Content-Length: 20\nContent-Type: text/event-json\n\n"

    for limits, message in (({"max_header_bytes": 40}, "header block"), ({"max_body_bytes": 19}, "a body of 20 bytes")):
        assert_that(calling(Parser(**limits).feed).with_args(block), raises(WireError, message))


def test_a_json_event_that_is_not_utf_8_keeps_its_other_headers() -> None:
    event = decode_event(json_frame(b'{"Event-Name":"X","variable_sip_from_display":"Jos\xe9"}'))

    assert_that(event.get("variable_sip_from_display"), equal_to("Jos\ufffd"))


def test_a_plain_value_is_url_decoded_and_a_plus_stays_a_plus() -> None:
    event = decode_event(plain_frame(b"Event-Name: X\nv: a%20b%0Ac+%C3%A9%FF:%25\n\n"))

    assert_that(event.get("v"), equal_to("a b\nc+\u00e9\ufffd:%"))


def test_the_body_of_a_plain_event_is_as_long_as_it_says_and_not_decoded() -> None:
    event = decode_event(plain_frame(b"Event-Name: X\nContent-Length: 8\n\n%20\n\nabcdefg"))

    assert_that(event.body, equal_to("%20\n\nabc"))


def test_a_missing_header_is_none_or_the_default() -> None:
    event = decode_event(json_frame({"Event-Name": "X"}))

    assert_that((event.get("no"), event.get("no", "")), equal_to((None, "")))


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (json_frame(b'{"Event-Name":'), "does not parse"),
        (json_frame(b"[1]"), "not an object"),
        (plain_frame(b"Event-Name X\n\n"), "not a header line"),
        (plain_frame(b"Event-Name: X\nContent-Length: 9\n\nshort"), "has 5 bytes instead of 9"),
        (plain_frame(b"Event-Name: X\nContent-Length: -1\n\n"), "not a Content-Length"),
        (Frame({"Content-Type": "text/event-xml"}, b"<event/>"), "text/event-xml"),
    ],
)
def test_a_body_that_is_no_event_is_an_error_that_says_what_is_wrong(frame: Frame, message: str) -> None:
    assert_that(calling(decode_event).with_args(frame), raises(WireError, message))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "not a header line: 'SSH"),
        (b"HTTP/1.1 400 Bad Request\r\n", "not a header line: 'HTTP"),
        (b"Content-Type: api/response\nwhat\n\n", "not a header line: 'what'"),
        (b"Event-Name: X\n\n", "without Content-Type: 'Event-Name'"),
        (b"Content-Type: api/response\nContent-Length: x\n\n", "not a Content-Length: 'x'"),
        (b"Content-Type: api/response\nContent-Length: -5\n\n", "not a Content-Length: '-5'"),
        (b"Content-Type: api/response\nContent-Length: \xd9\xa3\n\n", "not a Content-Length"),
        (b"Content-Type: api/response\nContent-Length: " + b"9" * 5000 + b"\n\n", "not a Content-Length"),
        (b"Content-Type: api/response\nContent-Length: 33554433\n\n", "a body of 33554433 bytes"),
        (b"X: " + b"a" * 70_000, "more than 65536 bytes"),
        (b"X: " + b"a" * 70_000 + b"\n\n", "more than 65536 bytes"),
    ],
)
def test_garbage_is_an_error_that_says_what_is_wrong(data: bytes, message: str) -> None:
    assert_that(calling(parsed).with_args(data), raises(WireError, message))
    assert_that(calling(parsed).with_args(*(data[i : i + 1] for i in range(len(data)))), raises(WireError, message))


def test_frames_before_the_garbage_are_not_lost() -> None:
    parser = Parser()
    with pytest.raises(WireError) as caught:
        parser.feed(HELLO + b"what\n\n")

    assert_that([f.content_type for f in caught.value.frames], equal_to(["auth/request"]))


def test_nothing_is_understood_after_garbage() -> None:
    parser = Parser()
    with pytest.raises(WireError):
        parser.feed(b"what\n\n")

    with pytest.raises(WireError) as again:
        parser.feed(HELLO)
    assert_that(str(again.value), contains_string("what"))


def test_a_body_of_the_greatest_length_is_taken_and_its_memory_given_back() -> None:
    parser = Parser(max_body_bytes=1_000_000)
    piece = b"x" * 1000
    tracemalloc.start()
    try:
        parser.feed(b"Content-Type: api/response\nContent-Length: 1000000\n\n")
        frames = [frame for _ in range(1000) for frame in parser.feed(piece)]
        assert_that([len(frame.body) for frame in frames], equal_to([1_000_000]))
        del frames
        assert_that(tracemalloc.get_traced_memory()[0] < 100_000)
    finally:
        tracemalloc.stop()


VALUES = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=30)


@given(st.dictionaries(st.from_regex(r"variable_[a-z]{1,8}", fullmatch=True), VALUES), VALUES, st.data())
def test_any_json_event_comes_through_any_cut(headers: dict[str, str], text: str, data: st.DataObject) -> None:
    body = orjson.dumps({"Event-Name": "X", **headers, "_body": text})
    wire = b"Content-Length: %d\nContent-Type: text/event-json\n\n%b" % (len(body), body) + HELLO
    cut = data.draw(st.integers(0, len(wire)))

    (event,) = events(parsed(wire[:cut], wire[cut:]))

    assert_that(event, equal_to(Event("X", {"Event-Name": "X", **headers}, text)))


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
@pytest.mark.parametrize("depth", [2, 300, 1000, 100_000])
@pytest.mark.parametrize("header", [b"Event-Name", b"_body", b"Unique-ID"])
def test_values_within_each_other_however_deep_are_text_or_a_wire_error(
    header: bytes, depth: int, opening: bytes, closing: bytes
) -> None:
    value = opening * depth + (b"1" if closing == b"}" else b"") + closing * depth
    try:
        event = decode_event(json_frame(b'{"%b":%b}' % (header, value)))
    except WireError:
        assert_that(depth, greater_than(1000))
    else:
        for text in (event.name, event.body, event.get("Unique-ID", "")):
            assert_that(text, instance_of(str))


@given(st.lists(st.binary(max_size=200), max_size=5))
def test_no_bytes_do_anything_but_make_frames_or_a_wire_error(pieces: list[bytes]) -> None:
    parser = Parser(max_header_bytes=500, max_body_bytes=500)
    try:
        for piece in pieces:
            for frame in parser.feed(piece):
                decode_event(frame)
    except WireError:
        pass


@pytest.mark.parametrize("name", [name for name in ALL if b"text/event-json" in server_bytes(name)])
def test_a_recorded_event_that_was_skimmed_is_the_one_that_was_read(name: str) -> None:
    frames = [frame for frame in parsed(server_bytes(name)) if frame.content_type == "text/event-json"]

    for frame in frames:
        event, skimmed = decode_event(frame), skim_event(frame)
        if event.about:
            assert_that(skimmed, has_properties(name=event.name, about=event.about))
            assert_that(skimmed, has_properties(headers=event.headers, body=event.body))


@pytest.mark.parametrize(
    "body",
    [
        b'{"Unique-ID":"c1","Event-Name":"CHANNEL_ANSWER"}',
        b'{"Event-Name":"CHANNEL_ANSWER","Other-Leg-Unique-ID":"c1"}',
        b'{"Event-Name":"CHANNEL_ANSWER","Unique-ID":["c1"]}',
        b'{"Event-Name":"CHANNEL_ANSWER","Unique-ID":"c-12',
        rb'{"Event-Name":"CHANNEL_ANSWER","Unique-ID":"c\u0031"}',
        '{"Event-Name":"CHANNEL_ANSWER","Unique-ID":"ç1"}'.encode(),
        b"Event-Name: CHANNEL_ANSWER\nUnique-ID: c1\n\n",
    ],
)
def test_an_event_that_looks_unusual_is_not_skimmed(body: bytes) -> None:
    assert_that(skim_event(json_frame(body)), none())


@given(VALUES)
def test_what_an_event_is_about_is_no_part_of_a_text(text: str) -> None:
    body = orjson.dumps({"Event-Name": "CHANNEL_ANSWER", "v": f'{text}","Unique-ID":"other","', "Unique-ID": "c1"})

    assert_that(skim_event(json_frame(body)), has_properties(about="c1"))


def test_what_a_skimmed_event_holds_is_read_when_it_is_asked_for() -> None:
    event = skim_event(json_frame(b'{"Event-Name":"CHANNEL_ANSWER","Unique-ID":"c1",'))

    assert_that(event, has_properties(name="CHANNEL_ANSWER", about="c1"))
    assert_that(calling(lambda: event and event.get("Hangup-Cause")), raises(WireError, "does not parse"))
