"""The demo against a small fake dialer, over real HTTP."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from io import StringIO
from typing import Any

import pytest
import pytest_twisted
from hamcrest import assert_that, contains_string, equal_to, has_item, has_items, has_length, is_not, starts_with
from twisted.internet import reactor
from twisted.internet.defer import Deferred

from dialer.sandbox.demo import Demo
from tests.sandbox.servers import JsonServer, turn
from tests.sandbox.test_progress import Terminal

INTERVAL = 0.01


class FakeDialer:
    """Every campaign goes through the same few steps, one for each look at `/campaigns` after the contacts came.

    `troubles` are answers to give first, by path; None cuts the connection.
    """

    def __init__(self, **troubles: list[tuple[int, Any] | None]) -> None:
        self.posted: list[list[dict[str, Any]]] = []
        self.looks = 0
        self.looked: list[Callable[[], None]] = []
        self.hold = False
        self._troubles = {"/" + path: list(answers) for path, answers in troubles.items()}
        self.server = JsonServer(reactor, self._answer)

    def _answer(self, method: str, path: str, body: Any) -> tuple[int, Any] | None:
        if self._troubles.get(path):
            return self._troubles[path].pop(0)
        match method, path:
            case "GET", "/readyz":
                return 200, {"ready": True, "reasons": []}
            case "POST", "/contacts":
                self.posted.append(body)
                return 200, {"accepted": len(body), "duplicates": 0}
            case "GET", "/campaigns":
                return 200, {"campaigns": self._campaigns()}
            case "GET", "/status":
                return 200, {"maxConcurrentCalls": 10, "activeCalls": 4, "freeSlots": 6, "callsPerSecond": 10.0}
        return 404, {"error": {"code": "not_found", "message": "there is no such path", "field": None}}

    def _campaigns(self) -> list[dict[str, Any]]:
        # One campaign has contacts of an earlier run.
        earlier = Counter({"ended": 7})
        totals = Counter(contact["campaignId"] for contact in self.posted[0]) if self.posted else Counter()
        shown = []
        for name in {*totals, "contract-renewal"}:
            status = earlier.copy() if name == "contract-renewal" else Counter()
            if totals[name]:
                active = {0: 0, 1: 4}.get(self.looks, 0)
                state = Counter({"dialed": active, "pending": totals[name] - active})
                status += Counter({"ended": totals[name]}) if self.looks >= 2 else state
            results = {"NORMAL_CLEARING": status["ended"]} if status["ended"] else {}
            shown.append(
                {"campaignId": name, "total": status.total(), "byStatus": dict(+status), "byCallResult": results}
            )
        if self.posted and not (self.hold and self.looks == 1):
            self.looks += 1
        for looked in self.looked:
            looked()
        return shown


@asynccontextmanager
async def demo(
    output: StringIO, load: bool = True, **troubles: list[tuple[int, Any] | None]
) -> AsyncIterator[tuple[Demo, FakeDialer]]:
    dialer = FakeDialer(**troubles)
    shown = Demo(reactor, base_url=dialer.server.url, output=output, load=load, interval=INTERVAL)
    try:
        yield shown, dialer
    finally:
        await shown.stopService()
        await dialer.server.stop()


async def run(output: StringIO, **troubles: list[tuple[int, Any] | None]) -> tuple[list[str], FakeDialer]:
    async with demo(output, **troubles) as (shown, dialer):
        shown.startService()
        await Deferred.fromCoroutine(shown.finished()).addTimeout(20, reactor)
    assert_that(output.getvalue(), is_not(contains_string("Traceback")))
    return output.getvalue().splitlines(), dialer


@pytest_twisted.ensureDeferred
async def test_it_loads_the_samples_once_and_ends_with_a_summary_by_campaign_and_call_result() -> None:
    lines, dialer = await run(StringIO())
    assert_that(dialer.posted, has_length(1))
    assert_that(lines[0], equal_to("200 sample contacts loaded into 4 campaigns"))
    assert_that(
        lines[-6:],
        has_items(
            "All contacts are done: 200 in all",
            "appointment-reminder: NORMAL_CLEARING 70",
            "contract-renewal: NORMAL_CLEARING 50",
        ),
    )
    assert_that(lines[-1], equal_to(f"The dialer keeps serving at {dialer.server.url}"))
    assert_that(set(dialer.server.authorizations), equal_to({None}))


@pytest_twisted.ensureDeferred
async def test_a_dialer_that_asks_for_a_token_is_shown_it_each_time() -> None:
    dialer = FakeDialer()
    shown = Demo(reactor, base_url=dialer.server.url, output=StringIO(), interval=INTERVAL, token="sesame")
    shown.startService()
    try:
        await Deferred.fromCoroutine(shown.finished()).addTimeout(20, reactor)
        assert_that(set(dialer.server.authorizations), equal_to({b"Bearer sesame"}))
    finally:
        await shown.stopService()
        await dialer.server.stop()


@pytest_twisted.ensureDeferred
async def test_plain_output_shows_a_line_for_each_campaign_and_one_for_the_speed() -> None:
    lines, _ = await run(StringIO())
    assert_that(lines, has_item("contract-renewal: 50 waiting, 0 active, 0 ended, 0 failed"))
    assert_that(lines, has_item("0.0 calls per second (limit 10), 4 of 10 slots in use"))
    assert_that(lines, has_item("contract-renewal: 0 waiting, 0 active, 50 ended, 0 failed"))
    assert_that("".join(lines), is_not(contains_string("\x1b")))


@pytest_twisted.ensureDeferred
async def test_a_terminal_shows_the_same_in_place() -> None:
    output = Terminal()
    await run(output)
    text = output.getvalue()
    assert_that(text, contains_string("\x1b[1A"))
    for part in ("warranty-callback", "slots in use", "200 sample contacts", "NORMAL_CLEARING", "keeps serving at"):
        assert_that(text, contains_string(part))


@pytest_twisted.ensureDeferred
async def test_it_waits_until_the_dialer_is_ready_and_says_why_it_waits() -> None:
    lines, dialer = await run(
        StringIO(), readyz=[(503, {"ready": False, "reasons": ["EFSwitch: not connected"]}), None]
    )
    assert_that(lines[0], equal_to("dialer not ready: EFSwitch: not connected"))
    assert_that(dialer.posted, has_length(1))


@pytest_twisted.ensureDeferred
async def test_samples_whose_answer_was_lost_are_posted_again_under_the_same_ids() -> None:
    first: list[list[str]] = []
    async with demo(StringIO()) as (shown, dialer):
        answer = dialer.server._handler

        def lose_first(method: str, path: str, body: Any) -> tuple[int, Any] | None:
            if path == "/contacts" and not first:
                first.append([contact["id"] for contact in body])
                return None
            return answer(method, path, body)

        dialer.server._handler = lose_first
        shown.startService()
        await Deferred.fromCoroutine(shown.finished()).addTimeout(20, reactor)
    assert_that([contact["id"] for contact in dialer.posted[0]], equal_to(first[0]))


@pytest_twisted.ensureDeferred
async def test_samples_that_are_refused_are_said_to_be_and_nothing_is_awaited() -> None:
    error = {"error": {"code": "invalid", "message": "gatewayId is wrong", "field": "gatewayId"}}
    lines, _ = await run(StringIO(), contacts=[(503, error), (400, error)])
    assert_that(lines[-2], equal_to("The dialer refused the sample campaigns: HTTP 400 gatewayId is wrong"))
    assert_that(lines[-1], starts_with("The dialer keeps serving at"))


@pytest.mark.parametrize("trouble", [None, (503, {"error": {"message": "the database is down"}}), (200, {"a": 1})])
@pytest_twisted.ensureDeferred
async def test_trouble_while_polling_is_shown_and_outlasted(trouble: tuple[int, Any] | None) -> None:
    output = Terminal()
    await run(output, campaigns=[trouble], status=[trouble if trouble is None else (500, {})])
    assert_that(output.getvalue(), contains_string("dialer "))
    assert_that(output.getvalue(), contains_string("All contacts are done: 200 in all"))


@pytest_twisted.ensureDeferred
async def test_a_dialer_that_nobody_answers_for_is_shown_as_not_reachable() -> None:
    nobody = JsonServer(reactor, lambda *_: None)
    await nobody.stop()
    told: Deferred[None] = Deferred()

    class Output(StringIO):
        def write(self, text: str) -> int:
            if "dialer not reachable: Connection was refused" in text and not told.called:
                told.callback(None)
            return super().write(text)

    shown = Demo(reactor, base_url=nobody.url, output=Output(), interval=INTERVAL)
    shown.startService()
    await told.addTimeout(20, reactor)
    await shown.stopService()


@pytest_twisted.ensureDeferred
async def test_without_loading_it_shows_the_campaigns_that_are_there() -> None:
    output = StringIO()
    async with demo(output, load=False) as (shown, dialer):
        shown.startService()
        await Deferred.fromCoroutine(shown.finished()).addTimeout(20, reactor)
    assert_that(dialer.posted, has_length(0))
    assert_that(output.getvalue().splitlines(), has_item("contract-renewal: NORMAL_CLEARING 7"))


@pytest.mark.parametrize("kind", [StringIO, Terminal])
@pytest_twisted.ensureDeferred
async def test_stopped_halfway_it_gives_the_terminal_back_and_leaves_no_delayed_call(kind: type[StringIO]) -> None:
    calls = set(reactor.getDelayedCalls())
    output, halfway = kind(), Deferred[None]()
    async with demo(output) as (shown, dialer):
        dialer.hold = True
        dialer.looked.append(lambda: halfway.callback(None) if dialer.looks == 1 and not halfway.called else None)
        shown.startService()
        await halfway.addTimeout(20, reactor)
        await turn(reactor)
        await shown.stopService()
        await shown.finished()
    await turn(reactor)
    assert_that(output.getvalue(), is_not(contains_string("All contacts are done")))
    assert_that(output.getvalue().count("\x1b[?25l"), equal_to(output.getvalue().count("\x1b[?25h")))
    assert_that(set(reactor.getDelayedCalls()) - calls, has_length(0))


@pytest_twisted.ensureDeferred
async def test_an_output_that_was_closed_ends_the_display_and_nothing_else() -> None:
    class Closed(StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError(32, "Broken pipe")

    async with demo(Closed()) as (shown, dialer):
        shown.startService()
        await Deferred.fromCoroutine(shown.finished()).addTimeout(20, reactor)
    assert_that(dialer.posted, has_length(1))
