"""The recordings themselves: none is missing, and none is there that the tests do not know of."""

from __future__ import annotations

from hamcrest import assert_that, contains_inanyorder, equal_to

from tests.esl.transcripts import HERE, INDEX, client_bytes, server_bytes


def test_every_recording_of_the_index_is_there_with_both_its_sides_and_no_other_is() -> None:
    files = [f"{name}.{side}.bin" for name in INDEX for side in ("client", "server")]

    assert_that([path.name for path in HERE.glob("*.bin")], contains_inanyorder(*files))


def test_only_a_client_that_was_rejected_at_once_said_nothing() -> None:
    silent = [name for name in INDEX if not client_bytes(name) or not server_bytes(name)]

    assert_that(silent, equal_to(["conn_acl_reject"]))
