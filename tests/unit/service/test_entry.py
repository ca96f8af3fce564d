"""Where requests come in: probes, operators' routes, middleware and guards, and the application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI, Request
from starlette.requests import Request as StarletteRequest
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from bedplate.component import Host, Spec
from bedplate.declarations import Middleware, Routes, Verdict
from bedplate.problems import DeclarationError
from bedplate.service import Process, Service
from bedplate.testing import running, settings


class Part:
    """A component with any of the optional abilities given to it."""

    def __init__(self, kind: str = "part", **abilities: Any) -> None:
        self.kind = kind
        for name, value in abilities.items():
            setattr(self, name, value)

    @property
    def spec(self) -> Spec:
        return Spec(kind=self.kind, summary="A part.")

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        self.host = host
        yield


def application() -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        yield {"pool": [1]}

    app = FastAPI(lifespan=lifespan)

    @app.get("/state")
    async def state(request: Request) -> Any:
        request.state.seen = getattr(request.state, "seen", 0) + 1
        return {"pool": request.state.pool, "seen": request.state.seen}

    @app.get("/metrics-of-sales")
    async def sales() -> str:
        return "42"

    @app.get("/cache/own")
    async def own() -> str:
        return "the application's"

    return app


async def _stats(request: StarletteRequest) -> JSONResponse:
    return JSONResponse({"keys": 3})


def cache() -> Part:
    return Part(
        "cache",
        routes=lambda: [
            Routes(routes=[Route("/stats", _stats, methods=["GET", "POST"])], prefix="/cache", management=False),
            Routes(routes=[Route("/metrics", _stats)], prefix="/cache"),
            Routes(routes=[Route("/about", _stats)], prefix="/cache", management=False, access=None),
        ],
    )


async def test_the_applications_state_reaches_each_request_fresh() -> None:
    async with running(Service("shop", application(), settings=settings())) as harness:
        for _ in range(2):
            assert (await harness.client.get("/state")).json() == {"pool": [1], "seen": 1}


async def test_operators_paths_that_nobody_has_are_the_applications() -> None:
    async with running(Service("shop", application(), [cache()], settings=settings())) as harness:
        assert (await harness.client.get("/metrics-of-sales")).json() == "42"
        assert (await harness.client.get("/cache/own")).json() == "the application's"
        assert (await harness.client.get("/cache/stats")).json() == {"keys": 3}
        assert (await harness.client.get("/monitoring/cache/metrics")).json() == {"keys": 3}


async def test_a_components_routes_need_the_role_that_they_declare() -> None:
    tokens = "eyes:viewer:viewers-token-0123456789,hands:operator:operators-token-0123456789"
    service = Service("shop", application(), [cache()], settings=settings(auth={"tokens": tokens}))
    async with running(service, headers={}) as harness:

        async def status(method: str, path: str, token: str = "") -> int:
            headers = {"authorization": f"Bearer {token}"} if token else {}
            return (await harness.client.request(method, path, headers=headers)).status_code

        assert await status("GET", "/cache/about") == 200
        assert await status("GET", "/cache/stats") == 401
        assert await status("GET", "/cache/stats", "viewers-token-0123456789") == 200
        assert await status("POST", "/cache/stats", "viewers-token-0123456789") == 403
        assert await status("POST", "/cache/stats", "operators-token-0123456789") == 200
        assert await status("GET", "/monitoring/nothing") == 401, "which paths exist is told to viewers only"
        assert await status("GET", "/monitoring/nothing", "viewers-token-0123456789") == 404


async def test_middleware_stands_in_the_order_of_its_stages() -> None:
    passed: list[str] = []

    def layer(name: str) -> Any:
        def factory(app: ASGIApp) -> ASGIApp:
            async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
                passed.append(name)
                await app(scope, receive, send)

            return middleware

        return factory

    def part(stage: Any) -> Part:
        return Part(stage, middleware=lambda: [Middleware(stage=stage, factory=layer(stage))])

    parts = [part(stage) for stage in ("replay", "edge", "guard", "identity")]
    async with running(Service("shop", application(), parts, settings=settings())) as harness:
        await harness.client.get("/state")
        assert passed == ["edge", "identity", "guard", "replay"]
        passed.clear()
        await harness.client.get("/monitoring/health")
        assert passed == [], "operators reach the service whatever stands before the application"


async def test_a_guard_refuses_the_application_and_never_the_operators() -> None:
    def guard(scope: Scope) -> Verdict:
        return Verdict(headers=((b"retry-after", b"9"),), status=503, title="Closed", detail="Stock-taking.")

    async with running(Service("shop", application(), [Part(guard=guard)], settings=settings())) as harness:
        refused = await harness.client.get("/state")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "9")
        assert refused.json()["detail"] == "Stock-taking."
        for path in ("/livez", "/readyz", "/metrics", "/monitoring/components"):
            assert (await harness.client.get(path)).status_code == 200, path


async def test_a_path_that_only_begins_like_an_operators_one_does_not_get_around_guards_and_middleware() -> None:
    passed: list[str] = []

    def factory(app: ASGIApp) -> ASGIApp:
        async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
            passed.append(scope["path"])
            await app(scope, receive, send)

        return middleware

    closed = False

    def guard(scope: Scope) -> Verdict | None:
        return Verdict(status=503) if closed else None

    layer = Part("layer", middleware=lambda: [Middleware(stage="edge", factory=factory)])
    service = Service("shop", application(), [cache(), Part(guard=guard), layer], settings=settings())
    paths = ["/metrics-of-sales", "/cache/own", "/monitoringly"]
    async with running(service) as harness:
        assert [(await harness.client.get(path)).status_code for path in paths] == [200, 200, 404]
        assert passed == paths
        closed = True
        assert [(await harness.client.get(path)).status_code for path in paths] == [503, 503, 503]
        samples = await harness.samples()
        seen = {
            name: n for name, n in samples.items() if name.startswith("http_server_request_duration_seconds_count{")
        }
        assert sum(n for name, n in seen.items() if '"/cache/own"' in name) == 1
        assert sum(n for name, n in seen.items() if '"503"' in name) == 3


async def test_the_operators_port_never_serves_the_application() -> None:
    service = Service("shop", application(), [cache()], settings=settings())
    async with running(service):
        transport = httpx2.ASGITransport(app=service.entry.manage)  # type: ignore[arg-type]
        client = httpx2.AsyncClient(transport=transport, base_url="http://localhost")
        async with client:
            statuses = [(await client.get(path)).status_code for path in ("/cache/own", "/state", "/livez", "/readyz")]
            assert statuses == [404, 404, 200, 200]
            assert (await client.get("/cache/about")).json() == {"keys": 3}


async def test_before_and_after_its_run_a_service_answers_probes_and_refuses_the_rest() -> None:
    service = Service("shop", application(), settings=settings())
    client = httpx2.AsyncClient(transport=httpx2.ASGITransport(app=service), base_url="http://localhost")  # type: ignore[arg-type]

    async def statuses() -> list[int]:
        return [(await client.get(path)).status_code for path in ("/livez", "/readyz", "/state")]

    async with client:
        assert await statuses() == [200, 503, 503]
        browser = await client.get("/state", headers={"accept": "text/html"})
        assert browser.status_code == 503 and 'http-equiv="refresh" content="1"' in browser.text
        async with running(service):
            assert await statuses() == [200, 200, 200]
        assert await statuses() == [200, 503, 503]


async def test_one_that_is_told_to_go_before_it_has_started_never_says_that_it_is_ready() -> None:
    service = Service("shop", application(), settings=settings())
    service.builtins.health.drain()
    async with running(service) as harness:
        assert (await harness.client.get("/readyz")).json() == {"status": "stopping"}
    async with running(service) as harness:
        assert (await harness.client.get("/readyz")).status_code == 200


async def test_a_websocket_is_closed_while_the_service_starts() -> None:
    service = Service("shop", application(), settings=settings())
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "websocket", "path": "/live", "headers": [], "root_path": "", "query_string": b""}
    await service(scope, receive, send)
    assert sent[0]["type"] == "websocket.close" and sent[0]["code"] == 1013


async def test_probes_are_no_traffic() -> None:
    async with running(Service("shop", application(), settings=settings())) as harness:
        for _ in range(3):
            await harness.client.get("/livez")
            await harness.client.get("/readyz")
        samples = await harness.samples()
        assert not [name for name in samples if name.startswith("http_server_request_duration") and "200" in name]


def test_names_must_fit_paths_labels_and_each_other() -> None:
    with pytest.raises(DeclarationError, match="cannot be a path and a label"):
        Service("My Shop")
    one = Part()
    with pytest.raises(DeclarationError, match="is in shop and in store"):
        Process([Service("shop", None, [one], settings=settings()), Service("store", None, [one], settings=settings())])
    with pytest.raises(DeclarationError, match="Two things are called 'shop'"):
        Process([Service("shop", settings=settings()), Service("shop", settings=settings())])


async def test_a_crash_of_a_task_is_grouped_counted_and_shown() -> None:
    async def explode() -> None:
        raise ValueError("tick went wrong")

    part = Part("ticker")
    part.lifespan = _spawning(explode)  # type: ignore[method-assign]
    async with running(Service("shop", None, [part], settings=settings())) as harness:
        await harness.clock.advance(1)
        samples = await harness.samples()
        assert samples['bedplate_service_task_crashes_total{component="ticker",task="tick"}'] >= 1
        groups = (await harness.client.get("/monitoring/errors")).json()["items"]
        assert [group["type"] for group in groups] == ["ValueError"]
        component = (await harness.client.get("/monitoring/components/ticker/default")).json()
        assert component["tasks"][0]["last_error"] == "ValueError: tick went wrong"


def _spawning(fn: Any) -> Any:
    @asynccontextmanager
    async def lifespan(host: Host) -> AsyncIterator[None]:
        host.spawn("tick", fn)
        yield

    return lifespan


async def test_a_rotated_token_file_takes_effect_without_a_restart(tmp_path: Any) -> None:
    file = tmp_path / "tokens"
    file.write_text("ops:viewer:the-old-token-0123456789")
    import os

    os.environ["BEDPLATE_TOKENS_FILE"] = str(file)
    try:
        from bedplate.settings import Settings

        service = Service("shop", None, settings=Settings(environment="test", logs={"stream": "off"}))
        async with running(service, headers={}) as harness:

            async def status(token: str) -> int:
                headers = {"authorization": f"Bearer {token}"}
                return (await harness.client.get("/monitoring/components", headers=headers)).status_code

            assert await status("the-old-token-0123456789") == 200
            file.write_text("ops:viewer:the-new-token-0123456789")
            for _ in range(1000):
                await harness.clock.advance(5)
                if await status("the-new-token-0123456789") == 200:
                    break
            assert await status("the-new-token-0123456789") == 200
            assert await status("the-old-token-0123456789") == 401
    finally:
        del os.environ["BEDPLATE_TOKENS_FILE"]
