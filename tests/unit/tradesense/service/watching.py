"""A WebSocket to the live portfolio, without a server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from .conftest import Desk, Trader


class Watch:
    """One WebSocket, as the server sees it."""

    def __init__(self, desk: Desk, trader: Trader, headers: Mapping[str, str] | None = None) -> None:
        cookie = "; ".join(f"{name}={value}" for name, value in trader.client.cookies.items())
        given = {"host": "localhost", "cookie": cookie, **(headers or {})}
        self.scope: dict[str, Any] = {
            "type": "websocket", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "ws",
            "path": "/api/v1/live", "raw_path": b"/api/v1/live", "query_string": b"", "root_path": "",
            "subprotocols": [],
            "headers": [(name.encode(), value.encode()) for name, value in given.items()],
            "client": ("127.0.0.1", 1), "server": ("localhost", 80), "state": {},
            "extensions": {"websocket.http.response": {}},
        }  # fmt: skip
        self.inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.outbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.stuck = asyncio.Event()
        self.stuck.set()
        self.inbox.put_nowait({"type": "websocket.connect"})
        self.task = asyncio.create_task(self._run(desk))

    async def _run(self, desk: Desk) -> None:
        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "websocket.send":
                await self.stuck.wait()
            self.outbox.put_nowait(message)

        await desk.harness.service(self.scope, self.inbox.get, send)  # type: ignore[arg-type]

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(60):
            return await self.outbox.get()

    async def news(self) -> dict[str, Any]:
        message = await self.next()
        assert message["type"] == "websocket.send", message
        return json.loads(message["text"])

    async def leave(self) -> None:
        self.inbox.put_nowait({"type": "websocket.disconnect", "code": 1000})
        async with asyncio.timeout(60):
            await self.task


@asynccontextmanager
async def watching(desk: Desk, trader: Trader) -> AsyncIterator[Watch]:
    watch = Watch(desk, trader)
    assert (await watch.next())["type"] == "websocket.accept"
    try:
        yield watch
    finally:
        if not watch.task.done():
            await watch.leave()
