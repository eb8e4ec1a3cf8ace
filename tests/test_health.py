"""What a health check says, and how it ends."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from hamcrest import assert_that, contains_string, is_, none, starts_with

from dialer import health
from dialer.environment import load
from tests.tls.authority import Authority

REAL = {"ESL_IP": "fs.example", "VOICE_CONNECTOR": "http://vc.example"}


class _Server(HTTPServer):
    """Answers every GET with one status, and notes the paths."""

    status = 200

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.paths: list[str] = []


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        self.server.paths.append(self.path)
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing."""


@pytest.fixture
def server() -> Iterator[_Server]:
    with _Server() as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def told(port: int, **environ: str) -> str | None:
    return health.problem(load({**REAL, "HTTP_PORT": str(port), **environ}))


@pytest.mark.parametrize("interface", ["0.0.0.0", "127.0.0.1"])
def test_a_dialer_that_answers_is_healthy(server: _Server, interface: str) -> None:
    assert_that(told(server.server_port, HTTP_INTERFACE=interface), is_(none()))
    assert_that(server.paths, is_(["/healthz"]))


def test_one_that_answers_with_an_error_is_not(server: _Server) -> None:
    server.status = 500
    assert_that(told(server.server_port), is_(f"127.0.0.1:{server.server_port} answered 500"))


def test_one_that_does_not_answer_is_not() -> None:
    with closing(socket.socket()) as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        assert_that(told(port), starts_with(f"no answer from 127.0.0.1:{port}: "))


def secure(server: _Server, authority: Authority) -> dict[str, str]:
    """Put the server behind TLS, and say what the dialer's environment is then."""
    certificate, key = authority.issue("own", "dialer.example")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    return {"HTTP_TLS_CERT": certificate, "HTTP_TLS_KEY": key}


def test_one_behind_tls_is_asked_over_tls_whatever_name_its_certificate_has(server: _Server, tmp_path: Path) -> None:
    files = secure(server, Authority(tmp_path))
    assert_that(told(server.server_port, **files), is_(none()))
    assert_that(server.paths, is_(["/healthz"]))


def test_one_that_should_speak_tls_and_does_not_is_not_healthy(server: _Server, tmp_path: Path) -> None:
    certificate, key = Authority(tmp_path).issue()
    problem = told(server.server_port, HTTP_TLS_CERT=certificate, HTTP_TLS_KEY=key)
    assert_that(problem, starts_with(f"no answer from 127.0.0.1:{server.server_port}: "))


def test_a_port_that_is_chosen_at_each_start_cannot_be_asked() -> None:
    assert_that(told(0), contains_string("HTTP_PORT is 0"))


def test_a_wrong_environment_ends_the_check_with_the_line_that_ends_a_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PORT", "x")
    with pytest.raises(SystemExit, match="dialer: HTTP_PORT='x' is not allowed"):
        health.main()
