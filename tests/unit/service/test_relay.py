"""Between a worker and the ops process: what is passed on, and what happens when the far side is away or stuck."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from bedplate.service import Service, relay
from bedplate.service.relay import Relay, Shipping, receiving
from bedplate.service.sockets import ListenError, address, listen, listen_unix
from bedplate.testing import running, settings

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Client:
    """One request's ASGI side."""

    def __init__(self, *bodies: bytes, method: str = "GET", headers: dict[str, str] | None = None) -> None:
        self.scope: dict[str, Any] = {
            "type": "http",
            "method": method,
            "path": "/metrics",
            "raw_path": b"/metrics",
            "query_string": b"a=1",
            "root_path": "",
            "scheme": "http",
            "client": ("203.0.113.9", 5000),
            "headers": [(k.encode(), v.encode()) for k, v in (headers or {"host": "shop"}).items()],
        }
        self._inbox: asyncio.Queue[Any] = asyncio.Queue()
        for number, body in enumerate(bodies or (b"",), 1):
            more = number < len(bodies)
            self._inbox.put_nowait({"type": "http.request", "body": body, "more_body": more})
        self.sent: list[Any] = []

    def leave(self) -> None:
        self._inbox.put_nowait({"type": "http.disconnect"})

    async def receive(self) -> Any:
        return await self._inbox.get()

    async def send(self, message: Any) -> None:
        self.sent.append(message)

    @property
    def status(self) -> int:
        [start] = [message for message in self.sent if message["type"] == "http.response.start"]
        return int(start["status"])

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)


@asynccontextmanager
async def ops(path: Path, script: Script) -> AsyncIterator[list[bytes]]:
    """A far side that answers by a script; yields the heads of the requests that it got."""
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        try:
            await script(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_unix_server(serve, path)
    try:
        yield heads
    finally:
        server.close()
        await server.wait_closed()


def says(data: bytes) -> Script:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)

    return script


OK = b"HTTP/1.1 200 OK\r\nserver: x\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok"


async def ask(path: Path, client: Client | None = None) -> Client:
    client = client or Client()
    await asyncio.wait_for(Relay(path)(client.scope, client.receive, client.send), 60)
    return client


async def test_a_request_and_its_answer_pass_whole(tmp_path: Path) -> None:
    async with ops(tmp_path / "ops.sock", says(OK)) as heads:
        client = await ask(tmp_path / "ops.sock")
    assert (client.status, client.body) == (200, b"ok")
    assert client.sent[0]["headers"] == [(b"content-type", b"text/plain"), (b"content-length", b"2")]
    assert heads[0].startswith(b"GET /metrics?a=1 HTTP/1.1\r\n")
    assert b"x-forwarded-for: 203.0.113.9\r\n" in heads[0].lower()


async def test_who_asks_is_not_what_they_say(tmp_path: Path) -> None:
    headers = {"host": "shop", "x-forwarded-for": "127.0.0.1", "forwarded": "for=127.0.0.1"}
    async with ops(tmp_path / "ops.sock", says(OK)) as heads:
        await ask(tmp_path / "ops.sock", Client(headers=headers))
    assert b"127.0.0.1" not in heads[0]


async def test_a_body_in_pieces_passes_and_an_expectation_does_not(tmp_path: Path) -> None:
    got: list[bytes] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        got.append(await reader.readuntil(b"0\r\n\r\n"))
        writer.write(OK)

    headers = {"host": "shop", "transfer-encoding": "chunked", "expect": "100-continue"}
    async with ops(tmp_path / "ops.sock", script) as heads:
        client = await ask(tmp_path / "ops.sock", Client(b"one", b"two", method="POST", headers=headers))
    assert (client.status, client.body) == (200, b"ok")
    assert b"one" in got[0] and b"two" in got[0]
    assert b"expect" not in heads[0].lower()


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_request_without_host_or_body_passes(tmp_path: Path, method: str) -> None:
    async with ops(tmp_path / "ops.sock", says(OK)) as heads:
        client = await ask(tmp_path / "ops.sock", Client(method=method, headers={"accept": "*/*"}))
    assert client.status == 200
    assert b"transfer-encoding" not in heads[0].lower()


async def test_a_request_that_http_cannot_say_is_refused(tmp_path: Path) -> None:
    client = Client(method="GET", headers={"host": "a"})
    client.scope["raw_path"] = b"/a b"
    assert (await ask(tmp_path / "ops.sock", client)).status == 400


def _nobody(path: Path) -> None:
    return


def _left_behind(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))


@pytest.mark.parametrize("prepare", [_nobody, _left_behind])
async def test_an_ops_process_that_is_away_is_a_503(tmp_path: Path, prepare: Callable[[Path], None]) -> None:
    prepare(tmp_path / "ops.sock")
    away = await ask(tmp_path / "ops.sock")
    assert away.status == 503
    headers = dict(away.sent[0]["headers"])
    assert headers[b"content-type"] == b"application/problem+json" and headers[b"retry-after"] == b"2"


async def test_a_browser_is_shown_a_page_that_asks_again_by_itself(tmp_path: Path) -> None:
    browser = {"host": "shop", "accept": "text/html,application/xhtml+xml"}
    page = await ask(tmp_path / "ops.sock", Client(headers=browser))
    headers = dict(page.sent[0]["headers"])
    assert (page.status, headers[b"content-type"]) == (503, b"text/html; charset=utf-8")
    assert headers[b"retry-after"] == b"2" and headers[b"cache-control"] == b"no-store"
    assert headers[b"content-security-policy"].startswith(b"default-src 'none'; style-src 'sha256-")
    assert b'<meta http-equiv="refresh" content="2">' in page.body and b"<script" not in page.body
    sent = await ask(tmp_path / "ops.sock", Client(b"a=1", method="POST", headers=browser))
    assert b"refresh" not in sent.body and b"is not known" in sent.body


