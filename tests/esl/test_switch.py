"""The connection to one switch: when it is up, ready or down, and what its commands do then."""

from __future__ import annotations

from typing import Any

import pytest
from hamcrest import (
    all_of,
    assert_that,
    contains_string,
    empty,
    ends_with,
    equal_to,
    greater_than,
    has_item,
    has_length,
    has_properties,
    instance_of,
    is_,
    less_than,
    less_than_or_equal_to,
    none,
    not_,
    starts_with,
)
from twisted.internet.defer import Deferred
from twisted.internet.error import DNSLookupError, NoRouteError
from twisted.logger import LogLevel, capturedLogs, formatEvent

from dialer.esl.errors import BadCommand, CommandRefused, ReplyLost, SwitchDown
from dialer.esl.gateways import GatewayStatus
from dialer.esl.protocol import COMMAND_TIMEOUT
from dialer.esl.switch import GOODBYE, LASTED, RECONCILE_AGAIN
from dialer.trouble import Trouble
from tests.esl.rig import Rig
from tests.esl.support import BYE, HELLO, answer, error_of, event, reply, result_of
from tests.esl.transcripts import server_bytes
from tests.hygiene import LoggedFailures

COMPARING = "its live calls are not yet compared with the contacts"


def run(coroutine: Any) -> Deferred[Any]:
    return Deferred.fromCoroutine(coroutine)


def up() -> tuple[Rig, Any]:
    rig = Rig().start()
    link = rig.log_in()
    assert rig.switch.ready
    return rig, link


# Becoming ready


def test_a_switch_logs_in_subscribes_and_probes_before_it_is_connected() -> None:
    rig = Rig().start()
    link = rig.accept()
    link.receive(HELLO)
    assert_that(link.sent(), equal_to("auth secret\n\n"))
    link.receive(reply("+OK accepted"))
    assert_that(
        link.sent(), equal_to("event json CHANNEL_ANSWER CHANNEL_BRIDGE CHANNEL_HANGUP_COMPLETE BACKGROUND_JOB\n\n")
    )
    link.receive(reply("+OK event listener enabled json"))
    assert_that(link.sent(), equal_to("api JSoriginate\n\n"))
    assert_that((rig.switch.connected, rig.states), equal_to((False, [])))

    link.receive(answer("-ERR JSoriginate Command not found!\n"))

    assert_that(rig.states, equal_to([(True, False, COMPARING), (True, True, None)]))


def test_a_switch_is_ready_only_when_its_calls_were_compared() -> None:
    rig = Rig()
    rig.compare_at_once = False
    rig.start().log_in()
    assert_that((rig.switch.connected, rig.switch.ready, rig.switch.reason), equal_to((True, False, COMPARING)))
    assert_that(error_of(run(rig.switch.originate("x", "j"))), instance_of(SwitchDown))

    rig.comparing[0].callback(None)

    assert_that((rig.switch.ready, rig.switch.reason), equal_to((True, None)))


def test_a_switch_can_be_asked_while_its_calls_are_compared() -> None:
    rig = Rig()
    rig.compare_at_once = False
    link = rig.start().log_in()
    calls = run(rig.switch.live_calls())
    link.receive(answer('{"row_count": 0}'))

    assert_that(result_of(calls), equal_to(frozenset()))


def test_a_comparison_that_fails_is_tried_again_on_the_same_connection(logged_failures: LoggedFailures) -> None:
    rig = Rig()
    rig.compare_at_once = False
    rig.start().log_in()
    rig.comparing[0].errback(RuntimeError("no database"))
    assert_that(rig.switch.reason, equal_to("its live calls could not be compared with the contacts: no database"))
    assert_that((rig.switch.connected, rig.switch.ready), equal_to((True, False)))
    assert_that(logged_failures.flush(RuntimeError), has_length(1))

    rig.clock.advance(RECONCILE_AGAIN)
    rig.comparing[1].callback(None)

    assert_that(rig.switch.ready, is_(True))
    assert_that(rig.endpoint.attempts, has_length(1))


def test_a_connection_lost_between_two_comparisons_is_made_anew_without_delay(logged_failures: LoggedFailures) -> None:
    rig = Rig()
    rig.compare_at_once = False
    link = rig.start().log_in()
    rig.comparing[0].errback(RuntimeError())
    logged_failures.flush(RuntimeError)
    link.lose()

    assert_that(rig.next_attempt(), less_than(2.0))


