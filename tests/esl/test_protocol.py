"""Commands on one connection: order, time limits, and what each loss means for each command."""

from __future__ import annotations

import pytest
from hamcrest import (
    all_of,
    assert_that,
    contains_exactly,
    contains_string,
    empty,
    equal_to,
    has_length,
    has_properties,
    instance_of,
    is_,
    none,
    not_,
)
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.logger import capturedLogs
from twisted.python.failure import Failure

from dialer.esl import protocol
from dialer.esl.errors import (
    AccessDenied,
    AuthenticationFailed,
    BadCommand,
    CommandRefused,
    CommandTimedOut,
    ConnectionLostError,
    NotSent,
    ReplyLost,
    WireError,
)
from dialer.esl.protocol import COMMAND_TIMEOUT, READ_FIRST, SILENCE, EslProtocol
from dialer.esl.wire import Event, Frame
from tests.esl.support import BYE, HELLO, Connection, answer, error_of, event, reply, result_of
from tests.esl.transcripts import INDEX, client_bytes, server_bytes
from tests.hygiene import LoggedFailures

DONE = Failure(ConnectionDone())


def test_the_password_goes_out_only_when_the_switch_asks_for_it() -> None:
    connection = Connection()
    accepted = connection.protocol.authenticate("secret")
    assert_that(connection.sent(), equal_to(b""))

    connection.receive(HELLO)
    assert_that(connection.sent(), equal_to(b"auth secret\n\n"))
    assert_that(accepted.called, is_(False))

    connection.receive(reply("+OK accepted"))
    assert_that(accepted.called, is_(True))


def test_a_switch_that_asked_before_gets_the_password_at_once() -> None:
    connection = Connection()
    connection.receive(HELLO)

    accepted = connection.protocol.authenticate("secret")

    assert_that(connection.sent(), equal_to(b"auth secret\n\n"))
    connection.receive(reply("+OK accepted"))
    assert_that(accepted.called, is_(True))


def test_a_wrong_password_is_an_authentication_failure() -> None:
    connection = Connection()
    accepted = connection.protocol.authenticate("wrong")
    connection.receive(server_bytes("conn_auth_bad"))

    assert_that(error_of(accepted), instance_of(AuthenticationFailed))
    assert_that(str(connection.closed[0]), contains_string("Disconnected, goodbye."))


def test_another_answer_to_the_password_is_a_refusal_that_does_not_show_it() -> None:
    connection = Connection()
    accepted = connection.protocol.authenticate("secret")
    connection.receive(HELLO + reply("-ERR command not found"))

    error = error_of(accepted)
    assert_that(error, all_of(instance_of(CommandRefused), not_(instance_of(AuthenticationFailed))))
    assert_that(str(error), equal_to("the switch refused auth ******: -ERR command not found"))


def test_a_rejection_by_the_acl_is_told_to_who_authenticates() -> None:
    connection = Connection()
    accepted = connection.protocol.authenticate("secret")
    connection.receive(server_bytes("conn_acl_reject"))

    assert_that(error_of(accepted), instance_of(AccessDenied))
    assert_that(connection.closed, has_length(1))
    assert_that(connection.closed[0], instance_of(AccessDenied))
    assert_that(connection.transport.disconnecting)


def test_a_rejection_by_the_acl_is_told_to_commands_already_sent() -> None:
    connection = Connection()
    sent = connection.protocol.api("status")
    connection.receive(server_bytes("conn_acl_reject"))

    assert_that(error_of(sent), instance_of(AccessDenied))


def test_a_peer_that_does_not_ask_for_a_password_is_given_up() -> None:
    connection = Connection()
    accepted = connection.protocol.authenticate("secret")

    connection.clock.advance(COMMAND_TIMEOUT)

    assert_that(error_of(accepted), instance_of(NotSent))
    assert_that(connection.transport.disconnecting)
    assert_that(connection.sent(), equal_to(b""))


def test_a_peer_that_closes_before_asking_for_a_password_was_not_told_it() -> None:
    connection = Connection()
    accepted = connection.protocol.authenticate("secret")

    connection.protocol.connectionLost(DONE)

    assert_that(error_of(accepted), instance_of(NotSent))
    assert_that(connection.clock.getDelayedCalls(), is_(empty()))


