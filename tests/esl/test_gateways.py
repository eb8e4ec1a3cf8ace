"""What a switch says of a gateway, and how often it is asked."""

from __future__ import annotations

import pytest
from hamcrest import assert_that, empty, equal_to, has_length, instance_of, is_, not_none
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from dialer.esl import gateways
from dialer.esl.errors import ReplyLost
from dialer.esl.gateways import FRESH, Gateways, GatewayStatus, KnownGateway, read_status
from dialer.esl.wire import Parser
from tests.esl.support import error_of, result_of
from tests.esl.transcripts import client_bytes, server_bytes

UP = "Name    \tx\nState   \tNOREG\nStatus  \tUP\nUptime  \t18s\n"


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (UP, GatewayStatus.UP),
        ("State   \tNOREG\nStatus  \tUP (ping)\nUptime  \t5s\n", GatewayStatus.UP),
        ("State   \tNOREG\nStatus  \tDOWN\nUptime  \t0s\n", GatewayStatus.DOWN),
        ("State   \tNOREG\nStatus  \tDOWN (ping)\n", GatewayStatus.DOWN),
        ("State   \tTRYING\nStatus  \tUPSIDE\n", GatewayStatus.DOWN),
        ("Invalid Gateway!\n", GatewayStatus.INVALID),
        ("-ERR sofia Command not found!\n", None),
        ("PingState\t1/1/1\nState   \tUP\n", None),
        ("", None),
    ],
)
def test_only_the_line_status_of_an_answer_counts(answer: str, status: GatewayStatus | None) -> None:
    assert_that(read_status(answer), equal_to(status))


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("api_gateway_down_then_up", {GatewayStatus.UP, GatewayStatus.DOWN}),
        ("api_sofia_status", {GatewayStatus.UP, GatewayStatus.DOWN, GatewayStatus.INVALID}),
    ],
)
def test_every_recorded_answer_about_one_gateway_is_understood(name: str, seen: set[GatewayStatus]) -> None:
    frames = Parser().feed(server_bytes(name))
    replies = [f for f in frames if f.content_type in ("api/response", "command/reply")]
    commands = [c.strip() for c in client_bytes(name).decode().split("\n\n") if c.strip()]
    answers = [
        read_status(reply.text)
        for command, reply in zip(commands, replies, strict=True)
        if command.startswith("api sofia status gateway ")
    ]
    for answer in answers:
        assert_that(answer, not_none())
    assert_that(set(answers), equal_to(seen))


class Asked:
    """Gateways, and the questions that they sent."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.questions: list[tuple[str, Deferred[str]]] = []
        self.gateways = Gateways(self.clock, self.ask)

    def ask(self, gateway_id: str) -> Deferred[str]:
        question: Deferred[str] = Deferred()
        self.questions.append((gateway_id, question))
        return question


def test_those_who_ask_at_once_share_one_question() -> None:
    asked = Asked()
    askers = [asked.gateways.status("gw") for _ in range(3)]
    assert_that(asked.questions, has_length(1))

    asked.questions[0][1].callback(UP)

    assert_that([result_of(asker) for asker in askers], equal_to([GatewayStatus.UP] * 3))


def test_an_answer_serves_for_a_second_after_it_came() -> None:
    asked = Asked()
    asked.gateways.status("gw")
    asked.clock.advance(5)
    asked.questions[0][1].callback(UP)

    asked.clock.advance(FRESH)
    assert_that(result_of(asked.gateways.status("gw")), equal_to(GatewayStatus.UP))
    asked.clock.advance(0.01)
    later = asked.gateways.status("gw")
    assert_that(asked.questions, has_length(2))
    asked.questions[1][1].callback("Status\tDOWN\n")
    assert_that(result_of(later), equal_to(GatewayStatus.DOWN))


def test_each_gateway_is_a_question_of_its_own() -> None:
    asked = Asked()
    asked.gateways.status("a")
    asked.gateways.status("b")

    assert_that([gateway for gateway, _ in asked.questions], equal_to(["a", "b"]))


def test_a_question_without_an_answer_fails_for_all_who_asked_and_is_asked_anew() -> None:
    asked = Asked()
    askers = [asked.gateways.status("gw") for _ in range(2)]
    asked.questions[0][1].errback(ReplyLost())

    assert_that([type(error_of(asker)) for asker in askers], equal_to([ReplyLost] * 2))
    asked.gateways.status("gw")
    assert_that(asked.questions, has_length(2))


def test_who_stops_waiting_leaves_the_others_waiting() -> None:
    asked = Asked()
    impatient, patient = asked.gateways.status("gw"), asked.gateways.status("gw")
    impatient.cancel()
    assert_that(error_of(impatient), instance_of(CancelledError))

    asked.questions[0][1].callback(UP)

    assert_that(result_of(patient), equal_to(GatewayStatus.UP))


@pytest.mark.parametrize("gateway_id", ["", " ", "a b", "a\n", "a/b", "profile::a", "{x}", "\u00fc"])
def test_what_cannot_be_a_gateway_is_invalid_without_asking(gateway_id: str) -> None:
    asked = Asked()

    assert_that(result_of(asked.gateways.status(gateway_id)), equal_to(GatewayStatus.INVALID))
    assert_that(asked.questions, is_(empty()))


def test_an_answer_that_says_nothing_of_the_gateway_counts_as_down_and_is_logged() -> None:
    asked = Asked()
    asker = asked.gateways.status("gw")
    with capturedLogs() as logs:
        asked.questions[0][1].callback("-ERR sofia Command not found!\n")

    assert_that(result_of(asker), equal_to(GatewayStatus.DOWN))
    assert_that([log["gateway"] for log in logs], equal_to(["gw"]))


def test_old_answers_are_not_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateways, "MAX_KEPT", 3)
    asked = Asked()
    for number in range(10):
        asked.gateways.status(f"gw{number}")
        asked.questions[-1][1].callback(UP)
        asked.clock.advance(FRESH + 1)

    assert_that(len(asked.gateways._answers) <= 3)


def test_what_was_heard_of_a_gateway_is_known_with_since_when_it_is_so() -> None:
    clock, answers = Clock(), iter([UP, UP, "Status  \tDOWN\n", "Invalid Gateway!\n"])
    known = Gateways(clock, lambda _: succeed(next(answers)))
    for gateway_id in ("gw-2", "gw-2", "gw-2", "gw-1"):
        known.status(gateway_id)
        clock.advance(10)
    assert_that(
        known.known,
        equal_to(
            [
                KnownGateway("gw-1", GatewayStatus.INVALID, since=30, heard=30),
                KnownGateway("gw-2", GatewayStatus.DOWN, since=20, heard=20),
            ]
        ),
    )


def test_no_more_than_so_many_gateways_are_known_those_that_were_asked_about_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gateways, "MAX_KEPT", 2)
    clock = Clock()
    known = Gateways(clock, lambda _: succeed(UP))
    for gateway_id in ("gw-1", "gw-2", "gw-1", "gw-3"):
        known.status(gateway_id)
        clock.advance(10)
    assert_that([gateway.gateway_id for gateway in known.known], equal_to(["gw-1", "gw-3"]))