def test_a_comparison_is_never_cancelled_nor_run_twice_at_once() -> None:
    rig = Rig()
    rig.compare_at_once = False
    link = rig.start().log_in()
    link.lose()
    assert_that((rig.switch.connected, rig.comparing[0].called), equal_to((False, False)))
    rig.clock.advance(100)
    assert_that(rig.endpoint.attempts, has_length(1))

    rig.comparing[0].callback(None)

    assert_that(rig.switch.ready, is_(False))
    rig.next_attempt()
    rig.log_in()
    assert_that(rig.comparing, has_length(2))


def test_events_are_told_with_the_switch_they_came_from() -> None:
    told: list[Any] = []
    rig = Rig(on_event=lambda switch, event: told.append((switch, event.name))).start()
    rig.log_in().receive(event("CHANNEL_ANSWER"))

    assert_that(told, equal_to([(rig.switch, "CHANNEL_ANSWER")]))


# The originate command


@pytest.mark.parametrize(
    ("setting", "probe", "verb"),
    [
        ("auto", "-ERR JSoriginate Command not found!\n", "originate"),
        ("auto", "-USAGE: JSoriginate ...\n", "JSoriginate"),
        ("auto", "-ERR no arguments\n", "JSoriginate"),
        ("originate", "", "originate"),
        ("JSoriginate", "", "JSoriginate"),
    ],
)
def test_the_originate_command_is_the_configured_one_or_the_one_that_the_switch_has(
    setting: str, probe: str, verb: str
) -> None:
    rig = Rig(originate_command=setting).start()
    link = rig.log_in(answer(probe))
    run(rig.switch.originate("{a=b}sofia/gateway/g/1 2 XML h", "contact-1"))

    assert_that(link.sent(), equal_to(f"bgapi {verb} {{a=b}}sofia/gateway/g/1 2 XML h\nJob-UUID: contact-1\n\n"))


def test_the_originate_command_is_asked_for_again_on_each_connection() -> None:
    rig, link = up()
    link.lose()
    rig.next_attempt()
    link = rig.log_in(answer("-USAGE: JSoriginate\n"))
    run(rig.switch.originate("x", "j"))

    assert_that(link.sent(), starts_with("bgapi JSoriginate x"))


def test_a_disabled_switch_stays_connected_but_is_not_dialed_through() -> None:
    rig, _ = up()
    rig.switch.disable("JSoriginate is unknown to it")

    assert_that(
        (rig.switch.connected, rig.switch.ready, rig.switch.reason),
        equal_to((True, False, "JSoriginate is unknown to it")),
    )
    assert_that(error_of(run(rig.switch.originate("x", "j"))), instance_of(SwitchDown))


def test_a_disabled_switch_is_tried_again_on_the_next_connection() -> None:
    rig, link = up()
    rig.switch.disable("JSoriginate is unknown to it")
    link.lose()
    rig.next_attempt()
    rig.log_in()

    assert_that(rig.switch.ready, is_(True))


def test_a_switch_disabled_while_its_calls_are_compared_does_not_become_ready() -> None:
    rig = Rig()
    rig.compare_at_once = False
    rig.start().log_in()
    rig.switch.disable("JSoriginate is unknown to it")
    rig.comparing[0].callback(None)

    assert_that((rig.switch.ready, rig.switch.reason), equal_to((False, "JSoriginate is unknown to it")))


def test_a_switch_that_is_down_cannot_be_disabled() -> None:
    rig = Rig().start()
    rig.refuse()
    rig.switch.disable("whatever")

    assert_that(rig.switch.reason, starts_with("connection refused"))


# Why it is down


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (None, "connection refused: nothing listens on that port"),
        (DNSLookupError("no results"), "unknown host name"),
        (NoRouteError(), "No route to host."),
    ],
)
def test_an_attempt_that_fails_is_the_reason(error: Exception | None, reason: str) -> None:
    rig = Rig().start()
    rig.refuse(error)

    assert_that(rig.states, equal_to([(False, False, reason)]))


