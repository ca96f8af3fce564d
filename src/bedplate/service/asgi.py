"""Small ASGI pieces: an application's own lifespan, and answers of a service that cannot serve yet."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bedplate.problems import BedplateError, Problem

__all__ = ["LifespanError", "app_lifespan", "send_json", "send_problem", "send_response"]


class LifespanError(BedplateError):
    """The application's own lifespan failed to start or to stop."""


@asynccontextmanager
async def app_lifespan(
    app: ASGIApp,
    *,
    start_timeout: float = 30.0,
    stop_timeout: float = 10.0,
    lost: Callable[[BaseException | None], None] | None = None,
) -> AsyncIterator[dict[str, Any]]:
    """Run the ASGI lifespan of ``app`` and yield the state that it wants to see in its requests.

    An application that does not know the protocol is served without it, as the ASGI specification says.

    :param lost: is told when the lifespan ends although nobody asked it to, with the error that it ended with.
    :raises LifespanError: when the application says that it failed to start or stop, or takes longer than it may.
    """
    lifespan = _AppLifespan(app, lost)
    await lifespan.start(start_timeout)
    try:
        yield lifespan.state
    finally:
        await lifespan.stop(stop_timeout)


class _AppLifespan:
    """One conversation of the lifespan protocol."""

    def __init__(self, app: ASGIApp, lost: Callable[[BaseException | None], None] | None) -> None:
        loop = asyncio.get_running_loop()
        self.state: dict[str, Any] = {}
        self._inbox: asyncio.Queue[Message] = asyncio.Queue()
        #: Done when the application has answered: None, or what it says has failed.
        self._started: asyncio.Future[str | None] = loop.create_future()
        self._stopped: asyncio.Future[str | None] = loop.create_future()
        self._stopping = False
        self._lost = lost
        scope: Scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        self._inbox.put_nowait({"type": "lifespan.startup"})
        self._task: asyncio.Task[None] = asyncio.create_task(self._call(app, scope), name="app/lifespan")

    async def start(self, timeout: float) -> None:
        try:
            await _first([self._task, self._started], timeout)
            if not self._started.done():
                if not self._task.done():
                    raise LifespanError(
                        f"The application did not start within {timeout:g} s.",
                        "Look at what its lifespan waits for; its start must not depend on something that can hang.",
                    )
                if isinstance(error := self._error(), LifespanError):
                    raise error
                # It returned or raised before it answered: it does not know the protocol.
                self._stopping = True
            elif (fault := self._started.result()) is not None:
                await asyncio.wait([self._task], timeout=1.0)
                raise LifespanError(f"The application did not start: {fault}") from self._error()
        except BaseException:
            await self._end()
            raise
        if self._lost is not None and not self._stopping:
            self._task.add_done_callback(self._ended)

    async def stop(self, timeout: float) -> None:
        if self._stopping or self._task.done():
            return
        self._stopping = True
        self._inbox.put_nowait({"type": "lifespan.shutdown"})
        try:
            await _first([self._task, self._stopped], timeout)
        finally:
            answered = self._stopped.done()
            await self._end(1.0 if answered else 0.0)
        if answered and (fault := self._stopped.result()) is not None:
            raise LifespanError(f"The application did not stop cleanly: {fault}") from self._error()
        if not answered and (error := self._error()) is not None:
            raise LifespanError(f"The application did not stop cleanly: {type(error).__name__}: {error}") from error
        if not answered and self._task.cancelled():
            raise LifespanError(f"The application did not stop within {timeout:g} s and was cancelled.")

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not self._stopping and self._lost is not None:
            self._lost(self._error())

    def _error(self) -> BaseException | None:
        return self._task.exception() if self._task.done() and not self._task.cancelled() else None

    async def _end(self, patience: float = 0.0) -> None:
        self._stopping = True
        if patience and not self._task.done():
            await asyncio.wait([self._task], timeout=patience)
        if not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task], timeout=1.0)

    async def _call(self, app: ASGIApp, scope: Scope) -> None:
        try:
            await app(scope, self._inbox.get, self._send)
        except SystemExit as error:
            # It would stop the event loop under everybody else.
            raise LifespanError(f"The application called sys.exit({error.code!r}).") from error

    async def _send(self, message: Message) -> None:
        step, _, outcome = message["type"].removeprefix("lifespan.").partition(".")
        answer = self._started if step == "startup" else self._stopped
        if outcome in ("complete", "failed") and not answer.done():
            answer.set_result(None if outcome == "complete" else _last_line(message.get("message", "")))


async def _first(futures: list[asyncio.Future[Any]], timeout: float) -> None:
    await asyncio.wait(futures, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)


def _last_line(message: str) -> str:
    """Return the sentence of a traceback, which is how Starlette says what has failed."""
    lines = message.strip().splitlines()
    return lines[-1] if lines else "it gave no reason"


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
