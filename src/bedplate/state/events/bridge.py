"""Events to browsers: server-sent events and WebSockets, each as fast as its reader, going on where it left off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from bedplate.clock import Clock
from bedplate.problems import BedplateError
from bedplate.state.answering import Answering
from bedplate.state.events.component import Events
from bedplate.state.events.event import Event, order_of
from bedplate.state.events.subscription import Subscription

__all__ = ["BadResumeError", "send_events", "stream_events"]

#: Seconds of silence after which a comment shows that the line is still there.
_SILENCE = 15.0
#: A WebSocket's code for *try again later*.
_LATER = 1013


class BadResumeError(BedplateError, Answering):
    """A client wants to go on after something that is no event."""

    status = 400
    answer = "Last-Event-ID is no id of an event here."


async def stream_events(
    request: Request, events: Events, topic: str, type: type[Any] | None = None, *, buffer: int = 1000
) -> StreamingResponse:
    """Return the answer that gives a client a topic as server-sent events, until it leaves.

    A browser that was cut off says ``Last-Event-ID`` by itself, and is given what it missed. Where that is no longer
    kept, an event ``missed`` comes before the next one: the page should be read anew.

    :raises EventsUnavailableError: when the store is away (503). :raises BadResumeError: for a wrong id (400).
    """
    after = request.headers.get("last-event-id") or request.query_params.get("after") or None
    stack = AsyncExitStack()
    subscription = await stack.enter_async_context(events.subscribe(topic, type, after=_id(after), buffer=buffer))
    return _Streaming(stack, subscription, events.clock)


async def send_events(
    websocket: WebSocket,
    events: Events,
    topic: str,
    type: type[Any] | None = None,
    *,
    patience: float = 10.0,
    buffer: int = 1000,
    heard: Callable[[str], Awaitable[None]] | None = None,
) -> None:
    """Give a client a topic through a WebSocket as ``{"id", "topic", "payload"}``, until it leaves.

    It is accepted when the topic is heard, unless it has been before. ``?after=id`` goes on after an event;
    ``"missed": true`` says that some in between are no longer kept. A client that takes no event within ``patience``
    seconds is closed with 1013, and may come back.

    :param heard: called with each text that the client sends.
    :raises EventsUnavailableError: when the store is away (503 before it is accepted).
    :raises BadResumeError: for a wrong id (400).
    """
    after = _id(websocket.query_params.get("after") or None)
    async with events.subscribe(topic, type, after=after, buffer=buffer) as subscription:
        if websocket.application_state is WebSocketState.CONNECTING:
            await websocket.accept()
        listening = asyncio.create_task(_until_it_leaves(websocket, subscription, heard))
        try:
            async for event in subscription:
                async with asyncio.timeout(patience):
                    await websocket.send_text(_document(event))
        except TimeoutError:
            await websocket.close(_LATER, "too slow")
        except (WebSocketDisconnect, OSError):
            pass
        finally:
            listening.cancel()
            await asyncio.wait([listening])
        if not listening.cancelled() and (error := listening.exception()) is not None:
            raise error


class _Streaming(StreamingResponse):
    """A streaming answer that ends with its client, also while nothing happens, and its subscription with it."""

    media_type = "text/event-stream"

    def __init__(self, stack: AsyncExitStack, subscription: Subscription[Any], clock: Clock) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(_lines(subscription, clock), headers=headers)
        self._stack, self._subscription = stack, subscription

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._stack:
            leaving = asyncio.create_task(self._until_it_leaves(receive))
            try:
                await self.stream_response(send)
            except OSError:
                pass  # it has left
            finally:
                leaving.cancel()
                await asyncio.wait([leaving])

    async def _until_it_leaves(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._subscription.close()


async def _lines(subscription: Subscription[Any], clock: Clock) -> AsyncIterator[bytes]:
    yield b": heard\n\n"
    following: asyncio.Task[Event[Any]] | None = None
    try:
        while True:
            following = following or asyncio.ensure_future(anext(subscription))
            silence = asyncio.ensure_future(clock.sleep(_SILENCE))
            try:
                await asyncio.wait([following, silence], return_when=asyncio.FIRST_COMPLETED)
            finally:
                silence.cancel()
            if not following.done():
                yield b": still here\n\n"
                continue
            try:
                event = following.result()
            except StopAsyncIteration:
                return
            following = None
            lines = b"event: missed\ndata: {}\n\n" if event.missed else b""
            if event.id:
                lines += b"id: %b\n" % event.id.encode()
            # JSON of ours has no line breaks.
            yield lines + b"data: %b\n\n" % to_json(event.payload)
    finally:
        if following is not None:
            following.cancel()


async def _until_it_leaves(
    websocket: WebSocket, subscription: Subscription[Any], heard: Callable[[str], Awaitable[None]] | None
) -> None:
    try:
        while True:
            message = await websocket.receive()
            if message["type"] == "websocket.disconnect":
                return
            if heard is not None and (text := message.get("text")) is not None:
                await heard(text)
    finally:
        subscription.close()


def _document(event: Event[Any]) -> str:
    document: dict[str, Any] = {"id": event.id, "topic": event.topic, "payload": event.payload}
    if event.missed:
        document["missed"] = True
    return to_json(document).decode()


def _id(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        order_of(text)
    except ValueError:
        raise BadResumeError(f"{text[:50]!r} is no id of an event.", "Send the last id that came.") from None
    return text
