"""A few things that only a real server can show: what becomes of the connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from fastapi import BackgroundTasks, FastAPI, WebSocket
from starlette.responses import StreamingResponse
from websockets.asyncio.client import connect

from bedplate.telemetry.http.metrics import DURATION, ERRORS, WEBSOCKET_DURATION
from tests.unit.telemetry.http.wire import Wired, wired


@asynccontextmanager
async def served(app: Any) -> AsyncIterator[tuple[Wired, int]]:
    async with wired(app) as w:
        config = uvicorn.Config(w.app, port=0, log_config=None, lifespan="off", ws="websockets-sansio")
        server = uvicorn.Server(config)
        server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        task = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.005)
        try:
            yield w, server.servers[0].sockets[0].getsockname()[1]
        finally:
            server.should_exit = True
            await task


async def ask(
    port: int, *requests: str, read: Callable[[asyncio.StreamReader], Awaitable[bytes]] | None = None
) -> bytes:
    """Send requests over one connection; return what came until the server closed, or what ``read`` returned."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for request in requests:
        writer.write(f"{request} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    try:
        return await asyncio.wait_for((read or (lambda r: r.read()))(reader), 60)
    finally:
        writer.close()


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await condition():
            await asyncio.sleep(0.005)


async def test_a_failure_in_mid_response_closes_the_connection() -> None:
    async def half() -> AsyncIterator[bytes]:
        yield b"half"
        raise ValueError("lost the rest")

    app = FastAPI()
    app.get("/")(lambda: StreamingResponse(half()))
    async with served(app) as (w, port):
        answer = await ask(port, "GET /")
        assert b"200 OK" in answer
        assert b"half" in answer
        # The end of a chunked body is missing, so the client knows that it has not got all.
        assert not answer.endswith(b"0\r\n\r\n")
        assert await w.values(ERRORS) == {("/", "ValueError"): 1}


async def test_a_handled_failure_keeps_the_connection() -> None:
    app = FastAPI()

    @app.get("/fail")
    async def fail() -> None:
        raise ValueError

    @app.get("/plan")
    async def plan(tasks: BackgroundTasks) -> int:
        tasks.add_task(fail)
        return 1

    async def three(reader: asyncio.StreamReader) -> bytes:
        text = b""
        while text.count(b"HTTP/1.1 ") < 3:
            text += await reader.read(65536)
        return text

    async with served(app) as (w, port):
        answer = await ask(port, "GET /fail", "GET /plan", "GET /plan", read=three)
        assert answer.count(b"HTTP/1.1 500 ") == 1
        assert answer.count(b"application/problem+json") == 1
        assert answer.count(b"HTTP/1.1 200 ") == 2
        await until(lambda: counted(w, ERRORS, 3))


async def counted(w: Wired, metric: Any, number: float) -> bool:
    return sum((await w.values(metric, "_count" if metric is not ERRORS else "")).values()) >= number


async def test_a_client_that_leaves_a_stream_is_counted_as_such() -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 1000
            await asyncio.sleep(0.001)

    app = FastAPI()
    app.get("/")(lambda: StreamingResponse(endless()))
    async with served(app) as (w, port):
        assert await ask(port, "GET /", read=lambda reader: reader.readexactly(5000))
        await until(lambda: counted(w, DURATION, 1))
        assert await w.values(DURATION, "_count") == {("GET", "/", "499"): 1}
        assert await w.values(ERRORS) == {}


async def test_a_websocket_from_handshake_to_close() -> None:
    app = FastAPI()

    @app.websocket("/echo/{room}")
    async def echo(websocket: WebSocket, room: str) -> None:
        await websocket.accept()
        while True:
            await websocket.send_text(await websocket.receive_text())

    async with served(app) as (w, port):
        async with connect(f"ws://127.0.0.1:{port}/echo/7", additional_headers={"X-Request-ID": "mine"}) as socket:
            assert socket.response is not None
            assert socket.response.headers["x-request-id"] == "mine"
            await socket.send("hello")
            assert await socket.recv() == "hello"
        await until(lambda: counted(w, WEBSOCKET_DURATION, 1))
        assert await w.values(WEBSOCKET_DURATION, "_count") == {("/echo/{room}", "1000"): 1}
        assert await w.values(ERRORS) == {}