async def _hangs(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


@pytest.mark.parametrize("script", [says(b""), says(b"HTTP/1.1 200"), says(b"rubbish\r\n\r\n"), _hangs])
async def test_one_that_dies_or_is_stuck_before_it_answers_is_a_503(
    tmp_path: Path, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "SAFE_PATIENCE", 0.1)
    async with ops(tmp_path / "ops.sock", script):
        assert (await ask(tmp_path / "ops.sock")).status == 503


async def test_an_answer_that_breaks_off_is_not_ended_for_it(tmp_path: Path) -> None:
    async with ops(tmp_path / "ops.sock", says(OK.replace(b"length: 2", b"length: 9"))):
        client = await ask(tmp_path / "ops.sock")
    assert (client.status, client.body) == (200, b"ok")
    assert all(message.get("more_body") for message in client.sent[1:]), "the server must see that it has no end"


async def test_a_long_answer_is_waited_for_once_it_has_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "SAFE_PATIENCE", 1.0)

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK[:-2])
        await writer.drain()
        await asyncio.sleep(1.2)
        writer.write(OK[-2:])

    async with ops(tmp_path / "ops.sock", script):
        client = await ask(tmp_path / "ops.sock")
    assert (client.body, client.sent[-1]["more_body"]) == (b"ok", False)


async def test_a_client_that_leaves_ends_the_request_on_the_far_side(tmp_path: Path) -> None:
    ended = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        await reader.read()
        ended.set()

    client = Client()
    async with ops(tmp_path / "ops.sock", script):
        asking = asyncio.create_task(ask(tmp_path / "ops.sock", client))
        while not client.sent:
            await asyncio.sleep(0.01)
        client.leave()
        await asking
        await asyncio.wait_for(ended.wait(), 60)


class Kept:
    """A store that remembers."""

    def __init__(self, *records: dict[str, Any]) -> None:
        self.records = list(records)

    def drain(self) -> list[dict[str, Any]]:
        drained, self.records = self.records, []
        return drained

    def extend(self, records: Any) -> None:
        self.records.extend(records)


async def _ship(path: Path, *records: dict[str, Any]) -> dict[str, float]:
    shipping = Shipping("shop", {"logs": Kept(*records)})
    shipping.path = path
    service = Service("shop", None, settings=settings())
    service.builtins.shipping = shipping
    async with running(service) as harness:
        await harness.clock.advance(1.5)
        await harness.eventually(lambda: _counted(harness))
        return await harness.samples()


async def _counted(harness: Any) -> bool:
    return any(name.startswith("bedplate_shipping_records_total{") for name in await harness.samples())


async def test_records_arrive_whatever_is_in_them(tmp_path: Path) -> None:
    got = Kept()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        body = await reader.read(1 << 16)
        inbox = [{"type": "http.request", "body": body, "more_body": False}]
        scope = {"type": "http", "path": "/-/records/shop/logs", "method": "POST", "headers": []}

        async def receive() -> Any:
            return inbox.pop()

        async def send(message: Any) -> None:
            return

        await receiving(_nothing, {"shop": {"logs": got}})(scope, receive, send)
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")

    async with ops(tmp_path / "ops.sock", script):
        samples = await _ship(tmp_path / "ops.sock", {"message": "plain"}, {"message": "bad \ud800 name", "of": Path()})
    assert [record["message"] for record in got.records] == ["plain", "bad ? name"]
    assert samples['bedplate_shipping_records_total{store="logs",outcome="sent"}'] == 2


async def _nothing(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("records do not reach the application")


async def test_records_that_nobody_takes_in_time_are_counted_as_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "SAFE_PATIENCE", 0.1)
    async with ops(tmp_path / "ops.sock", _hangs):
        samples = await _ship(tmp_path / "ops.sock", {"message": "plain"})
    assert samples['bedplate_shipping_records_total{store="logs",outcome="lost"}'] == 1


async def test_an_unknown_store_or_a_body_that_is_no_json_is_refused() -> None:
    got = Kept()
    for path, body, status in (
        ("/-/records/shop/nothing", b"[]", 404),
        ("/-/records/nobody/logs", b"[]", 404),
        ("/-/records/shop/logs", b"{", 400),
    ):
        client = Client(body, method="POST")
        client.scope["path"] = path
        await receiving(_nothing, {"shop": {"logs": got}})(client.scope, client.receive, client.send)
        assert client.status == status
        assert orjson.loads(client.body)["status"] == status
    cut_off = Client(b"[", b"", method="POST")
    cut_off.scope["path"] = "/-/records/shop/logs"
    await cut_off.receive()
    await cut_off.receive()
    cut_off.leave()
    await receiving(_nothing, {"shop": {"logs": got}})(cut_off.scope, cut_off.receive, cut_off.send)
    assert cut_off.sent == []
    assert got.records == []


def test_a_unix_socket_is_private_and_replaces_one_that_was_left(tmp_path: Path) -> None:
    path = tmp_path / "ops.sock"
    for _ in range(2):
        with listen_unix(path) as listener:
            assert path.stat().st_mode & 0o777 == 0o600
            assert address(listener) == f"unix:{path}"
    with pytest.raises(ListenError, match="too long for a socket"):
        listen_unix(tmp_path / ("x" * 120))


def test_every_address_of_a_name_is_listened_on_at_one_port() -> None:
    sockets = listen("localhost", 0)
    try:
        assert len({listener.getsockname()[1] for listener in sockets}) == 1
        assert all(address(listener).startswith("http://") for listener in sockets)
    finally:
        for listener in sockets:
            listener.close()
