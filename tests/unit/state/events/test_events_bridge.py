"""Events to browsers: what a client is sent, how it goes on where it left off, and what a slow one is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from bedplate.service import Service
from bedplate.state.events import Events, send_events, stream_events
from bedplate.state.memory.component import Memory
from bedplate.testing import running, settings


class Client:
    """A client on the ASGI side: what it is sent, and when it leaves."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.asked: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.stuck: asyncio.Event | None = None

    async def receive(self) -> dict[str, Any]:
        return await self.asked.get()

    async def send(self, message: Any) -> None:
        if self.stuck is not None and message["type"] == "websocket.send":
            await self.stuck.wait()
        self.sent.append(message)

    @property
    def text(self) -> str:
        return b"".join(message.get("body", b"") for message in self.sent).decode()

    @property
    def messages(self) -> list[Any]:
        return [orjson.loads(message["text"]) for message in self.sent if message["type"] == "websocket.send"]


@asynccontextmanager
async def served(patience: float = 10.0, **options: Any) -> AsyncIterator[tuple[Events, Service, list[str]]]:
    events = Events(Memory(), **options)
    heard: list[str] = []

    async def note(text: str) -> None:
        heard.append(text)

    async def stream(request: Request) -> Response:
        return await stream_events(request, events, "prices")

    async def socket(websocket: WebSocket) -> None:
        await send_events(websocket, events, "prices", patience=patience, heard=note)

    app = Starlette(routes=[Route("/stream", stream), WebSocketRoute("/socket", socket)])
    service = Service("test", app, [events], settings=settings())
    async with running(service):
        yield events, service, heard


@asynccontextmanager
async def asking(service: Service, path: str, *, query: str = "", last: str = "") -> AsyncIterator[Client]:
    client = Client()
    kind = "http" if path == "/stream" else "websocket"
    headers = [(b"host", b"testserver"), *([(b"last-event-id", last.encode())] if last else [])]
    scope: dict[str, Any] = {
        "type": kind, "asgi": {"version": "3.0", "spec_version": "2.4"}, "http_version": "1.1", "method": "GET",
        "scheme": "http" if kind == "http" else "ws", "path": path, "raw_path": path.encode(), "root_path": "",
        "query_string": query.encode(), "headers": headers, "client": ("127.0.0.1", 5), "server": ("testserver", 80),
        "state": {}, "subprotocols": [], "extensions": {},
    }  # fmt: skip
    client.asked.put_nowait({"type": "http.request"} if kind == "http" else {"type": "websocket.connect"})
    task = asyncio.create_task(service(scope, client.receive, client.send))
    try:
        yield client
    finally:
        client.asked.put_nowait(
            {"type": "http.disconnect"} if kind == "http" else {"type": "websocket.disconnect", "code": 1001}
        )
        async with asyncio.timeout(60):
            await task


async def eventually(condition: Any) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.001)


async def test_a_browser_hears_and_goes_on_where_it_left_off() -> None:
    async with served() as (events, service, _):
        async with asking(service, "/stream") as client:
            await eventually(lambda: ": heard" in client.text)
            first = await events.publish("prices", {"ACME": "12.5"})
            await eventually(lambda: "ACME" in client.text)
        start = client.sent[0]
        assert dict(start["headers"])[b"content-type"].startswith(b"text/event-stream")
        assert dict(start["headers"])[b"cache-control"] == b"no-store"
        assert f'id: {first}\ndata: {{"ACME":"12.5"}}\n\n' in client.text
        await events.publish("prices", 2)
        async with asking(service, "/stream", last=first) as again:
            await eventually(lambda: "data: 2\n\n" in again.text)
            assert "missed" not in again.text


async def test_a_browser_that_was_away_too_long_is_told() -> None:
    async with served(history=2) as (events, service, _):
        first = await events.publish("prices", 0)
        for number in range(1, 5):
            await events.publish("prices", number)
        async with asking(service, "/stream", last=first) as client:
            await eventually(lambda: "data: 4\n\n" in client.text)
        assert client.text.index("event: missed\ndata: {}\n\n") < client.text.index("data: 3\n\n")


async def test_who_goes_on_after_nonsense_is_refused() -> None:
    async with served() as (_, service, _), asking(service, "/stream", query="after=now") as client:
        await eventually(lambda: client.sent)
        assert client.sent[0]["status"] == 400 and "no id of an event" in client.text
    async with served() as (_, service, _), asking(service, "/socket", query="after=now") as client:
        await eventually(lambda: client.sent)
        assert client.sent[0]["type"] == "websocket.http.response.start" and client.sent[0]["status"] == 400


async def test_a_silent_line_is_kept_open_by_comments() -> None:
    async with served() as (events, service, _), asking(service, "/stream") as client:
        await eventually(lambda: ": heard" in client.text)
        clock: Any = events.clock
        await clock.advance(16)
        await eventually(lambda: ": still here" in client.text)


async def test_a_websocket_hears_and_may_say_something() -> None:
    async with served() as (events, service, heard), asking(service, "/socket") as client:
        await eventually(lambda: client.sent)
        assert client.sent[0]["type"] == "websocket.accept"
        id = await events.publish("prices", {"ACME": 12})
        client.asked.put_nowait({"type": "websocket.receive", "text": "hello"})
        await eventually(lambda: client.messages and heard)
        assert client.messages == [{"id": id, "topic": "prices", "payload": {"ACME": 12}}] and heard == ["hello"]


async def test_a_websocket_that_takes_nothing_is_closed_and_may_come_back() -> None:
    async with served(patience=0.05) as (events, service, _):
        first = await events.publish("prices", 1)
        async with asking(service, "/socket") as client:
            await eventually(lambda: client.sent)
            client.stuck = asyncio.Event()
            await events.publish("prices", 2)
            await eventually(lambda: client.sent[-1]["type"] == "websocket.close")
            assert client.sent[-1]["code"] == 1013
        async with asking(service, "/socket", query=f"after={first}") as again:
            await eventually(lambda: again.messages)
            assert again.messages[0]["payload"] == 2
