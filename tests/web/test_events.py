"""Pictures as server-sent events."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from hamcrest import assert_that, equal_to, is_, is_not, same_instance

from dialer.live import Shot
from dialer.picture import Picture
from dialer.store.campaigns import CampaignCount
from dialer.web.events import Telling, beat


def count(campaign_id: str, pending: int) -> CampaignCount:
    return CampaignCount(campaign_id, pending, {"pending": pending}, {})


def picture(rate: float, **pending: int) -> Picture:
    return Picture({"rate": rate, "switches": []}, {name: count(name, number) for name, number in pending.items()})


def read(event: bytes) -> tuple[str, dict[str, Any]]:
    """The name and the value of an event, which is a line for each."""
    name, data, *rest = event.decode().split("\n")
    assert_that(rest, equal_to(["", ""]))
    return name.removeprefix("event: "), json.loads(data.removeprefix("data: "))


def test_the_first_event_tells_everything() -> None:
    name, value = read(Telling().event(None, Shot(1, picture(2.5, a=1, b=2))))
    assert_that(name, is_("whole"))
    assert_that(value["facts"], equal_to({"rate": 2.5, "switches": []}))
    assert_that(value["campaigns"]["b"], equal_to({"total": 2, "byStatus": {"pending": 2}, "byCallResult": {}}))


def test_the_next_tells_what_has_changed_and_what_is_gone() -> None:
    before, after = Shot(1, picture(2.5, a=1, b=2, c=3)), Shot(2, picture(3.5, a=1, b=1))
    name, value = read(Telling().event(before, after))
    assert_that((name, value["facts"], value["gone"]), equal_to(("change", {"rate": 3.5}, ["c"])))
    assert_that(list(value["campaigns"]), equal_to(["b"]))


def test_viewers_who_know_the_same_get_the_same_event_which_is_made_once() -> None:
    telling = Telling()
    one, two, three = (Shot(number, picture(number)) for number in (1, 2, 3))
    event = telling.event(one, two)
    assert_that(telling.event(one, two), is_(same_instance(event)))
    assert_that(telling.event(two, three), is_not(event))
    assert_that(read(telling.event(one, three))[1]["facts"], equal_to({"rate": 3}))


def test_text_with_line_breaks_stays_one_event() -> None:
    told = Picture({"reason": "one\n\nevent: whole\r\ndata: {}"})
    assert_that(read(Telling().event(None, Shot(1, told)))[1]["facts"], equal_to(dict(told.facts)))


def test_a_beat_says_when_it_was() -> None:
    name, value = read(beat())
    assert_that((name, datetime.fromisoformat(value["time"]) <= datetime.now(UTC)), equal_to(("beat", True)))
