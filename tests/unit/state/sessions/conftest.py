"""Instances of a service that share one store of sessions, without a server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx2
import pytest
from fastapi import Depends, FastAPI, Request, WebSocket

from bedplate.service import Service
from bedplate.state.memory import Memory
from bedplate.state.sessions import Session, Sessions
from bedplate.testing import Harness, ManualClock, running, settings
from tests.linked import Link

SECRET = "a secret for tests that is long enough to be one"


def application(sessions: Sessions) -> FastAPI:
    """Return a service as somebody would write it."""
    app = FastAPI()
    current, required = Depends(sessions.current), Depends(sessions.required)

    @app.get("/public")
    async def public() -> str:
        return "hello"

    @app.get("/me")
    async def me(session: Session = required) -> dict[str, Any]:
        return {"user": session.user, "values": dict(session), "known": session.is_known_only}

    @app.get("/anybody")
    async def anybody(session: Session = current) -> dict[str, Any]:
        return {"user": session.user, "values": dict(session)}

    @app.post("/sign-in/{user}")
    async def sign_in(user: str, session: Session = current) -> str:
        await session.sign_in(user, label="phone")
        return session.id

    @app.post("/sign-out")
    async def sign_out(request: Request) -> None:
        await request.state.session.sign_out()

    @app.post("/sign-out-everywhere")
    async def everywhere(but_here: bool = False, session: Session = current) -> int:
        return await session.sign_out_everywhere(but_here=but_here)

    @app.post("/rotate")
    async def rotate(session: Session = required) -> None:
        await session.rotate()

    @app.put("/values/{name}")
    async def put(name: str, request: Request, session: Session = current) -> None:
        session[name] = await request.json()

    @app.delete("/values/{name}")
    async def delete(name: str, session: Session = current) -> None:
        session.pop(name)

    @app.websocket("/live")
    async def live(socket: WebSocket, session: Session = required) -> None:
        await socket.accept()
        session["seen"] = 1
        await session.save()
        await socket.send_text(session.user or "")
        await socket.close()

    return app


class Instance:
    """One instance of the service: its sessions, its link to the store, and a browser that talks to it."""

    def __init__(self, sessions: Sessions, link: Link, harness: Harness) -> None:
        self.sessions = sessions
        self.link = link
        self.harness = harness
        self.clock = harness.clock

    def browser(self, **options: Any) -> httpx2.AsyncClient:
        """Return a browser of its own; cookies are kept, over HTTPS unless asked otherwise."""
        transport = httpx2.ASGITransport(app=self.harness.service, raise_app_exceptions=False)  # type: ignore[arg-type]
        return httpx2.AsyncClient(transport=transport, base_url=options.pop("base_url", "https://shop"), **options)


class World:
    """A store and the instances that share it."""

    def __init__(self, store: Memory, clock: ManualClock, stack: AsyncExitStack) -> None:
        self.store, self.clock = store, clock
        self._stack = stack

    async def instance(self, **options: Any) -> Instance:
        link = Link(self.store)
        if options.pop("starts_cut", False):
            link.cut()
        sessions = Sessions(link, secret=options.pop("secret", SECRET), **options)
        # The first one runs the store: to start a service of its own for it takes time.
        first = [] if self.store.available else [self.store]
        service = Service("shop", application(sessions), [*first, sessions], settings=settings())
        return Instance(sessions, link, await self._stack.enter_async_context(running(service, clock=self.clock)))


@asynccontextmanager
async def _world() -> AsyncIterator[World]:
    clock, store = ManualClock(), Memory()
    async with AsyncExitStack() as stack:
        yield World(store, clock, stack)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A store that instances can share."""
    async with _world() as made:
        yield made


@pytest.fixture
async def one(world: World) -> Instance:
    """A single instance."""
    return await world.instance()
