"""What a component's middleware answers is measured under the route that would have answered."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from bedplate.component import Host, Spec
from bedplate.declarations import Middleware
from bedplate.problems import Problem
from bedplate.service import Service
from bedplate.service.asgi import send_problem
from bedplate.telemetry.http.metrics import DURATION
from bedplate.testing import running, settings


class Refuser:
    """Refuses everything."""

    @property
    def spec(self) -> Spec:
        return Spec(kind="refuser", summary="Refuses everything.")

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        yield

    def middleware(self) -> Sequence[Middleware]:
        return [Middleware(stage="replay", factory=refusing)]


def refusing(app: ASGIApp) -> ASGIApp:
    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and "/pass" not in scope["path"]:
            await send_problem(scope, receive, send, Problem(status=503))
        else:
            await app(scope, receive, send)

    return refuse


async def test_it_is_counted_by_its_route_and_unknown_paths_are_not() -> None:
    app, router = FastAPI(), APIRouter()

    @router.post("/orders/{number}")
    async def order(number: int) -> None: ...

    app.include_router(router, prefix="/v1")
    async with running(Service("shop", app, [Refuser()], settings=settings())) as harness:
        for path in ("/v1/orders/7", "/v1/orders/8", "/nowhere/9", "/pass/nowhere"):
            await harness.client.post(path)
        counts = {
            labels
            for labels in (await harness.samples())
            if labels.startswith(f"{DURATION.name}_count") and "POST" in labels
        }
    routes = {label.split('http_route="')[1].split('"')[0]: label for label in counts}
    assert set(routes) == {"/v1/orders/{number}", "_unmatched"}
