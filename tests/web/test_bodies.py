"""How much is held of the bodies of all requests together, and that every end of a request gives it back."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from attrs import define, field
from hamcrest import assert_that, contains_exactly, equal_to, has_length, is_
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from dialer.meter import Refused
from dialer.web.answers import HttpError
from dialer.web.api import Api
from dialer.web.bodies import Bodies
from dialer.web.bounds import KIB, Bounds
from dialer.web.channel import LINGER
from dialer.web.endpoint import Scope, endpoint
from dialer.web.incoming import BodyLost
from dialer.web.posted import posted
from dialer.web.site import SMALL_BODY, UPLOAD, BoundedSite
from tests.told import Told
from tests.web.gates import Answer, Transport, answer, head, open_gate

MOST = 400 * KIB
BOUNDS = Bounds(body_size=300 * KIB, bodies=MOST)
LARGE = 250 * KIB


@define
class Lists:
    """A group with one endpoint, whose answers a test gives."""

    asked: list[Deferred[str]] = field(factory=list)

    @endpoint("POST", "/lists", scope=Scope.CONTACTS)
    async def post_list(self, request: Any) -> object:
        """What the test gives."""
        self.asked.append(Deferred())
        return {"size": len(request.content.read()), "said": await self.asked[-1]}


@define
class Arriving:
    """A group with one endpoint whose bodies are taken as they arrive."""

    read: list[bytes] = field(factory=list)

    @endpoint("POST", "/lists", scope=Scope.CONTACTS, arriving={"text/csv": str})
    async def post_list(self, request: Any) -> object:
        """How much it was."""
        while data := await request.incoming.read():
            self.read.append(data)
        return {"size": sum(map(len, self.read))}


@define
class Late:
    """A group with one endpoint, which reads what was posted once a test says so."""

    turn: Deferred[None] = field(factory=Deferred)
    failed: list[str] = field(factory=list)

    @endpoint("POST", "/lists", scope=Scope.CONTACTS)
    async def post_list(self, request: Any) -> object:
        """Nothing."""
        await self.turn
        try:
            return posted(request)
        except BodyLost as lost:
            self.failed.append(str(lost))
            raise


@define
class Client:
    """One connection."""

    channel: Any
    transport: Any

    def announce(self, length: int) -> None:
        self.channel.dataReceived(head("POST", "/lists", length=length))

    def upload(self, length: int) -> None:
        self.channel.dataReceived(head("POST", "/lists", length=length, Content_Type="text/csv"))

    def announce_chunks(self) -> None:
        self.channel.dataReceived(head("POST", "/lists", Transfer_Encoding="chunked"))

    def send(self, size: int) -> None:
        self.channel.dataReceived(b" " * size)

    def send_chunk(self, size: int) -> None:
        self.channel.dataReceived(b"%x\r\n%b\r\n" % (size, b" " * size))

    def leave(self) -> None:
        self.channel.connectionLost(Failure(ConnectionDone()))

    @property
    def status(self) -> int | None:
        """What it was answered, if it was."""
        found = re.match(rb"HTTP/1.1 (\d+)", self.transport.value())
        return None if found is None else int(found[1])

    @property
    def answer(self) -> Answer:
        return answer(self.transport)


@define
class House:
    """A server in memory."""

    clock: Clock = field(factory=Clock)
    lists: Any = field(factory=Lists)
    bounds: Bounds = BOUNDS
    told: Told = field(factory=Told)
    site: BoundedSite = field(init=False)

    def __attrs_post_init__(self) -> None:
        api = Api([self.lists], open_gate())
        self.site = BoundedSite(
            api.resource(), self.told, arriving=api.arriving, bounds=self.bounds, reactor=self.clock
        )

    @property
    def held(self) -> int:
        return self.site.bodies.held

    def client(self) -> Client:
        transport = Transport()
        channel = self.site.buildProtocol(transport.getPeer())
        channel.makeConnection(transport)
        return Client(channel, transport)

    def sending(self, size: int = LARGE - 1) -> Client:
        """One that has sent so much of a large body."""
        client = self.client()
        client.announce(LARGE)
        client.send(size)
        return client


def is_refused(house: House, client: Client) -> None:
    assert_that((client.answer.status, client.answer.body["error"]["code"]), equal_to((503, "busy")))
    assert_that(client.answer.headers["retry-after"], equal_to("5"))
    assert_that(house.told.of("refused"), equal_to([(Refused.BODIES,)]))


def test_so_many_bytes_are_taken_and_no_more_until_some_are_given_back() -> None:
    bodies = Bodies(10)
    assert_that([bodies.take(6), bodies.take(5), bodies.take(4), bodies.has_room(1)], equal_to([True, False] * 2))
    bodies.give_back(6)
    assert_that((bodies.held, bodies.has_room(6), bodies.has_room(7)), equal_to((4, True, False)))


def test_a_body_for_which_there_is_no_room_is_refused_by_its_announcement() -> None:
    house = House()
    house.sending()
    other = house.client()
    other.announce(LARGE)
    is_refused(house, other)
    other.send(LARGE)
    assert_that(house.held, is_(LARGE - 1))


def test_a_body_that_outgrows_the_room_is_refused_and_gives_back_what_it_had() -> None:
    house = House()
    one, other = house.sending(SMALL_BODY + 1), house.sending(SMALL_BODY + 1)
    one.send(LARGE - SMALL_BODY - 2)
    other.send(LARGE - SMALL_BODY - 2)
    is_refused(house, other)
    assert_that(house.held, is_(LARGE - 1))


def test_a_body_in_chunks_is_counted_as_it_comes() -> None:
    house = House()
    house.sending()
    other = house.client()
    other.announce_chunks()
    other.send_chunk(SMALL_BODY)
    assert_that((other.status, house.held), equal_to((None, LARGE - 1)))
    other.send_chunk(SMALL_BODY)
    assert_that(house.held, is_(LARGE - 1 + 2 * SMALL_BODY))
    other.send_chunk(SMALL_BODY)
    is_refused(house, other)
    assert_that(house.held, is_(LARGE - 1))


def test_what_is_announced_and_not_sent_keeps_nobody_out() -> None:
    house = House()
    for _ in range(5):
        house.sending(SMALL_BODY)
    last = house.sending(LARGE)
    assert_that((last.status, house.held), equal_to((None, LARGE)))
    assert_that(house.lists.asked, has_length(1))


def test_small_bodies_are_taken_however_much_is_held() -> None:
    house = House()
    house.sending()
    house.sending(MOST - LARGE)
    small = house.client()
    small.announce(SMALL_BODY)
    small.send(SMALL_BODY)
    house.lists.asked[0].callback("done")
    assert_that((small.status, small.answer.body["size"]), equal_to((200, SMALL_BODY)))


def test_a_list_that_is_taken_as_it_arrives_counts_as_much_however_long_it_is_until_its_end() -> None:
    house = House(lists=Arriving(), bounds=Bounds(bodies=2 * UPLOAD + UPLOAD // 2))
    one, other, third = (house.client() for _ in range(3))
    one.upload(100)
    other.upload(10**9)
    other.send(UPLOAD)
    assert_that((one.status, other.status, house.held), equal_to((None, None, 2 * UPLOAD)))
    third.upload(100)
    is_refused(house, third)
    one.send(100)
    assert_that((one.status, house.held), equal_to((200, UPLOAD)))
    other.leave()
    assert_that(house.held, is_(0))


def test_a_list_of_somebody_who_may_not_send_it_is_refused_for_that_and_not_for_want_of_room() -> None:
    house = House(lists=Arriving(), bounds=Bounds(bodies=UPLOAD))

    def refuse(*_: object) -> bool:
        raise HttpError(401, "unauthorized", "show a token")

    house.client().upload(100)
    house.site.admits = refuse
    stranger = house.client()
    stranger.upload(100)
    assert_that(stranger.status, is_(401))
    assert_that(house.told.of("refused"), equal_to([]))


def test_one_list_may_arrive_however_little_all_together_may_have() -> None:
    house = House(lists=Arriving())
    client = house.client()
    client.upload(10)
    assert_that(house.held, is_(MOST))
    client.send(10)
    assert_that((client.status, house.held), equal_to((200, 0)))


def finished(house: House) -> None:
    client = house.sending(LARGE)
    assert_that((client.status, house.held), equal_to((None, LARGE)))
    house.lists.asked[0].callback("done")
    assert_that(client.status, is_(200))


def failed(house: House) -> None:
    client = house.sending(LARGE)
    house.lists.asked[0].errback(Failure(TimeoutError("nobody")))
    assert_that(client.status, is_(500))


def left_meanwhile(house: House) -> None:
    house.sending().leave()


def left_before_the_answer(house: House) -> None:
    house.sending(LARGE).leave()
    house.lists.asked[0].callback("done")


def too_large(house: House) -> None:
    client = house.client()
    client.announce_chunks()
    for _ in range(6):
        client.send_chunk(SMALL_BODY)
    assert_that(client.status, is_(413))


def too_slow(house: House) -> None:
    client = house.sending()
    house.clock.advance(BOUNDS.stall_time)
    assert_that(client.status, is_(408))
    house.clock.advance(LINGER)
    # What a real transport does once it is aborted.
    assert_that(client.transport.disconnected or client.transport.disconnecting, is_(True))
    client.leave()


def malformed(house: House) -> None:
    client = house.client()
    client.announce_chunks()
    for _ in range(3):
        client.send_chunk(SMALL_BODY)
    client.channel.dataReceived(b"zz\r\n")
    assert_that(client.status, is_(400))
    client.leave()


@pytest.mark.parametrize(
    "end", [finished, failed, left_meanwhile, left_before_the_answer, too_large, too_slow, malformed]
)
def test_whatever_ends_a_request_gives_its_bytes_back_once(end: Callable[[House], None], logged_failures: Any) -> None:
    house = House()
    end(house)
    assert_that(house.held, is_(0))
    logged_failures.flush(TimeoutError)


def test_a_client_that_leaves_before_its_body_is_read_leaves_no_failure_in_the_log() -> None:
    house = House(lists=Late())
    house.sending(LARGE).leave()
    house.lists.turn.callback(None)
    assert_that(house.lists.failed, contains_exactly("the client went away before its request was read"))


def test_a_connection_that_goes_on_gives_back_after_each_request() -> None:
    house = House()
    client = house.client()
    for number in range(4):
        client.announce(LARGE)
        client.send(LARGE)
        house.lists.asked[number].callback("done")
    assert_that((house.held, client.transport.value().count(b"HTTP/1.1 200")), equal_to((0, 4)))
