"""The HTTP interface behind TLS, over real sockets: what is spoken, who is served, and what a renewal changes."""

from __future__ import annotations

import socket
import ssl
import warnings
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from cryptography import x509
from hamcrest import assert_that, contains_string, equal_to, has_length, is_not, none, starts_with
from twisted.internet.threads import deferToThread
from twisted.web.resource import Resource

from dialer import health
from dialer.environment import load
from dialer.meter import Refused
from dialer.tls.certificates import Certificates
from dialer.web.bounds import Bounds
from dialer.web.site import BoundedSite
from tests.conftest import wait_for
from tests.tls.authority import Authority, age, replace
from tests.told import Told

sure = pytest_twisted.ensureDeferred

REAL = {"ESL_IP": "fs.example", "VOICE_CONNECTOR": "https://vc.example"}
PATIENCE = 20.0


class Hello(Resource):
    """Answers every GET."""

    isLeaf = True

    def render_GET(self, request: Any) -> bytes:
        return b"hello " + (b"over TLS" if request.isSecure() else b"in the clear")


class Server:
    """The interface on a free port, with the certificates of `files`."""

    def __init__(self, reactor: Any, files: dict[str, str], bounds: Bounds) -> None:
        self.certificates = Certificates(reactor, load(REAL | files, "dialer-1"))
        self.told = Told()
        site = BoundedSite(Hello(), self.told, bounds=bounds)
        self.port = reactor.listenTCP(0, self.certificates.wrap(site), interface="127.0.0.1")

    @property
    def number(self) -> int:
        return int(self.port.getHost().port)


class Client:
    """A client of another make than the server, in a thread: its sockets block."""

    def __init__(self, server: Server, context: ssl.SSLContext) -> None:
        connection = socket.create_connection(("127.0.0.1", server.number), timeout=PATIENCE)
        try:
            self.socket = context.wrap_socket(connection, server_hostname="dialer.example")
        except BaseException:
            connection.close()
            raise

    @property
    def serial(self) -> int:
        """The number of the certificate that it was shown."""
        return x509.load_der_x509_certificate(self.socket.getpeercert(True) or b"").serial_number

    def ask(self, request: bytes = b"GET / HTTP/1.1\r\nHost: dialer.example\r\n\r\n") -> str:
        """One request over the connection, and the answer up to what ends it here, or to the end."""
        self.socket.sendall(request)
        answer = b""
        while not answer.endswith((b"over TLS", b"}}")):
            piece = self.socket.recv(4096)
            if not piece:
                break
            answer += piece
        return answer.decode()


def trusting(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=authority.file)


async def asked(server: Server, context: ssl.SSLContext) -> str:
    """What one request over a connection of its own is answered."""

    def ask() -> str:
        client = Client(server, context)
        with closing(client.socket):
            return client.ask()

    answer: str = await deferToThread(ask)
    return answer


async def greeted(server: Server, context: ssl.SSLContext) -> bytes:
    """What it says first. In TLS 1.3 a client learns after its handshake that it is not let in; one that has written
    something by then may find the connection reset instead."""

    def listen() -> bytes:
        client = Client(server, context)
        with closing(client.socket):
            return client.socket.recv(1)

    said: bytes = await deferToThread(listen)
    return said


@pytest.fixture
def own(authority: Authority) -> dict[str, str]:
    certificate, key = authority.issue()
    return {"HTTP_TLS_CERT": certificate, "HTTP_TLS_KEY": key}


@pytest.fixture
def servers(reactor: Any) -> Iterator[Any]:
    started: list[Server] = []

    def start(files: dict[str, str], bounds: Bounds = Bounds()) -> Server:  # noqa: B008  frozen
        started.append(Server(reactor, files, bounds))
        return started[-1]

    yield start
    for server in started:
        wait_for(reactor, server.port.stopListening)


@sure
async def test_requests_are_served_over_tls(servers: Any, authority: Authority, own: dict[str, str]) -> None:
    answer = await asked(servers(own), trusting(authority))
    assert_that(answer, starts_with("HTTP/1.1 200 OK\r\n"))
    assert_that(answer, contains_string("hello over TLS"))


