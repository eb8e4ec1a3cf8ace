"""That no recording of the real switch is forgotten."""

from __future__ import annotations

from hamcrest import assert_that, empty, equal_to

from tests.esl.transcripts import INDEX

from . import test_conformance, test_conformance_of_switch  # noqa: F401 - they say what they replay when imported
from .comparison import REPLAYED

NOT_REPLAYED: dict[str, str] = {}
"""Recordings that no test can replay, and why."""


def test_every_recording_is_replayed_or_there_is_a_reason_why_not() -> None:
    assert_that(sorted({*REPLAYED, *NOT_REPLAYED}), equal_to(sorted(INDEX)))
    assert_that(REPLAYED & set(NOT_REPLAYED), empty())