def test_replies_go_to_commands_in_order_while_events_arrive_in_between() -> None:
    connection = Connection().logged_in()
    first = connection.protocol.api("uuid_exists a")
    second = connection.protocol.send("event json HEARTBEAT")
    third = connection.protocol.bgapi("originate x")
    assert_that(connection.sent(), equal_to(b"api uuid_exists a\n\nevent json HEARTBEAT\n\nbgapi originate x\n\n"))

    connection.receive(event("A") + answer("true") + event("B"))
    assert_that((result_of(first), result_of(second), third.called), equal_to(("true", None, False)))

    connection.receive(reply("+OK event listener enabled json") + reply("+OK Job-UUID: j", Job_UUID="j") + event("C"))
    assert_that(result_of(third), equal_to("j"))
    assert_that([e.name for e in connection.events], equal_to(["A", "B", "C"]))


def replay(connection: Connection, name: str) -> list[tuple[str, Deferred[Frame]]]:
    """Let the connection say what the recording's client said, and hear all that the switch sent."""
    sent = []
    for block in filter(None, map(str.strip, client_bytes(name).decode().split("\n\n"))):
        if block.startswith("auth"):
            connection.receive(HELLO)
            connection.protocol.authenticate("ClueCon")
        else:
            sent.append((block, connection.protocol.send(block)))
    connection.receive(server_bytes(name).removeprefix(HELLO))
    return sent


def test_a_recorded_conversation_of_pipelined_commands_gives_each_its_own_reply() -> None:
    connection = Connection()
    name = "mix_pipelined_two_calls"
    sent = replay(connection, name)

    for block, deferred in sent:
        frame = result_of(deferred)
        kind = "api/response" if block.startswith("api") else "command/reply"
        assert_that(frame, has_properties(content_type=kind), block)
        if block.startswith("api uuid_exists"):
            assert_that(frame.text in ("true", "false"), block)
    assert_that(len(connection.events) > 4)
    assert_that(sent, has_length(INDEX[name]["frames"] - len(connection.events) - 2))


def test_an_api_answer_that_is_an_error_text_is_an_answer() -> None:
    connection = Connection().logged_in()
    asked = connection.protocol.api("JSoriginate")
    connection.receive(answer("-ERR JSoriginate Command not found!\n"))

    assert_that(result_of(asked), equal_to("-ERR JSoriginate Command not found!\n"))


def test_a_reply_that_is_not_ok_is_a_refusal_with_the_text_of_the_switch() -> None:
    connection = Connection().logged_in()
    refused = connection.protocol.send("event json")
    other = connection.protocol.api("status")
    connection.receive(reply("-ERR no keywords supplied") + answer("UP"))

    assert_that(error_of(refused), has_properties(command="event json", reply="-ERR no keywords supplied"))
    assert_that(result_of(other), equal_to("UP"))
    assert_that(connection.closed, is_(empty()))


def test_a_job_id_goes_out_as_a_header_of_the_command() -> None:
    connection = Connection().logged_in()
    job = connection.protocol.bgapi("originate {a=b}user/1 2", job_id="contact-7")

    assert_that(connection.sent(), equal_to(b"bgapi originate {a=b}user/1 2\nJob-UUID: contact-7\n\n"))
    connection.receive(reply("+OK Job-UUID: contact-7", Job_UUID="contact-7"))
    assert_that(result_of(job), equal_to("contact-7"))


def test_a_job_uuid_is_read_from_the_text_when_there_is_no_header() -> None:
    connection = Connection().logged_in()
    job = connection.protocol.bgapi("status")
    connection.receive(reply("+OK Job-UUID: j-1"))

    assert_that(result_of(job), equal_to("j-1"))


def test_events_are_asked_for_as_json() -> None:
    connection = Connection().logged_in()
    connection.protocol.subscribe_json("CHANNEL_ANSWER", "BACKGROUND_JOB")

    assert_that(connection.sent(), equal_to(b"event json CHANNEL_ANSWER BACKGROUND_JOB\n\n"))


@pytest.mark.parametrize("command", ["a\nb", "a\rb", "a\0b", "", "  ", "a\ud800"])
def test_a_command_that_is_not_one_line_of_text_is_refused_unsent(command: str) -> None:
    connection = Connection().logged_in()

    assert_that(error_of(connection.protocol.send(command)), instance_of(BadCommand))
    assert_that(connection.sent(), equal_to(b""))