def test_an_attempt_to_connect_is_bounded() -> None:
    rig = Rig().start()
    rig.clock.advance(COMMAND_TIMEOUT)

    assert_that(rig.switch.reason, equal_to("no answer to the attempt to connect"))


@pytest.mark.parametrize(
    ("received", "reason"),
    [
        (server_bytes("conn_auth_bad"), "Wrong password: the switch answered -ERR invalid (see ESL_PASSWORD)."),
        (server_bytes("conn_acl_reject"), "Access denied by the switch's ACL"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "what listens there is not an event socket, or is out of step: not a header"),
        (HELLO + BYE, "the switch closed the connection: Disconnected, goodbye."),
        (HELLO + reply("+OK accepted") + reply("-ERR no"), "the switch refused event json CHANNEL_ANSWER"),
    ],
)
def test_a_log_in_that_fails_is_the_reason_and_ends_the_connection(received: bytes, reason: str) -> None:
    rig = Rig().start()
    link = rig.accept()
    link.receive(received)

    assert_that(rig.states, has_length(1))
    assert_that(rig.switch.reason, all_of(starts_with(reason), not_(contains_string("secret"))))
    assert_that(link.transport.disconnecting)


def test_a_peer_that_says_nothing_is_the_reason() -> None:
    rig = Rig().start()
    rig.accept()
    rig.clock.advance(COMMAND_TIMEOUT)

    assert_that(rig.switch.reason, equal_to("no event socket: nothing asked for a password in 10 s"))


def test_a_lost_connection_is_the_reason_at_once() -> None:
    rig, link = up()
    asked = run(rig.switch.exists("a"))
    seen: list[bool] = []
    asked.addErrback(lambda _: seen.append(rig.switch.connected))
    link.lose()

    assert_that(rig.states[-1], equal_to((False, False, "the connection was lost: closed by the switch")))
    assert_that(seen, equal_to([False]))


def test_a_switch_that_shuts_down_is_the_reason() -> None:
    rig, link = up()
    _, notice, text = server_bytes("stop_fsctl_shutdown_B").partition(b"Content-Type: text/disconnect-notice")
    link.receive(notice, text)

    assert_that(rig.switch.reason, ends_with("The system is being shut down."))


def test_a_switch_that_went_silent_is_the_reason() -> None:
    rig, _ = up()
    rig.clock.pump([1.0] * 30)

    assert_that(rig.switch.reason, equal_to("the switch went silent: no reply to api status in 10 s"))


def test_the_time_of_the_last_change_is_known() -> None:
    rig = Rig()
    rig.clock.advance(5)
    link = rig.start().log_in()
    assert_that(rig.switch.since, equal_to(5.0))
    rig.clock.advance(7)
    link.lose()

    assert_that(rig.switch.since, equal_to(12.0))


def test_while_it_is_not_ready_it_tells_since_when_that_is_and_the_last_reason() -> None:
    rig = Rig()
    rig.clock.advance(5)
    assert_that(rig.switch.trouble, equal_to(Trouble(5.0, "not connected yet")))
    link = rig.start().log_in()
    assert_that(rig.switch.trouble, none())
    rig.clock.advance(7)
    link.lose()
    first = rig.switch.trouble
    rig.clock.advance(3)

    assert_that(rig.switch.trouble, has_properties(seconds=first.seconds + 3))


def test_each_change_of_state_is_logged_once_and_never_the_password() -> None:
    with capturedLogs() as logs:
        rig = Rig().start()
        for _ in range(3):
            rig.refuse()
            rig.next_attempt()
        rig.log_in().lose()
        rig.next_attempt()
        rig.accept().receive(server_bytes("conn_auth_bad"))

    texts = [formatEvent(log) for log in logs if log["log_namespace"].startswith("dialer")]
    assert_that(
        texts,
        equal_to(
            [
                "NO EFSWITCH CONNECTION to pbx:8021: connection refused: nothing listens on that port",
                f"EFSwitch pbx:8021 is connected, but not used: {COMPARING}",
                "EFSwitch pbx:8021 is connected and ready",
                "NO EFSWITCH CONNECTION to pbx:8021: the connection was lost: closed by the switch",
                "NO EFSWITCH CONNECTION to pbx:8021: Wrong password: the switch answered -ERR invalid "
                "(see ESL_PASSWORD).",
            ]
        ),
    )
    assert_that([log["log_level"] for log in logs], has_item(LogLevel.error))
    assert_that("secret" in str(logs), is_(False))


