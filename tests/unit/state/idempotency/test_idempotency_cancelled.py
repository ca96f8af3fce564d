"""Whoever is cancelled while he says that something is done has done it."""

from __future__ import annotations

import asyncio
import random

import pytest
from starlette.responses import JSONResponse
from starlette.types import Message, Receive, Scope, Send

from bedplate.service import Service
from bedplate.state.idempotency import Idempotency
from bedplate.state.idempotency.middleware import IdempotencyMiddleware
from bedplate.testing import running, settings
from tests.unit.state.far_store import FarStore


async def cancelled_on_its_way(store: FarStore, task: asyncio.Task[None]) -> None:
    while store.late is not None:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_result_whose_call_is_cancelled_on_its_way_is_recorded_later() -> None:
    store = FarStore(random.Random(7))
    idempotency = Idempotency(store)
    async with running(Service("test", None, [idempotency], settings=settings())) as harness:

        async def pay() -> None:
            async with idempotency.once("payout:1") as once:
                store.late = asyncio.Event()  # the next call does not arrive
                await once.finish("paid")

        task = asyncio.create_task(pay())
        await asyncio.sleep(0.01)
        await cancelled_on_its_way(store, task)
        for _ in range(3):
            await harness.clock.advance(60)
            await asyncio.sleep(0.005)
        async with idempotency.once("payout:1") as once:
            assert once.done and once.result == "paid"


async def test_a_request_that_is_cancelled_while_its_answer_is_recorded_is_not_executed_twice() -> None:
    store = FarStore(random.Random(7))
    idempotency = Idempotency(store)
    executed = 0

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal executed
        executed += 1
        if executed == 1:
            store.late = asyncio.Event()
        await JSONResponse({"order": executed}, 201)(scope, receive, send)

    async def request() -> list[Message]:
        sent: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": b"{}", "more_body": False}

        async def send(message: Message) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/orders",
            "headers": [(b"idempotency-key", b"0123456789abcdef")],
        }
        await IdempotencyMiddleware(application, idempotency)(scope, receive, send)
        return sent

    async with running(Service("test", None, [idempotency], settings=settings())) as harness:
        task = asyncio.create_task(request())
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        for _ in range(3):
            await harness.clock.advance(60)
            await asyncio.sleep(0.005)
        (start, body) = await request()
        assert (executed, start["status"], body["body"]) == (1, 201, b'{"order":1}')
