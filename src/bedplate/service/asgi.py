"""Small ASGI pieces: an application's own lifespan, and answers of a service that cannot serve yet."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bedplate.problems import BedplateError, Problem

__all__ = ["LifespanError", "app_lifespan", "send_json", "send_problem", "send_response"]


class LifespanError(BedplateError):
    """The application's own lifespan failed to start."""


@asynccontextmanager
async def app_lifespan(app: ASGIApp) -> AsyncIterator[dict[str, Any]]:
    """Run the ASGI lifespan of ``app`` and yield the state that it wants to see in its requests.

    An application that does not know the protocol is served without it, as the ASGI specification says.

    :raises LifespanError: when the application says that it failed to start.
    """
    state: dict[str, Any] = {}
    inbox: asyncio.Queue[Message] = asyncio.Queue()
    started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    stopped: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def send(message: Message) -> None:
        kind = message["type"]
        if kind == "lifespan.startup.complete" and not started.done():
            started.set_result(None)
        elif kind == "lifespan.startup.failed" and not started.done():
            detail = message.get("message") or "it gave no reason"
            started.set_exception(LifespanError(f"The application did not start: {detail}"))
        elif kind == "lifespan.shutdown.complete" and not stopped.done():
            stopped.set_result(None)
        elif kind == "lifespan.shutdown.failed" and not stopped.done():
            detail = message.get("message") or "it gave no reason"
            stopped.set_exception(LifespanError(f"The application did not stop cleanly: {detail}"))

    scope: Scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": state}
    task: asyncio.Task[None] = asyncio.create_task(_call(app, scope, inbox.get, send), name="app/lifespan")
    await inbox.put({"type": "lifespan.startup"})
    await asyncio.wait([task, started], return_when=asyncio.FIRST_COMPLETED)
    if not started.done():
        # It returned or raised before it answered: it does not know the protocol.
        started.cancel()
        stopped.cancel()
        if not task.cancelled():
            task.exception()
        yield state
        return
    try:
        started.result()
    except LifespanError as error:
        await asyncio.wait([task], timeout=1.0)
        cause = task.exception() if task.done() and not task.cancelled() else None
        task.cancel()
        raise error from cause
    try:
        yield state
    finally:
        await inbox.put({"type": "lifespan.shutdown"})
        try:
            await asyncio.wait([task, stopped], return_when=asyncio.FIRST_COMPLETED)
            if stopped.done():
                stopped.result()
            elif not task.cancelled():
                task.result()
        finally:
            if not task.done():
                await asyncio.wait([task], timeout=1.0)
                task.cancel()


async def _call(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    await app(scope, receive, send)


async def send_problem(scope: Scope, receive: Receive, send: Send, problem: Problem) -> None:
    """Answer a request with a problem, or refuse a WebSocket."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1013, "reason": problem.detail[:120]})
        return
    headers = [header for header in problem.raw_headers() if header[0] != b"content-length"]
    await send_response(scope, send, problem.status, headers, problem.body())


async def send_json(scope: Scope, send: Send, document: Any, *, status: int = 200) -> None:
    """Answer with JSON that no cache may keep."""
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    await send_response(scope, send, status, headers, orjson.dumps(document))


async def send_response(scope: Scope, send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    """Answer in one piece; the body of a HEAD request is left out, its length is not."""
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope.get("method") == "HEAD" else body})