@sure
async def test_a_client_that_does_not_trust_the_authority_does_not_talk(
    servers: Any, stranger: Authority, own: dict[str, str]
) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        await asked(servers(own), trusting(stranger))


@sure
async def test_plain_http_is_not_answered(servers: Any, own: dict[str, str]) -> None:
    server = servers(own)

    def ask() -> str:
        with closing(socket.create_connection(("127.0.0.1", server.number), timeout=PATIENCE)) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: dialer.example\r\n\r\n")
            said = b""
            try:
                while piece := connection.recv(4096):
                    said += piece
            except ConnectionResetError:
                pass
            return said.decode("latin-1")

    # An alert, or nothing; then the end.
    assert_that(await deferToThread(ask), is_not(contains_string("HTTP")))


def speaking(authority: Authority, version: ssl.TLSVersion) -> ssl.SSLContext:
    """A client that speaks this version alone, however old."""
    context = trusting(authority)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
@sure
async def test_old_versions_of_tls_are_refused(
    servers: Any, authority: Authority, own: dict[str, str], version: ssl.TLSVersion
) -> None:
    # The alert comes from the server; a client that refused by itself would have another error.
    with pytest.raises(ssl.SSLError, match="TLSV1_ALERT_PROTOCOL_VERSION"):
        await asked(servers(own), speaking(authority, version))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@sure
async def test_present_versions_of_tls_are_spoken(
    servers: Any, authority: Authority, own: dict[str, str], version: ssl.TLSVersion
) -> None:
    assert_that(await asked(servers(own), speaking(authority, version)), contains_string("hello over TLS"))


@sure
async def test_http_2_is_not_offered(servers: Any, authority: Authority, own: dict[str, str]) -> None:
    context = trusting(authority)
    context.set_alpn_protocols(["h2", "http/1.1"])
    client = await deferToThread(Client, servers(own), context)
    with closing(client.socket):
        assert_that(client.socket.selected_alpn_protocol(), equal_to("http/1.1"))


@sure
async def test_a_renewed_certificate_is_shown_to_new_connections_while_an_open_one_goes_on(
    servers: Any, authority: Authority, own: dict[str, str]
) -> None:
    server = servers(own)
    old = await deferToThread(Client, server, trusting(authority))
    with closing(old.socket):
        assert_that(await deferToThread(old.ask), contains_string("hello over TLS"))
        age(*authority.issue())
        for _ in range(2):
            server.certificates.look()
        assert_that(await deferToThread(old.ask), contains_string("hello over TLS"))
        new = await deferToThread(Client, server, trusting(authority))
        with closing(new.socket):
            assert_that(await deferToThread(new.ask), contains_string("hello over TLS"))
            assert_that({old.serial, new.serial}, has_length(2))


@sure
async def test_a_broken_renewal_leaves_the_certificate_of_before(
    servers: Any, authority: Authority, own: dict[str, str]
) -> None:
    server = servers(own)
    replace(Path(own["HTTP_TLS_CERT"]), b"-----BEGIN CERTIFICATE-----\n")
    for _ in range(2):
        server.certificates.look()
    assert_that(await asked(server, trusting(authority)), contains_string("hello over TLS"))
    (shown,) = server.certificates.shown()
    assert_that(shown.problem, contains_string("it holds no certificate in PEM"))


@sure
async def test_a_body_that_is_too_large_is_refused_before_it_is_sent(
    servers: Any, authority: Authority, own: dict[str, str]
) -> None:
    client = await deferToThread(Client, servers(own), trusting(authority))
    with closing(client.socket):
        head = b"POST / HTTP/1.1\r\nHost: dialer.example\r\nContent-Length: 40000000\r\n\r\n"
        answer = await deferToThread(client.ask, head)
    assert_that(answer, starts_with("HTTP/1.1 413 "))
    assert_that(answer, contains_string('"code":"too_large"'))


# --- time


def hello(authority: Authority) -> bytes:
    """What a client begins its handshake with."""
    sent = ssl.MemoryBIO()
    client = trusting(authority).wrap_bio(ssl.MemoryBIO(), sent, server_hostname="dialer.example")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return sent.read()