@pytest.mark.parametrize("job_id", ["a\nb", "a\rb", "a\0b"])
def test_a_job_id_that_is_not_one_line_is_refused_unsent(job_id: str) -> None:
    connection = Connection().logged_in()

    assert_that(error_of(connection.protocol.bgapi("status", job_id)), instance_of(BadCommand))
    assert_that(connection.sent(), equal_to(b""))


def test_a_password_that_cannot_be_carried_is_refused_without_showing_it() -> None:
    connection = Connection()
    connection.receive(HELLO)

    error = error_of(connection.protocol.authenticate("sec\nret"))
    assert_that(error, instance_of(BadCommand))
    assert_that(str(error), not_(contains_string("ret")))


def test_the_loss_of_the_connection_fails_every_command_under_way_and_names_it() -> None:
    connection = Connection()
    accepted = connection.protocol.authenticate("secret")
    connection.receive(HELLO)
    first = connection.protocol.api("uuid_exists a")
    second = connection.protocol.bgapi("originate b", "job-b")

    connection.protocol.connectionLost(DONE)

    for deferred, name in ((accepted, "auth ******"), (first, "api uuid_exists a"), (second, "(job job-b)")):
        error = error_of(deferred)
        assert_that(error, instance_of(ReplyLost))
        assert_that(str(error), all_of(contains_string(name), contains_string("closed by the switch")))
        assert_that(str(error), not_(contains_string("secret")))
    assert_that(connection.clock.getDelayedCalls(), is_(empty()))


def test_a_long_command_is_named_by_its_beginning() -> None:
    connection = Connection().logged_in()
    sent = connection.protocol.bgapi("originate " + "x" * 5000, "j")
    connection.protocol.connectionLost(DONE)

    assert_that(len(str(error_of(sent))) < 250)


def test_a_command_on_a_connection_that_is_gone_was_never_sent() -> None:
    connection = Connection().logged_in()
    connection.protocol.connectionLost(Failure(ConnectionLost()))

    assert_that(error_of(connection.protocol.api("status")), instance_of(NotSent))
    assert_that(error_of(connection.protocol.authenticate("secret")), instance_of(NotSent))


def test_a_command_before_there_is_a_connection_was_never_sent() -> None:
    unconnected = EslProtocol(Connection().clock, on_event=lambda _: None, on_closed=lambda _: None)

    assert_that(error_of(unconnected.api("status")), instance_of(NotSent))
    assert_that(unconnected.close(1).called, is_(True))


def test_a_command_without_a_reply_in_time_gives_the_connection_up() -> None:
    connection = Connection(command_timeout=3.0).logged_in()
    slow = connection.protocol.api("slow")
    connection.clock.advance(1)
    next_one = connection.protocol.api("next")
    connection.clock.advance(1.9)
    assert_that(connection.closed, is_(empty()))

    connection.clock.advance(0.1)

    error = error_of(slow)
    assert_that(error, instance_of(CommandTimedOut))
    assert_that(str(error), equal_to("the switch went silent: no reply to api slow in 3 s"))
    assert_that(connection.closed, equal_to([error]))
    assert_that(error_of(next_one), all_of(instance_of(ReplyLost), not_(instance_of(CommandTimedOut))))
    assert_that(connection.transport.disconnecting)
    assert_that(connection.clock.getDelayedCalls(), is_(empty()))


def test_after_a_stop_of_the_whole_process_what_came_in_meanwhile_is_read_before_a_command_is_given_up() -> None:
    connection = Connection(silence=1000.0).logged_in()
    answered, unanswered = connection.protocol.api("status"), connection.protocol.api("version")

    connection.clock.advance(600)
    connection.receive(event("CHANNEL_HANGUP_COMPLETE") + answer("UP"))

    assert_that((result_of(answered), len(connection.events)), equal_to(("UP", 1)))
    connection.clock.advance(READ_FIRST)
    assert_that(error_of(unanswered), instance_of(CommandTimedOut))


def test_a_reply_in_time_ends_its_time_limit() -> None:
    connection = Connection(silence=1000.0).logged_in()
    connection.protocol.api("status")
    connection.receive(answer("UP"))

    connection.clock.advance(COMMAND_TIMEOUT * 2)

    assert_that(connection.closed, is_(empty()))