def test_who_hears_of_changes_may_fail_without_harm(logged_failures: LoggedFailures) -> None:
    def stumble(_: object) -> None:
        raise RuntimeError

    rig = Rig(on_change=stumble).start()
    rig.log_in()

    assert_that(rig.switch.ready, is_(True))
    assert_that(logged_failures.flush(RuntimeError), has_length(2))


def test_an_error_nobody_foresaw_is_logged_and_connecting_goes_on(logged_failures: LoggedFailures) -> None:
    rig = Rig()
    connect = rig.endpoint.connect

    def broken(factory: Any) -> Any:
        rig.endpoint.connect = connect  # type: ignore[method-assign]
        raise ZeroDivisionError

    rig.endpoint.connect = broken  # type: ignore[method-assign]
    rig.start()
    assert_that(logged_failures.flush(ZeroDivisionError), has_length(1))
    assert_that(rig.switch.reason, equal_to("a fault of the dialer itself: ZeroDivisionError()"))

    rig.next_attempt()
    rig.log_in()
    assert_that(rig.switch.ready, is_(True))


# Connecting again


def test_waits_between_attempts_start_short_and_grow_to_the_longest() -> None:
    rig = Rig(connect_delay=60.0).start()
    waits = []
    for _ in range(12):
        rig.refuse()
        waits.append(rig.next_attempt())

    assert_that(waits[0], less_than_or_equal_to(1.01))
    assert_that(max(waits), less_than_or_equal_to(60.01))
    assert_that(min(waits[-3:]), greater_than(29.0))


def test_a_wrong_password_does_not_loop_fast() -> None:
    rig = Rig().start()
    waits = []
    for _ in range(8):
        rig.accept().receive(server_bytes("conn_auth_bad"))
        waits.append(rig.next_attempt())

    assert_that(sum(waits), greater_than(60.0))


def test_a_switch_that_drops_each_connection_soon_after_the_log_in_is_left_more_and_more_alone() -> None:
    rig = Rig().start()
    waits = []
    for _ in range(8):
        rig.log_in().lose()
        waits.append(rig.next_attempt())

    assert_that(sum(waits), greater_than(60.0))


def test_a_connection_that_lasted_makes_the_next_wait_short() -> None:
    rig = Rig().start()
    for _ in range(8):
        rig.refuse()
        rig.next_attempt()
    link = rig.log_in()
    rig.clock.advance(LASTED)
    link.lose()

    assert_that(rig.next_attempt(), less_than_or_equal_to(0.51))


# The first attempt


def test_the_first_attempt_has_ended_when_the_switch_is_ready() -> None:
    rig = Rig()
    rig.compare_at_once = False
    first = rig.start().switch.first_attempt()
    rig.log_in()
    assert_that(first.called, is_(False))

    rig.comparing[0].callback(None)

    assert_that(first.called, is_(True))
    assert_that(rig.switch.first_attempt().called, is_(True))


def test_the_first_attempt_has_ended_when_it_failed() -> None:
    rig = Rig()
    firsts = [rig.switch.first_attempt(), rig.start().switch.first_attempt()]
    rig.refuse()

    assert_that([first.called for first in firsts], equal_to([True, True]))


def test_the_first_attempt_has_ended_when_the_log_in_failed() -> None:
    rig = Rig().start()
    first = rig.switch.first_attempt()
    rig.accept().receive(server_bytes("conn_acl_reject"))

    assert_that(first.called, is_(True))


def test_the_first_attempt_has_ended_when_the_comparison_failed(logged_failures: LoggedFailures) -> None:
    rig = Rig()
    rig.compare_at_once = False
    first = rig.start().switch.first_attempt()
    rig.log_in()
    rig.comparing[0].errback(RuntimeError())

    assert_that(first.called, is_(True))
    logged_failures.flush(RuntimeError)


def test_the_first_attempt_has_ended_when_the_service_stops() -> None:
    rig = Rig().start()
    first = rig.switch.first_attempt()
    rig.stop()

    assert_that(first.called, is_(True))


# Questions and commands


