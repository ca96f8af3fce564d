"""Instances of a service that share one store of idempotency keys, without a server."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import httpx2
import pytest
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import StreamingResponse

from bedplate.service import Service
from bedplate.state.idempotency import Idempotency
from bedplate.state.memory import Memory
from bedplate.testing import Harness, ManualClock, running, settings
from tests.linked import Link


class Shop:
    """What the instances do, counted; and a door at which orders can be made to wait."""

    def __init__(self) -> None:
        self.done: Counter[str] = Counter()
        self.attempts: list[int] = []
        self.door = asyncio.Event()
        self.door.set()
        self.inside = asyncio.Event()
        self.status = 201

    def application(self, idempotency: Idempotency) -> FastAPI:
        app = FastAPI()

        @app.post("/orders", status_code=201)
        async def order(request: Request, response: Response) -> dict[str, int]:
            self.attempts.append(getattr(request.state, "idempotency", None) and request.state.idempotency.attempt)
            self.inside.set()
            await self.door.wait()
            self.done["orders"] += 1
            response.headers["location"] = f"/orders/{self.done['orders']}"
            response.headers["x-served-by"] = "one"
            response.set_cookie("secret", "of this client")
            if self.status >= 400:
                raise HTTPException(self.status, "no")
            return {"order": self.done["orders"]}

        @app.post("/crash")
        async def crash() -> None:
            self.done["crashes"] += 1
            raise RuntimeError("on purpose")

        @app.post("/stream/{parts}")
        async def stream(parts: int) -> StreamingResponse:
            self.done["streams"] += 1

            async def produce() -> AsyncIterator[bytes]:
                for number in range(parts):
                    await self.door.wait()
                    yield b"%04d" % number * 250
                    for _ in range(5):
                        await asyncio.sleep(0)  # others may run, as they do while something is computed
                self.done["ended"] += 1

            return StreamingResponse(produce(), media_type="text/plain")

        @app.post("/broken")
        async def broken() -> StreamingResponse:
            self.done["broken"] += 1

            async def produce() -> AsyncIterator[bytes]:
                yield b"a part"
                raise RuntimeError("on purpose")

            return StreamingResponse(produce())

        @app.post("/needed", dependencies=[Depends(idempotency.required)])
        async def needed() -> int:
            self.done["needed"] += 1
            return self.done["needed"]

        @app.get("/orders")
        async def orders() -> int:
            return self.done["orders"]

        return app


class Instance:
    """One instance of the service, and a client that talks to it."""

    def __init__(self, shop: Shop, idempotency: Idempotency, link: Link, harness: Harness) -> None:
        self.shop, self.idempotency, self.link, self.harness = shop, idempotency, link, harness
        self.clock = harness.clock
        transport = httpx2.ASGITransport(app=harness.service, raise_app_exceptions=False)  # type: ignore[arg-type]
        self.client = httpx2.AsyncClient(transport=transport, base_url="http://shop")

    async def post(self, path: str, key: str | None = None, user: str = "ada", **options: Any) -> httpx2.Response:
        headers = {"authorization": f"Bearer {user}"} if user else {}
        if key is not None:
            headers["idempotency-key"] = key
        return await self.client.post(path, headers=headers, **options)

    async def count(self, outcome: str) -> float:
        return await self.harness.value("bedplate_idempotency_requests_total", outcome=outcome)

    async def incidents(self, kind: str) -> float:
        return await self.harness.value("bedplate_idempotency_incidents_total", kind=kind)


class World:
    """A store, what is sold, and the instances that share both."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self.store, self.clock, self.shop = Memory(), ManualClock(), Shop()
        self._stack = stack

    async def instance(self, **options: Any) -> Instance:
        link = Link(self.store)
        others = options.pop("with_components", [])
        idempotency = Idempotency(link, **options)
        first = [] if self.store.available else [self.store]
        app = self.shop.application(idempotency)
        service = Service("shop", app, [*first, *others, idempotency], settings=settings())
        harness = await self._stack.enter_async_context(running(service, clock=self.clock))
        made = Instance(self.shop, idempotency, link, harness)
        await self._stack.enter_async_context(made.client)
        return made


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A store that instances can share."""
    async with AsyncExitStack() as stack:
        yield World(stack)


@pytest.fixture
async def one(world: World) -> Instance:
    """A single instance."""
    return await world.instance()