def test_a_cancelled_command_leaves_the_order_of_replies_alone() -> None:
    connection = Connection().logged_in()
    cancelled = connection.protocol.api("first")
    kept = connection.protocol.api("second")
    cancelled.cancel()
    assert_that(error_of(cancelled), instance_of(CancelledError))

    connection.receive(answer("1") + answer("2"))

    assert_that(result_of(kept), equal_to("2"))


def test_a_silent_switch_is_asked_whether_it_is_there() -> None:
    connection = Connection().logged_in()
    connection.clock.advance(SILENCE - 1)
    assert_that(connection.sent(), equal_to(b""))

    connection.clock.advance(1)
    assert_that(connection.sent(), equal_to(b"api status\n\n"))

    connection.receive(answer("UP"))
    connection.clock.pump([1.0] * int(SILENCE))
    assert_that(connection.sent(), equal_to(b"api status\n\n"))
    assert_that(connection.closed, is_(empty()))


def test_a_switch_that_stays_silent_is_given_up() -> None:
    connection = Connection().logged_in()

    connection.clock.pump([1.0] * int(SILENCE + COMMAND_TIMEOUT))

    assert_that(connection.closed, has_length(1))
    assert_that(str(connection.closed[0]), contains_string("went silent"))


def test_a_switch_that_sends_events_is_not_asked_whether_it_is_there() -> None:
    connection = Connection().logged_in()

    for _ in range(10):
        connection.clock.advance(SILENCE * 0.9)
        connection.receive(event("HEARTBEAT"))

    assert_that(connection.sent(), equal_to(b""))


def test_a_notice_of_the_switch_ends_the_connection_and_is_the_reason() -> None:
    connection = Connection().logged_in()
    sent = connection.protocol.api("status")
    connection.receive(server_bytes("stop_fsctl_shutdown_B").removeprefix(HELLO + reply("+OK accepted")))

    assert_that(result_of(sent), equal_to("+OK\n"))
    assert_that(str(connection.closed[0]), contains_string("The system is being shut down."))
    assert_that(error_of(connection.protocol.api("status")), instance_of(NotSent))


def test_events_before_a_shutdown_are_all_told() -> None:
    connection = Connection()
    replay(connection, "stop_fsctl_shutdown")

    assert_that([e.name for e in connection.events].count("CHANNEL_HANGUP_COMPLETE"), equal_to(4))
    assert_that([e.name for e in connection.events][-1], equal_to("MODULE_UNLOAD"))


def test_garbage_ends_the_connection_after_the_frames_before_it() -> None:
    connection = Connection().logged_in()
    answered, lost = connection.protocol.api("one"), connection.protocol.api("two")

    connection.receive(answer("1") + b"garbage\n\n")

    assert_that(result_of(answered), equal_to("1"))
    assert_that(error_of(lost), instance_of(ReplyLost))
    assert_that(connection.closed[0], instance_of(WireError))


def test_a_reply_that_nobody_asked_for_ends_the_connection() -> None:
    connection = Connection().logged_in()

    connection.receive(answer("what?") + event("A"))

    assert_that(connection.closed[0], instance_of(WireError))
    assert_that(connection.events, is_(empty()))


def test_an_event_that_does_not_parse_is_dropped_and_logged() -> None:
    connection = Connection().logged_in()
    with capturedLogs() as logs:
        connection.receive(b"Content-Length: 1\nContent-Type: text/event-json\n\n{" + event("A"))

    assert_that([e.name for e in connection.events], equal_to(["A"]))
    assert_that([log["log_format"] for log in logs], equal_to(["an event was dropped: {reason}"]))


def test_log_lines_and_unknown_frames_are_ignored() -> None:
    connection = Connection().logged_in()
    sent = connection.protocol.api("status")
    connection.receive(b"Content-Type: log/data\nContent-Length: 3\n\nabcContent-Type: text/new\n\n" + answer("UP"))

    assert_that(result_of(sent), equal_to("UP"))