def test_a_gateway_is_asked_for_by_name_once_for_all_who_ask() -> None:
    rig, link = up()
    askers = [run(rig.switch.gateway("gw-1")) for _ in range(2)]
    assert_that(link.sent(), equal_to("api sofia status gateway gw-1\n\n"))
    link.receive(answer("State\tNOREG\nStatus  \tUP (ping)\n"))

    assert_that([result_of(asker) for asker in askers], equal_to([GatewayStatus.UP] * 2))


def test_what_a_gateway_was_is_forgotten_with_the_connection() -> None:
    rig, link = up()
    run(rig.switch.gateway("gw"))
    link.receive(answer("Status  \tUP\n"))
    link.lose()
    rig.next_attempt()
    link = rig.log_in()
    run(rig.switch.gateway("gw"))

    assert_that(link.sent(), equal_to("api sofia status gateway gw\n\n"))


def test_an_originate_is_written_before_the_call_first_waits() -> None:
    rig, link = up()
    coroutine = rig.switch.originate("x y", "contact-1")
    coroutine.send(None)  # its first step, by hand: nothing else can have written

    assert_that(link.sent(), equal_to("bgapi originate x y\nJob-UUID: contact-1\n\n"))
    coroutine.close()


def test_an_originate_gives_the_job_uuid_of_the_reply() -> None:
    rig, link = up()
    job = run(rig.switch.originate("x", "contact-1"))
    link.receive(reply("+OK Job-UUID: contact-1", Job_UUID="contact-1"))

    assert_that(result_of(job), equal_to("contact-1"))


def test_an_originate_without_a_connection_was_never_sent() -> None:
    rig = Rig().start()
    rig.refuse()
    error = error_of(run(rig.switch.originate("x", "j")))

    assert_that(error, instance_of(SwitchDown))
    assert_that(str(error), contains_string("pbx:8021 cannot be used: connection refused"))


def test_an_originate_whose_reply_is_lost_may_have_been_acted_on() -> None:
    rig, link = up()
    job = run(rig.switch.originate("x", "j"))
    link.lose()

    assert_that(error_of(job), instance_of(ReplyLost))


def test_an_originate_that_is_not_answered_in_time_may_have_been_acted_on() -> None:
    rig, _ = up()
    job = run(rig.switch.originate("x", "j"))
    rig.clock.advance(COMMAND_TIMEOUT)

    assert_that(error_of(job), instance_of(ReplyLost))
    assert_that(rig.switch.connected, is_(False))


def test_an_originate_that_is_refused_says_how() -> None:
    rig, link = up()
    job = run(rig.switch.originate("x", "j"))
    link.receive(reply("-ERR permission denied"))

    assert_that(error_of(job), instance_of(CommandRefused))


def test_an_originate_of_two_lines_is_never_sent() -> None:
    rig, link = up()

    assert_that(error_of(run(rig.switch.originate("x\n\napi fsctl shutdown", "j"))), instance_of(BadCommand))
    assert_that(link.sent(), equal_to(""))


@pytest.mark.parametrize("question", ["gateway", "exists"])
def test_a_question_without_a_connection_or_an_answer_raises_switch_down(question: str) -> None:
    rig, link = up()
    asked = run(getattr(rig.switch, question)("a"))
    link.lose()

    assert_that(error_of(asked), instance_of(SwitchDown))
    assert_that(error_of(run(getattr(rig.switch, question)("a"))), instance_of(SwitchDown))
    assert_that(error_of(run(rig.switch.live_calls())), instance_of(SwitchDown))


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ('{"row_count": 0}', frozenset()),
        ('{"row_count":0,"rows":[]}', frozenset()),
        ('{"row_count":2,"rows":[{"uuid":"a","state":"CS_EXECUTE"},{"uuid":"b"}]}\n', frozenset({"a", "b"})),
    ],
)
def test_live_calls_are_the_uuids_of_all_channels(text: str, calls: frozenset[str]) -> None:
    rig, link = up()
    asked = run(rig.switch.live_calls())
    assert_that(link.sent(), equal_to("api show channels as json\n\n"))
    link.receive(answer(text))

    assert_that(result_of(asked), equal_to(calls))


