"""Batches that are tried again, and how they are counted; the rest of loading is tested beside a real dialer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from attrs import define, field
from hamcrest import assert_that, contains_exactly, equal_to, has_length, is_

from dialer.cli.exits import Failure, Unanswered, Unreachable
from dialer.cli.loading import BATCH, LONGEST_WAIT, Loading, id_of
from dialer.cli.rejected import Rejected
from dialer.cli.service import Refusal, Unable
from dialer.cli.source import Source
from dialer.contact import CampaignType, NewContact


def added(accepted: int, duplicates: int = 0) -> dict[str, Any]:
    return {"accepted": accepted, "duplicates": duplicates, "rejected": 0, "rejectedRows": []}


@define
class Answering:
    """A dialer that gives these answers, one after the other."""

    answers: list[Any]
    bodies: list[bytes] = field(factory=list)

    def post(self, *path: str, content: bytes, content_type: str) -> Any:
        assert (path, content_type) == (("contacts",), "application/x-ndjson")
        self.bodies.append(content)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


@define
class Time:
    now: float = 0.0
    waits: list[float] = field(factory=list)

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.waits.append(seconds)


def loading(folder: Path, time: Time, *answers: Any, rows: int = 3, retry_for: float = 100.0) -> Loading:
    file = folder / "list.csv"
    file.write_text(
        "customerNumber,campaignType,gatewayId,campaignId\n" + "".join(f"{n},IVR,g,c\n" for n in range(rows))
    )
    service: Any = Answering(list(answers))
    return Loading(
        Source(file, None),
        service,
        Rejected(folder / "rejected.csv"),
        mapping={},
        defaults={},
        retry_for=retry_for,
        on_progress=lambda: None,
        on_wait=lambda *_: None,
        sleep=time.sleep,
        now=lambda: time.now,
    )


def down(**body: Any) -> Unable:
    return Unable("the database cannot be reached", code="database_down", field=None, body=body)


def test_a_batch_is_posted_again_until_it_is_answered(tmp_path: Path) -> None:
    time = Time()
    tried = loading(tmp_path, time, Unreachable("refused"), Unanswered("reset"), down(accepted=0), added(3))
    tried.run()
    assert_that((tried.outcome.accepted, tried.outcome.duplicates), equal_to((3, 0)))
    service: Any = tried._service
    assert_that(set(service.bodies), has_length(1))
    assert_that(time.waits, has_length(3))
    assert_that(time.waits[0] < time.waits[2] <= LONGEST_WAIT, is_(True))


def test_what_was_added_before_the_database_went_away_is_no_duplicate(tmp_path: Path) -> None:
    tried = loading(tmp_path, Time(), down(accepted=2, duplicates=0), added(0, 3), rows=3)
    tried.run()
    assert_that((tried.outcome.accepted, tried.outcome.duplicates), equal_to((2, 1)))


def test_a_batch_is_given_up_after_a_while_and_what_was_added_is_counted(tmp_path: Path) -> None:
    tried = loading(tmp_path, Time(), added(BATCH), *(down(accepted=1) for _ in range(50)), rows=BATCH + 3)
    with pytest.raises(Unreachable):
        tried.run()
    assert_that(tried.outcome.accepted > BATCH, is_(True))


def test_what_is_refused_is_not_tried_again(tmp_path: Path) -> None:
    time = Time()
    tried = loading(tmp_path, time, Refusal("no", code="unauthorized", field=None, body=None))
    with pytest.raises(Failure):
        tried.run()
    assert_that(time.waits, equal_to([]))


def test_no_request_has_more_rows_than_an_answer_can_reject(tmp_path: Path) -> None:
    tried = loading(tmp_path, Time(), added(BATCH), added(BATCH), added(1), rows=2 * BATCH + 1)
    tried.run()
    service: Any = tried._service
    assert_that([body.count(b"\n") + 1 for body in service.bodies], contains_exactly(BATCH, BATCH, 1))


def test_the_ids_that_are_made_do_not_change_with_the_version_of_the_dialer() -> None:
    contact = NewContact(
        id="x", customer_number="+441", campaign_type=CampaignType.IVR, gateway_id="g", campaign_id="c"
    )
    assert_that(id_of(contact), equal_to("3e0b6b18-e856-55e4-8f2a-2772b48a1495"))
