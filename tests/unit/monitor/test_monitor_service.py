"""A whole service in production, asked by nobody in particular."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from bedplate.component import Host, Spec
from bedplate.declarations import Probe, Routes
from bedplate.service import Service
from bedplate.settings import Settings
from bedplate.settings.layers import Sources
from tests.unit.monitor.monitor_fakes import client

TOKENS = {"viewer": "viewer-token-123456", "metrics": "scraper-token-12345"}


class Shelf:
    """A component with routes of every kind."""

    def __init__(self) -> None:
        self.may_start = asyncio.Event()
        self.spec = Spec(kind="shelf", summary="Holds things.", probes=(Probe(name="firm", check=self.check),))

    async def check(self) -> None:
        return None

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        await self.may_start.wait()
        yield

    def routes(self) -> Sequence[Routes]:
        async def answer(request: Any) -> PlainTextResponse:
            return PlainTextResponse("shelf")

        router = APIRouter()

        @router.get("/items/{item}")
        async def item(item: int) -> int:
            return item

        included = APIRouter()
        included.include_router(router, prefix="/v2")
        return (
            Routes(routes=[Route("/stats", answer)], prefix="/shelf"),
            Routes(routes=[Route("/admin", answer, methods=["GET", "POST"])], prefix="/shelf", management=False),
            Routes(routes=included.routes, prefix="/shelf"),
        )


def make(tmp_path: Path, environment: str = "production", **environ: str) -> tuple[Service, Shelf]:
    app = FastAPI()

    @app.get("/hello")
    async def hello() -> str:
        return "hello"

    tokens = ",".join(f"{role}:{role}:{token}" for role, token in TOKENS.items())
    variables = {"BEDPLATE_ENV": environment, "BEDPLATE_TOKENS": tokens, "BEDPLATE_LOGS__STREAM": "off"}
    # The working directory, where the database would be, is the project's.
    file = f"sqlite:///{tmp_path / 'ledger.sqlite3'}"
    variables |= {"DATABASE_URL": file, "BEDPLATE_ALLOW": "sqlite", **environ}
    sources = Sources(environ=variables, directory=tmp_path, secrets=tmp_path)
    shelf = Shelf()
    return Service("ledger", app, [shelf], settings=Settings(_sources=sources)), shelf


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    made, shelf = make(tmp_path)
    shelf.may_start.set()
    async with made.running():
        async with asyncio.timeout(60):
            while not made.builtins.health.status.ready:
                await asyncio.sleep(0.01)
        yield made


def management_paths(service: Service) -> list[str]:
    """Every path below the management prefix and at the root that a component brings."""
    found = set()
    for component in service.components:
        for routes in component.routes() if hasattr(component, "routes") else ():
            for route in routes.routes:
                prefix = ("/monitoring" if routes.management else "") + routes.prefix
                found.add(prefix + str(getattr(route, "path", "/v2/items/7")))
    concrete = {"{kind}": "shelf", "{name}": "default", "{action}": "x", "{id}": "0", "{fingerprint}": "0"}
    for name, value in concrete.items():
        found = {path.replace(name, value) for path in found}
    return sorted(found)


async def test_in_production_nothing_but_the_bare_health_answers_without_credentials(service: Service) -> None:
    paths = management_paths(service)
    assert {"/healthz", "/metrics", "/monitoring/logs", "/monitoring/shelf/v2/items/7", "/shelf/admin"} <= set(paths)
    async with client(service) as http:
        for path in paths:
            for method in ("GET", "HEAD", "POST", "OPTIONS", "DELETE"):
                answer = await http.request(method, path)
                if path.startswith("/console"):
                    # It asks people by itself: who has not signed in learns the methods that all paths have alike.
                    open_to_all = path == "/console/sign-in" or method == "OPTIONS"
                    assert open_to_all or answer.status_code in (401, 404, 405), (method, path, answer.status_code)
                    assert method != "OPTIONS" or (answer.status_code, answer.content) == (204, b"")
                elif path in ("/monitoring/health", "/monitoring/checks"):
                    assert answer.status_code in ((200, 204) if method in ("GET", "HEAD", "OPTIONS") else (405,))
                else:
                    assert answer.status_code in (401, 403), (method, path, answer.status_code)
        assert [(await http.get(path)).status_code for path in ("/livez", "/readyz", "/hello")] == [200, 200, 200]
        assert set((await http.get("/monitoring/health")).json()) == {"status", "ready", "phase"}
        # What is open is told, and what must be closed, so that somebody outside can try it.
        told = (await http.get("/monitoring/checks")).json()["checks"]
        known = {"/livez", "/readyz", "/monitoring/health", "/monitoring/checks", "/console/sign-in"}
        assert {check["path"] for check in told if not check["anonymous"]} <= known


async def test_with_a_token_everything_answers(service: Service) -> None:
    async with client(service, token=TOKENS["viewer"]) as http:
        for path in ("", "/health/detailed", "/metrics", "/components", "/traces", "/errors", "/logs", "/shelf/stats"):
            assert (await http.get(f"/monitoring{path}")).status_code == 200, path
        components = (await http.get("/monitoring/components?limit=100")).json()["items"]
        assert {"shelf", "health", "auth", "management"} <= {item["kind"] for item in components}
        for item in components:
            answer = await http.get(f"/monitoring/components/{item['kind']}/{item['name']}")
            assert answer.status_code == 200
            assert not any(token in answer.text for token in TOKENS.values())
        checks = [check for part in service.components for check in part.spec.checks]
        for check in checks:
            assert (await http.get(check.path)).status_code == check.expect, check.path
    async with client(service, token=TOKENS["metrics"]) as http:
        assert 'bedplate_health_probe_up{component="shelf",probe="firm"} 1' in (await http.get("/metrics")).text
        assert (await http.get("/monitoring/logs")).status_code == 403


async def test_every_face_answers_while_the_service_is_still_starting(tmp_path: Path) -> None:
    service, shelf = make(tmp_path)
    starting = asyncio.create_task(_run(service, shelf.may_start))
    try:
        async with asyncio.timeout(60):
            while not any(view.spec.kind == "shelf" and view.state == "starting" for view in service.views):
                await asyncio.sleep(0.005)
        async with client(service, token=TOKENS["viewer"]) as http:
            assert (await http.get("/livez")).status_code == 200
            assert (await http.get("/readyz")).json() == {"status": "starting"}
            assert (await http.get("/healthz")).status_code == 503
            assert (await http.get("/metrics")).status_code == 200
            assert (await http.get("/monitoring/health")).json()["phase"] == "starting"
            assert (await http.get("/hello")).status_code == 503
    finally:
        shelf.may_start.set()
        await starting


async def test_an_application_that_starts_slowly_keeps_the_service_unready(tmp_path: Path) -> None:
    service, shelf = make(tmp_path)
    shelf.may_start.set()
    may_start = asyncio.Event()

    @asynccontextmanager
    async def slowly(app: FastAPI) -> AsyncIterator[None]:
        await may_start.wait()
        yield

    assert isinstance(service.app, FastAPI)
    service.app.router.lifespan_context = slowly
    ended = asyncio.Event()
    running = asyncio.create_task(_run(service, ended))
    health = service.builtins.health
    async with asyncio.timeout(60):
        while [reason.component for reason in health.status.reasons] != ["app"]:
            await asyncio.sleep(0.01)
        async with client(service) as http:
            assert (await http.get("/readyz")).json() == {"status": "starting"}
        may_start.set()
        while not health.status.ready:
            await asyncio.sleep(0.01)
    ended.set()
    await running


async def _run(service: Service, until: asyncio.Event) -> None:
    async with service.running():
        await until.wait()


def test_production_without_tokens_is_refused(tmp_path: Path) -> None:
    service, _ = make(tmp_path, BEDPLATE_TOKENS="")
    refusals = [refusal for refusal in service.refusals() if refusal.component == "auth"]
    assert len(refusals) == 1
    development, _ = make(tmp_path, "development", BEDPLATE_TOKENS="")
    assert not [refusal for refusal in development.refusals() if refusal.component == "auth"]
