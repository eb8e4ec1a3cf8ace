"""Tokens as operators write them, and which of them is shown."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hamcrest import assert_that, contains_string, equal_to, is_, none, not_
from hypothesis import given
from hypothesis import strategies as st

from dialer.access.scope import EVERYTHING, Scope
from dialer.access.tokens import LONGEST, MOST, SHORTEST, digest, find, parse_tokens

ONE = "Qm9zcyBvZiB0aGUgY2FsbCBjZW50cmUu"
TWO = "b3RoZXJzIG1heSByZWFkIHRoaXMgb25s"
THREE = "dGhlIHRoaXJkIG9uZSBpcyBmb3IgdmNz"


def wrong(text: str) -> str:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  each test looks at its words
        parse_tokens(text)
    return str(caught.value)


def test_each_entry_has_a_name_scopes_and_a_token() -> None:
    one, two = parse_tokens(f"crm:contacts+read:{ONE} vc.1_-:agent:{TWO}")
    assert_that((one.name, one.scopes), equal_to(("crm", {Scope.CONTACTS, Scope.READ})))
    assert_that((two.name, two.scopes), equal_to(("vc.1_-", {Scope.AGENT})))


def test_all_stands_for_every_scope() -> None:
    (one,) = parse_tokens(f"ops:all:{ONE}")
    assert_that(one.scopes, equal_to(EVERYTHING))


def test_entries_may_stand_on_lines_of_their_own_between_comments() -> None:
    text = f"# who may call\n\ncrm:contacts:{ONE}\r\n  # ops:all:{THREE}\n\tops:all:{TWO}\n"
    assert_that([token.name for token in parse_tokens(text)], equal_to(["crm", "ops"]))


def test_no_text_is_no_token() -> None:
    assert_that(parse_tokens(""), is_(()))


@pytest.mark.parametrize("text", [" ", "\n", "# ops:all:" + ONE])
def test_text_without_any_entry_is_refused_rather_than_letting_in_everybody(text: str) -> None:
    assert_that(wrong(text), is_("there is no entry"))


def test_a_token_may_be_given_as_its_hash() -> None:
    hashed = sha256(ONE.encode()).hexdigest()
    for text in (hashed, hashed.upper()):
        tokens = parse_tokens(f"ops:all:sha256${text}")
        assert_that(find(tokens, ONE), is_(tokens[0]))
        assert_that(find(tokens, hashed), is_(none()))
        assert_that(find(tokens, f"sha256${hashed}"), is_(none()))


@pytest.mark.parametrize("length", [SHORTEST, LONGEST])
def test_the_shortest_and_the_longest_token_are_taken(length: int) -> None:
    parse_tokens(f"a:all:{'x' * length} b:read:{'y' * (length - 1)}=")


SECRET = "SECRET" * 8


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (SECRET, "entry 1 is not name:scope+scope:token"),
        (f"a:all:{ONE} a:{SECRET}", "entry 2 is not name:scope+scope:token"),
        (f"a:all:{SECRET}:", "entry 1 is not name:scope+scope:token"),
        (f":all:{SECRET}", "the name of entry 1 is not 1 to 40 letters, digits, . _ or -"),
        (f"{SECRET}:all:a", "the name of entry 1 is not 1 to 40 letters, digits, . _ or -"),
        (f"é:all:{SECRET}", "the name of entry 1 is not"),
        (f"a::{SECRET}", "the scopes of entry 1 are not some of contacts, control, read, agent with + between them"),
        (f"a:{SECRET}:all", "the scopes of entry 1 are not"),
        (f"a:Read:{SECRET}", "the scopes of entry 1 are not"),
        (f"a:read+:{SECRET}", "the scopes of entry 1 are not"),
        (f"a:read+all:{SECRET}", "the scopes of entry 1 are not"),
        (f"a:read:{SECRET[: SHORTEST - 1]}", "the token of entry 1 is not 32 to 200 letters"),
        (f"a:read:{'SECRET' * 40}", "the token of entry 1 is not 32 to 200 letters"),
        (f"a:read:{SECRET},", "the token of entry 1 is not"),
        (f"a:read:{SECRET}é", "the token of entry 1 is not"),
        (f"a:read:=={SECRET}", "the token of entry 1 is not"),
        (f"a:read:sha256${SECRET}", "what follows sha256$ in entry 1 is not the 64 hexadecimal digits"),
        (f"a:read:{SECRET} b:read:{ONE} a:all:{TWO}", "the entries 1 and 3 have the same name"),
        (f"a:read:{SECRET} b:all:{SECRET}", "the entries 1 and 2 have the same token"),
        (
            f"a:read:{SECRET} b:all:sha256${sha256(SECRET.encode()).hexdigest()}",
            "the entries 1 and 2 have the same token",
        ),
    ],
)
def test_a_wrong_entry_is_told_by_its_number_and_never_shows_what_may_be_a_token(text: str, reason: str) -> None:
    line = wrong(text)
    assert_that(line, contains_string(reason))
    assert_that(line, not_(contains_string("SECRET")))


def test_there_is_an_end_to_how_many_tokens_are_taken() -> None:
    entries = [f"n{number}:read:{number:032}" for number in range(MOST + 1)]
    assert_that(parse_tokens("\n".join(entries[:-1]))[-1].name, is_(f"n{MOST - 1}"))
    assert_that(wrong("\n".join(entries)), is_(f"there are more than {MOST} entries"))


def test_what_is_kept_of_a_token_does_not_tell_it() -> None:
    tokens = parse_tokens(f"ops:all:{ONE}")
    assert_that(repr(tokens), not_(contains_string(ONE)))
    assert_that(repr(tokens), not_(contains_string(digest(ONE).hex())))


@pytest.mark.parametrize("place", [0, 1, 2])
def test_every_token_is_compared_whichever_is_shown(place: int, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr("dialer.access.tokens.compare_digest", compare)
    tokens = parse_tokens(f"a:all:{ONE} b:all:{TWO} c:all:{THREE}")
    assert_that(find(tokens, (ONE, TWO, THREE)[place]), is_(tokens[place]))
    assert_that([len(one) for one, _ in compared], equal_to([32, 32, 32]))
    assert_that({other for _, other in compared}, equal_to({digest((ONE, TWO, THREE)[place])}))


@given(st.text())
def test_nothing_but_a_token_is_taken_for_one(shown: str) -> None:
    tokens = parse_tokens(f"ops:all:{ONE}")
    assert_that(find(tokens, shown) is tokens[0], is_(shown == ONE))