@pytest.mark.parametrize("part", [0.0, 0.5, 1.0], ids=["never begun", "half a hello", "a hello alone"])
@sure
async def test_who_does_not_go_on_with_the_handshake_is_closed_after_the_time_for_a_head(
    servers: Any, authority: Authority, own: dict[str, str], part: float
) -> None:
    server = servers(own, Bounds(head_time=0.3))
    begun = hello(authority)

    def wait_for_the_end() -> None:
        with closing(socket.create_connection(("127.0.0.1", server.number), timeout=PATIENCE)) as connection:
            connection.sendall(begun[: int(len(begun) * part)])
            try:
                while connection.recv(65536):
                    pass
            except ConnectionResetError:
                pass

    await deferToThread(wait_for_the_end)
    assert_that(server.told.of("refused"), equal_to([(Refused.SLOW_HANDSHAKE,)]))


@sure
async def test_after_the_handshake_a_connection_may_be_idle_for_longer(
    servers: Any, authority: Authority, own: dict[str, str]
) -> None:
    server = servers(own, Bounds(head_time=2.0))
    client = await deferToThread(Client, server, trusting(authority))
    with closing(client.socket):
        # Whoever began at the same time and did not get so far is closed by now.
        other = socket.create_connection(("127.0.0.1", server.number), timeout=PATIENCE)
        with closing(other), suppress(ConnectionResetError):
            await deferToThread(other.recv, 1)
        assert_that(server.told.of("refused"), has_length(1))
        assert_that(await deferToThread(client.ask), contains_string("hello over TLS"))


# --- clients with certificates


def showing(context: ssl.SSLContext, files: tuple[str, str]) -> ssl.SSLContext:
    context.load_cert_chain(*files)
    return context


@sure
async def test_with_a_client_ca_only_clients_with_a_certificate_of_it_are_served(
    servers: Any, authority: Authority, stranger: Authority, own: dict[str, str]
) -> None:
    server = servers(own | {"HTTP_TLS_CLIENT_CA": authority.file})
    known, unknown = authority.issue("client", "client.example"), stranger.issue("unknown", "client.example")
    answer = await asked(server, showing(trusting(authority), known))
    assert_that(answer, contains_string("hello over TLS"))
    with pytest.raises(ssl.SSLError, match="CERTIFICATE_REQUIRED"):
        await greeted(server, trusting(authority))
    with pytest.raises(ssl.SSLError, match=r"UNKNOWN_CA|DECRYPT_ERROR"):
        await greeted(server, showing(trusting(authority), unknown))


@sure
async def test_a_client_ca_that_changes_is_another_from_then_on(
    servers: Any, authority: Authority, stranger: Authority, own: dict[str, str], tmp_path: Path
) -> None:
    clients = tmp_path / "clients.pem"
    replace(clients, stranger.pem)
    server = servers(own | {"HTTP_TLS_CLIENT_CA": str(clients)})
    context = showing(trusting(authority), authority.issue("client", "client.example"))
    with pytest.raises(ssl.SSLError, match=r"UNKNOWN_CA|DECRYPT_ERROR"):
        await greeted(server, context)
    replace(clients, authority.pem)
    age(str(clients))
    for _ in range(2):
        server.certificates.look()
    assert_that(await asked(server, context), contains_string("hello over TLS"))


@pytest.mark.parametrize("client_ca", [False, True])
@sure
async def test_the_health_check_knows_a_living_dialer_though_it_has_no_certificate(
    servers: Any, authority: Authority, own: dict[str, str], client_ca: bool
) -> None:
    files = own | ({"HTTP_TLS_CLIENT_CA": authority.file} if client_ca else {})
    port = str(servers(files).number)
    settings = load(REAL | files | {"HTTP_INTERFACE": "127.0.0.1", "HTTP_PORT": port}, "dialer-1")
    assert_that(await deferToThread(health.problem, settings), none())


@sure
async def test_the_health_check_tells_of_one_that_lets_in_whom_it_should_not(
    servers: Any, authority: Authority, own: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "PATIENCE", 0.5)
    port = str(servers(own).number)
    files = own | {"HTTP_TLS_CLIENT_CA": authority.file, "HTTP_INTERFACE": "127.0.0.1", "HTTP_PORT": port}
    problem = await deferToThread(health.problem, load(REAL | files, "dialer-1"))
    assert_that(problem, starts_with("no answer from 127.0.0.1:"))