def test_what_handles_events_may_fail_without_harm(logged_failures: LoggedFailures) -> None:
    heard: list[str] = []

    def stumble(event: object) -> None:
        heard.append(event.name)  # type: ignore[attr-defined]
        raise RuntimeError("in the test")

    connection = Connection(on_event=stumble).logged_in()
    connection.receive(event("A") + event("B"))

    assert_that(heard, equal_to(["A", "B"]))
    assert_that(logged_failures.flush(RuntimeError), has_length(2))
    assert_that(connection.closed, is_(empty()))


def test_who_hears_of_a_failed_command_finds_the_connection_closed() -> None:
    connection = Connection().logged_in()
    seen: list[int] = []
    connection.protocol.api("status").addErrback(lambda _: seen.append(len(connection.closed)))

    connection.protocol.connectionLost(DONE)

    assert_that(seen, equal_to([1]))


def test_the_end_is_told_once() -> None:
    connection = Connection().logged_in()
    connection.receive(BYE)
    connection.protocol.abort()
    connection.protocol.connectionLost(DONE)

    assert_that(connection.closed, has_length(1))


def test_leaving_waits_for_replies_under_way_and_says_exit() -> None:
    connection = Connection().logged_in()
    under_way = connection.protocol.bgapi("originate x")
    gone = connection.protocol.close(3.0)
    assert_that(connection.sent(), equal_to(b"bgapi originate x\n\nexit\n\n"))
    assert_that(error_of(connection.protocol.api("status")), instance_of(NotSent))

    connection.receive(reply("+OK Job-UUID: j", Job_UUID="j") + reply("+OK bye") + BYE)
    assert_that(result_of(under_way), equal_to("j"))
    assert_that(result_of(gone), none())

    connection.protocol.connectionLost(DONE)
    assert_that(gone.called, is_(True))
    assert_that(connection.clock.getDelayedCalls(), is_(empty()))


def test_leaving_a_switch_that_does_not_answer_is_bounded() -> None:
    connection = Connection().logged_in()
    under_way = connection.protocol.api("status")
    connection.protocol.close(3.0)

    connection.clock.advance(3.0)

    assert_that(connection.transport.disconnecting)
    assert_that(error_of(under_way), instance_of(ReplyLost))


def test_leaving_twice_says_exit_once() -> None:
    connection = Connection().logged_in()
    connection.protocol.close(3.0)
    again = connection.protocol.close(3.0)

    assert_that(connection.sent(), equal_to(b"exit\n\n"))
    connection.protocol.connectionLost(DONE)
    assert_that(again.called, is_(True))


def test_commands_that_may_wait_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "MAX_OUTSTANDING", 2)
    connection = Connection().logged_in()
    for _ in range(2):
        connection.protocol.api("status")
    connection.sent()

    assert_that(error_of(connection.protocol.api("status")), instance_of(NotSent))
    assert_that(connection.sent(), equal_to(b""))


def test_an_abort_fails_what_is_under_way() -> None:
    connection = Connection().logged_in()
    under_way = connection.protocol.api("status")

    connection.protocol.abort()

    assert_that(error_of(under_way), instance_of(ReplyLost))
    assert_that(connection.closed, contains_exactly(instance_of(ConnectionLostError)))


def test_an_event_that_does_not_parse_is_told_as_dropped() -> None:
    dropped: list[None] = []
    connection = Connection(on_dropped=lambda: dropped.append(None)).logged_in()
    with capturedLogs():
        connection.receive(b"Content-Length: 1\nContent-Type: text/event-json\n\n{" + event("A"))
    assert_that(dropped, has_length(1))


def test_an_event_that_was_only_skimmed_is_dropped_when_it_is_read_and_does_not_parse() -> None:
    dropped: list[None] = []
    names: list[str] = []
    causes: list[str | None] = []

    def note(event: Event) -> None:
        names.append(event.name)
        causes.append(event.get("Hangup-Cause"))

    connection = Connection(on_event=note, on_dropped=lambda: dropped.append(None), skims=lambda: True).logged_in()
    bodies = [b'{"Event-Name":"CHANNEL_ANSWER","Unique-ID":"c1",', b'{"Event-Name":"X","Hangup-Cause":"A"}']
    for body in bodies:
        connection.receive(b"Content-Length: %d\nContent-Type: text/event-json\n\n%b" % (len(body), body))

    assert_that((names, causes), equal_to((["CHANNEL_ANSWER", "X"], ["A"])))
    assert_that(dropped, has_length(1))
