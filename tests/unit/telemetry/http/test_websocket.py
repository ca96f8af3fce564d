from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, WebSocket, WebSocketException
from starlette.responses import PlainTextResponse
from starlette.websockets import WebSocketDisconnect

from bedplate.telemetry.context import current
from bedplate.telemetry.http.metrics import DURATION, ERRORS, WEBSOCKET_DURATION, WEBSOCKETS
from tests.unit.telemetry.http.wire import Answer, Wired, scope_of, wired

SAMPLED = (b"traceparent", b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01")


def fastapi(talk: Callable[[WebSocket], Any]) -> FastAPI:
    app, router = FastAPI(), APIRouter()

    @router.websocket("/rooms/{room}")
    async def rooms(websocket: WebSocket, room: str) -> None:
        await talk(websocket)

    app.include_router(router, prefix="/v1")
    return app


async def open_(w: Wired, *texts: str, code: int = 1000, path: str = "/v1/rooms/7", **more: Any) -> Answer:
    """Connect, send the texts, and leave with ``code``."""
    inbox = [{"type": "websocket.connect"}, *({"type": "websocket.receive", "text": text} for text in texts)]
    answer = Answer()

    async def receive() -> dict[str, Any]:
        return inbox.pop(0) if inbox else {"type": "websocket.disconnect", "code": code}

    async def send(message: dict[str, Any]) -> None:
        answer.messages.append(message)

    try:
        await w.app(scope_of(path=path, kind="websocket", **more), receive, send)
    except BaseException as error:
        answer.error = error
    return answer


async def outcomes(w: Wired) -> dict[str, float]:
    return {labels[1]: count for labels, count in (await w.values(WEBSOCKET_DURATION, "_count")).items()}


async def echo(websocket: WebSocket) -> None:
    await websocket.accept(headers=[(b"a", b"1")])
    while True:
        await websocket.send_text(await websocket.receive_text())


async def test_a_conversation_is_counted_while_open_and_logged_at_its_end() -> None:
    open_now: list[Any] = []

    async def talk(websocket: WebSocket) -> None:
        await websocket.accept()
        open_now.append(await w.values(WEBSOCKETS))
        await websocket.close(1001)

    async with wired(fastapi(talk)) as w:
        answer = await open_(w, headers=[(b"x-request-id", b"mine")])
        assert answer.error is None
        assert answer.messages[0]["headers"] == [(b"x-request-id", b"mine")]
        assert open_now == [{("/v1/rooms/{room}",): 1}]
        assert await w.values(WEBSOCKETS) == {("/v1/rooms/{room}",): 0}
        assert await outcomes(w) == {"1001": 1}
        assert await w.values(DURATION, "_count") == {}
        assert await w.values(ERRORS) == {}
    (record,) = w.records
    assert (record["method"], record["route"], record["status"]) == ("WEBSOCKET", "/v1/rooms/{room}", 101)
    assert (record["outcome"], record["request_id"], record["level"]) == ("1001", "mine", "INFO")


async def test_a_client_that_leaves_is_no_error() -> None:
    async with wired(fastapi(echo)) as w:
        answer = await open_(w, "one", "two", code=1001)
        assert answer.error is None
        assert [m.get("text") for m in answer.messages[1:]] == ["one", "two"]
        assert (b"a", b"1") in answer.messages[0]["headers"]
        assert await outcomes(w) == {"1001": 1}
        assert await w.values(ERRORS) == {}


@pytest.mark.parametrize(
    ("code", "outcome"),
    [(1000, "1000"), (1005, "1005"), (1006, "1006"), (3000, "3xxx"), (4999, "4xxx"), (5000, "_other"), (7, "_other")],
)
async def test_close_codes_are_bounded(code: int, outcome: str) -> None:
    async with wired(fastapi(echo)) as w:
        await open_(w, code=code)
        assert await outcomes(w) == {outcome: 1}


async def test_hostile_codes_add_no_series() -> None:
    async with wired(fastapi(echo)) as w:
        for code in (1000, 1006, 3000, 4000, 0):
            await open_(w, code=code)
        await open_(w, path="/nothing")
        before = await w.host.series()
        for code in range(2000, 6000, 3):
            await open_(w, code=code, path=f"/v1/rooms/{code}")
            await open_(w, path=f"/nothing/{code}")
        assert await w.host.series() == before


async def test_unknown_paths_are_refused_under_one_label() -> None:
    async with wired(fastapi(echo)) as w:
        await open_(w, path="/nothing")
        assert await w.values(WEBSOCKET_DURATION, "_count") == {("_unmatched", "refused"): 1}
        assert await w.values(WEBSOCKETS) == {}


async def test_a_close_before_the_accept_is_a_refusal() -> None:
    async def talk(websocket: WebSocket) -> None:
        raise WebSocketException(1008)

    async with wired(fastapi(talk)) as w:
        answer = await open_(w)
        assert [m["type"] for m in answer.messages] == ["websocket.close"]
        assert await outcomes(w) == {"refused": 1}
        assert await w.values(ERRORS) == {}
    assert w.records[0]["status"] == 403


async def test_a_denial_response_carries_our_headers() -> None:
    async def talk(websocket: WebSocket) -> None:
        await websocket.send_denial_response(PlainTextResponse("no", 401))

    async with wired(fastapi(talk)) as w:
        answer = await open_(w, extensions={"websocket.http.response": {}})
        assert answer.status == 401
        assert answer.headers["x-frame-options"] == "DENY"
        assert await outcomes(w) == {"refused": 1}
    assert w.records[0]["status"] == 401


async def test_a_failure_closes_with_1011_and_is_reported() -> None:
    captured: list[Any] = []

    class Store:
        def capture(self, error: BaseException, context: Any, *, route: str) -> None:
            captured.append((type(error), route))

    async def talk(websocket: WebSocket) -> None:
        await websocket.accept()
        raise LookupError("no")

    async with wired(fastapi(talk), errors=Store()) as w:
        answer = await open_(w)
        assert answer.error is None
        assert answer.messages[-1] == {"type": "websocket.close", "code": 1011}
        assert await outcomes(w) == {"failed": 1}
        assert await w.values(ERRORS) == {("/v1/rooms/{room}", "LookupError"): 1}
        assert await w.values(WEBSOCKETS) == {("/v1/rooms/{room}",): 0}
    assert captured == [(LookupError, "/v1/rooms/{room}")]
    assert w.records[0]["level"] == "ERROR"


@pytest.mark.parametrize("extension", [True, False])
async def test_a_failure_before_the_accept_refuses(extension: bool) -> None:
    async def talk(websocket: WebSocket) -> None:
        raise LookupError("no")

    async with wired(fastapi(talk)) as w:
        answer = await open_(w, extensions={"websocket.http.response": {}} if extension else {})
        assert answer.status == (500 if extension else 0)
        assert answer.error is None
        assert await outcomes(w) == {"failed": 1}


async def test_cancellation_goes_on_and_counts_down() -> None:
    async def talk(websocket: WebSocket) -> None:
        await websocket.accept()
        await asyncio.sleep(3600)

    async with wired(fastapi(talk)) as w:
        task = asyncio.create_task(open_(w))
        while await w.values(WEBSOCKETS) != {("/v1/rooms/{room}",): 1}:
            await asyncio.sleep(0)
        task.cancel()
        assert isinstance((await task).error, asyncio.CancelledError)
        assert await w.values(WEBSOCKETS) == {("/v1/rooms/{room}",): 0}


async def test_the_handler_sees_its_context() -> None:
    seen: list[str] = []

    async def talk(websocket: WebSocket) -> None:
        context = current.get()
        assert context is not None
        seen.append(context.trace_id)
        raise WebSocketDisconnect

    async with wired(fastapi(talk)) as w:
        await open_(w, headers=[SAMPLED])
    assert seen == ["a" * 32]
    assert current.get() is None
