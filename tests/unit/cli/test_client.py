"""How commands ask a running service, and what they say when it does not answer as it should."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from bedplate.cli.client import AnsweredError, Client, token_of
from bedplate.problems import BedplateError

PROBLEM = {"type": "about:blank", "title": "Not Found", "status": 404, "detail": "There is no alert ab12."}


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_: Any) -> None: ...

    def answer(self, status: int, body: bytes, kind: str = "application/json", **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self) -> None:
        server: Any = self.server
        server.seen.append((self.command, self.path, self.headers.get("Authorization")))
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        match self.path.split("?")[0]:
            case "/ledger/echo":
                self.answer(200, json.dumps({"path": self.path, "body": body.decode()}).encode())
            case "/ledger/missing":
                self.answer(404, json.dumps(PROBLEM).encode(), "application/problem+json")
            case "/ledger/page":
                self.answer(200, b"<html>", "text/html")
            case "/ledger/bad-gateway":
                self.answer(502, b"<html>", "text/html")
            case "/ledger/away":
                self.answer(302, b"", Location="http://elsewhere.invalid/")
            case "/ledger/half":
                self.send_response(200)
                self.send_header("Content-Length", "100")
                self.end_headers()
            case "/ledger/hangs":
                server.release.wait(10)

    do_POST = do_DELETE = do_HEAD = do_GET  # noqa: N815


@contextmanager
def served() -> Iterator[Any]:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.seen, server.release = [], threading.Event()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.release.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def server() -> Iterator[Any]:
    with served() as server:
        yield server


@pytest.fixture
def client(server: Any) -> Client:
    return Client(f"http://127.0.0.1:{server.server_port}/ledger/", token="t0ken", timeout=5)


def test_paths_are_below_the_service_and_requests_carry_query_body_and_token(client: Client, server: Any) -> None:
    answer = client.get("/echo", {"limit": 5, "state": ["a b", "c"], "cursor": None})
    assert answer == {"path": "/ledger/echo?limit=5&state=a+b&state=c", "body": ""}
    assert client.post("echo", {"note": "seen"})["body"] == '{"note":"seen"}'
    assert client.delete("echo")["path"] == "/ledger/echo"
    assert server.seen == [
        ("GET", "/ledger/echo?limit=5&state=a+b&state=c", "Bearer t0ken"),
        ("POST", "/ledger/echo", "Bearer t0ken"),
        ("DELETE", "/ledger/echo", "Bearer t0ken"),
    ]
    client.fetch("/echo", authorized=False)
    assert server.seen[-1][2] is None


def test_an_answer_is_had_whatever_its_status(client: Client) -> None:
    answer = client.fetch("/missing")
    assert (answer.status, answer.headers["content-type"]) == (404, "application/problem+json")
    assert answer.json() == PROBLEM
    assert client.fetch("/echo", method="HEAD").status == 200


def test_a_refusal_says_what_the_problem_says(client: Client) -> None:
    with pytest.raises(AnsweredError, match=r"answers 404: There is no alert ab12\.$") as raised:
        client.get("/missing")
    assert (raised.value.status, raised.value.problem) == (404, PROBLEM)
    with pytest.raises(AnsweredError, match="answers 502: Bad Gateway"):
        client.get("/bad-gateway")


def test_what_is_no_json_is_told(client: Client) -> None:
    with pytest.raises(BedplateError, match="answers 200 with text/html, which is no JSON"):
        client.get("/page")


def test_a_redirect_is_told_and_not_followed(client: Client, server: Any) -> None:
    with pytest.raises(AnsweredError, match=r"points to http://elsewhere\.invalid/"):
        client.get("/away")
    assert len(server.seen) == 1


def test_a_body_cut_short_is_no_answer(client: Client) -> None:
    with pytest.raises(BedplateError, match="hung up before the end"):
        client.fetch("/half")


def test_nobody_is_waited_for_without_end(server: Any) -> None:
    client = Client(f"127.0.0.1:{server.server_port}/ledger", timeout=0.05)
    with pytest.raises(BedplateError, match=r"did not answer within 0\.05 s"):
        client.fetch("/hangs")


def test_nobody_there_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    with pytest.raises(BedplateError, match=r"cannot be asked: Connection refused\. Look whether"):
        Client(url).get("/monitoring/health")


def test_a_proxy_is_not_asked_for_this_machine(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    assert Client(f"http://localhost:{server.server_port}/ledger").fetch("/echo").status == 200


@pytest.mark.parametrize("url", ["ftp://host", "http://", "http://host:port", "http://[::1", ""])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(BedplateError, match="is no address of a service"):
        Client(url)


def test_a_password_in_the_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(BedplateError, match="AUTH_TOKEN") as raised:
        Client("http://admin:hunter2@host")
    assert "hunter2" not in str(raised.value)


def test_the_token_is_the_first_that_is_set() -> None:
    assert token_of({}) == ""
    assert token_of({"AUTH_TOKEN": "", "BEDPLATE_TOKEN": "b"}) == "b"
    assert token_of({"AUTH_TOKEN": "a", "BEDPLATE_TOKEN": "b"}) == "a"