@pytest.mark.parametrize(
    "text",
    ["", "-ERR no reply\n", '{"row_count":2,"rows":[{"uuid":"a"}]}', "{}", "[]", '{"row_count":1,"rows":[{}]}', '"x"'],
)
def test_a_list_of_live_calls_that_cannot_be_relied_on_is_no_list(text: str) -> None:
    rig, link = up()
    asked = run(rig.switch.live_calls())
    link.receive(answer(text))

    assert_that(error_of(asked), instance_of(CommandRefused))


@pytest.mark.parametrize(("text", "exists"), [("true", True), ("false", False), ("false\n", False)])
def test_whether_a_call_exists_is_asked_by_its_uuid(text: str, exists: bool) -> None:
    rig, link = up()
    asked = run(rig.switch.exists("contact-1"))
    assert_that(link.sent(), equal_to("api uuid_exists contact-1\n\n"))
    link.receive(answer(text))

    assert_that(result_of(asked), equal_to(exists))


def test_an_answer_that_is_neither_true_nor_false_is_none() -> None:
    rig, link = up()
    asked = run(rig.switch.exists("contact-1"))
    link.receive(answer("-ERR no reply\n"))

    assert_that(error_of(asked), instance_of(CommandRefused))


# Stopping


def test_stopping_lets_a_command_under_way_finish_and_says_exit() -> None:
    rig, link = up()
    job = run(rig.switch.originate("x", "j"))
    stopped = rig.switch.stopService()
    assert_that(link.sent(), ends_with("exit\n\n"))
    assert_that((rig.switch.connected, rig.switch.reason), equal_to((False, "the dialer is stopping")))
    assert_that(error_of(run(rig.switch.originate("y", "k"))), instance_of(SwitchDown))

    link.receive(reply("+OK Job-UUID: j", Job_UUID="j"), reply("+OK bye"), BYE)
    link.lose()

    assert_that(result_of(job), equal_to("j"))
    assert_that(stopped.called, is_(True))
    assert_that(rig.clock.getDelayedCalls(), is_(empty()))


def test_stopping_is_not_logged_as_an_outage() -> None:
    rig, _ = up()
    with capturedLogs() as logs:
        rig.stop()

    assert_that([formatEvent(log) for log in logs], equal_to(["leaving EFSwitch pbx:8021: the dialer is stopping"]))


def test_stopping_a_switch_that_does_not_answer_is_bounded() -> None:
    rig, link = up()
    stopped = rig.switch.stopService()
    rig.clock.advance(GOODBYE)
    assert_that(link.transport.disconnecting)
    link.lose()  # as a real transport tells after it was aborted

    assert_that(stopped.called, is_(True))
    assert_that(rig.clock.getDelayedCalls(), is_(empty()))


def test_stopping_ends_a_wait_for_the_next_attempt() -> None:
    rig = Rig().start()
    rig.refuse()
    stopped = rig.switch.stopService()

    assert_that(stopped.called, is_(True))
    assert_that(rig.clock.getDelayedCalls(), is_(empty()))


def test_stopping_ends_an_attempt_to_connect() -> None:
    rig = Rig().start()
    stopped = rig.switch.stopService()

    assert_that(stopped.called, is_(True))
    assert_that(rig.clock.getDelayedCalls(), is_(empty()))


def test_stopping_ends_a_log_in() -> None:
    rig = Rig().start()
    link = rig.accept()
    stopped = rig.switch.stopService()
    rig.clock.advance(GOODBYE)
    link.lose()

    assert_that(stopped.called, is_(True))
    assert_that(rig.clock.getDelayedCalls(), is_(empty()))


def test_stopping_waits_only_so_long_for_a_comparison_and_does_not_cancel_it() -> None:
    rig = Rig()
    rig.compare_at_once = False
    link = rig.start().log_in()
    stopped = rig.switch.stopService()
    link.lose()
    assert_that(stopped.called, is_(False))

    rig.clock.advance(GOODBYE)

    assert_that(result_of(stopped), none())
    assert_that((stopped.called, rig.comparing[0].called), equal_to((True, False)))
    rig.comparing[0].callback(None)
    assert_that(rig.switch.ready, is_(False))


def test_stopping_what_never_started_is_nothing() -> None:
    assert_that(Rig().switch.stopService().called, is_(True))
