from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Host, Mount, Route, Router
from starlette.staticfiles import StaticFiles

from bedplate.telemetry.http import HttpSettings
from bedplate.telemetry.http.metrics import DURATION
from tests.unit.telemetry.http.wire import respond, wired


async def hello(request: Any) -> PlainTextResponse:
    return PlainTextResponse("hello")


def fastapi() -> FastAPI:
    """Every shape that FastAPI's routing has."""
    app = FastAPI()
    items = APIRouter()

    @items.get("/items/{item_id:int}")
    @items.get("/things/{item_id}")
    def item(item_id: int) -> int:
        return item_id

    inner = APIRouter(prefix="/inner")
    inner.get("/{name}")(lambda name: name)
    nested = APIRouter(prefix="/outer")
    nested.include_router(inner, prefix="/deep")

    app.include_router(items)
    app.include_router(items, prefix="/v1")
    app.include_router(items, prefix="/v2")
    app.include_router(nested, prefix="/v3")
    app.get("/direct/{key}")(lambda key: key)
    app.add_route("/plain/{key}", hello)

    sub = FastAPI()
    sub.get("/leaf/{key}")(lambda key: key)
    sub.include_router(items, prefix="/v1")
    sub.mount("/below", Starlette(routes=[Route("/{key}", hello)]))
    app.mount("/sub", sub)
    app.mount("/again", sub)
    app.mount("/tenants/{tenant}", sub)
    app.mount("/wrapped", GZipMiddleware(Starlette(routes=[Route("/{key}", hello)])))
    app.mount("/raw", raw)
    return app


async def raw(scope: Any, receive: Any, send: Any) -> None:
    await respond(send)


FASTAPI = [
    ("/items/1", "/items/{item_id}"),
    ("/things/1", "/things/{item_id}"),
    ("/v1/items/1", "/v1/items/{item_id}"),
    ("/v2/items/1", "/v2/items/{item_id}"),
    ("/v2/things/1", "/v2/things/{item_id}"),
    ("/v3/outer/deep/inner/x", "/v3/outer/deep/inner/{name}"),
    ("/direct/1", "/direct/{key}"),
    ("/direct/x%2Fy", "/direct/{key}"),
    ("/plain/1", "/plain/{key}"),
    ("/docs", "/docs"),
    ("/openapi.json", "/openapi.json"),
    ("/sub/leaf/1", "/sub/leaf/{key}"),
    ("/again/leaf/1", "/again/leaf/{key}"),
    ("/sub/v1/items/1", "/sub/v1/items/{item_id}"),
    ("/again/v1/things/1", "/again/v1/things/{item_id}"),
    ("/sub/below/x", "/sub/below/{key}"),
    ("/tenants/7/leaf/1", "/tenants/{tenant}/leaf/{key}"),
    ("/tenants/8/leaf/1", "/tenants/{tenant}/leaf/{key}"),
    ("/tenants/8/below/1", "/tenants/{tenant}/below/{key}"),
    ("/wrapped/1", "/wrapped/{key}"),
    ("/raw/a/b", "/raw/{path}"),
    ("/sub/nothing", "/sub/{path}"),
    ("/tenants/9/nothing", "/tenants/{tenant}/{path}"),
    ("/nothing", "_unmatched"),
    ("/v1/nothing", "_unmatched"),
    ("/items/1/", "_unmatched"),
]


@pytest.mark.parametrize("root_path", ["", "/ledger", "/sub"])
async def test_fastapi_routes_are_told_by_their_whole_template(root_path: str) -> None:
    async with wired(fastapi()) as w:
        for _ in range(2):
            for path, _ in FASTAPI:
                await w.get(path, root_path=root_path)
        assert [(r["path"].removeprefix(root_path), r["route"]) for r in w.records] == FASTAPI * 2


STARLETTE = [
    ("/one/1", "/one/{key}"),
    ("/two/1", "/two/{key}"),
    ("/mounted/leaf/1", "/mounted/leaf/{key}"),
    ("/mounted/deeper/1", "/mounted/deeper/{key}"),
    ("/v/9/leaf/1", "/v/{version}/leaf/{key}"),
    ("/router/leaf/1", "/router/leaf/{key}"),
    ("/mounted/nothing", "/mounted/{path}"),
    ("/nothing", "_unmatched"),
    ("/same/1", "/same/{key}"),
    ("/same/1/2", "/same/{key}/{other}"),
]


def starlette() -> Starlette:
    leaf = [Route("/leaf/{key}", hello), Mount("/deeper", routes=[Route("/{key}", hello)])]
    return Starlette(
        routes=[
            Route("/one/{key}", hello),
            Route("/two/{key:int}", hello),
            Mount("/mounted", routes=leaf),
            Mount("/v/{version:int}", routes=leaf),
            Mount("/router", app=Router(leaf)),
            Route("/same/{key}", hello),
            Route("/same/{key}/{other}", hello),
        ]
    )


@pytest.mark.parametrize("root_path", ["", "/ledger"])
async def test_starlette_routes_are_told_by_their_whole_template(root_path: str) -> None:
    async with wired(starlette()) as w:
        for path, _ in STARLETTE:
            await w.get(path, root_path=root_path)
        assert [(r["path"].removeprefix(root_path), r["route"]) for r in w.records] == STARLETTE


async def test_hosts_and_static_files_have_templates(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    site = Starlette(routes=[Route("/page/{key}", hello)])
    app = Starlette(routes=[Host("example.org", site), Mount("/static", StaticFiles(directory=tmp_path))])
    async with wired(app) as w:
        await w.get("/page/1")
    assert w.records[0]["route"] == "/page/{key}"
    app = FastAPI()
    app.mount("/static", StaticFiles(directory=tmp_path))
    async with wired(app) as w:
        assert (await w.get("/static/a.txt")).body == b"a"
        await w.get("/static/missing.txt")
    assert [record["route"] for record in w.records] == ["/static/{path}"] * 2


async def test_a_proxys_root_path_given_to_the_application_is_no_mount() -> None:
    app = FastAPI()
    app.root_path = "/api"
    app.get("/items/{key}")(lambda key: key)
    sub = FastAPI()
    sub.get("/leaf")(lambda: 1)
    app.mount("/sub", sub)
    async with wired(app) as w:
        for path in ("/items/1", "/api/items/1", "/api/sub/leaf"):
            assert (await w.get(path)).status == 200
    assert [r["route"] for r in w.records] == ["/items/{key}", "/items/{key}", "/sub/leaf"]


async def test_a_wrapped_application_inside_an_outer_router_stands_on_its_own() -> None:
    async with wired(fastapi()) as w:
        outer = Starlette(routes=[Mount("/ledger", app=w.app)])
        inner = w.app
        w.app = outer
        for path, _ in FASTAPI:
            await w.get("/ledger" + path)
        assert [r["route"] for r in w.records] == [template for _, template in FASTAPI]
        w.app = inner


async def test_routes_added_while_running_are_found() -> None:
    app = starlette()
    async with wired(app) as w:
        await w.get("/mounted/leaf/1")
        app.router.routes.append(Mount("/late", routes=[Route("/{key}", hello)]))
        await w.get("/late/1")
    assert [r["route"] for r in w.records] == ["/mounted/leaf/{key}", "/late/{key}"]


async def test_an_application_without_a_router_may_name_its_route() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/livez":
            scope["bedplate.route"] = "/livez"
        await respond(send)

    async with wired(app, HttpSettings(access_log_skip=())) as w:
        await w.get("/livez")
        await w.get("/other")
    assert [r["route"] for r in w.records] == ["/livez", "_unmatched"]


@pytest.mark.parametrize("make", [fastapi, starlette])
async def test_hostile_requests_add_no_series(make: Callable[[], Any]) -> None:
    known = "/one/1" if make is starlette else "/items/1"
    async with wired(make()) as w:
        for method, path in [
            ("GET", known),
            ("GET", "/nothing"),
            ("BREW", known),
            ("BREW", "/nothing"),
            ("PUT", known),
        ]:
            await w.call(method, path)
        before = await w.host.series()
        for number in range(10_000):
            if number % 4 == 0:
                await w.call("GET", f"/nothing/{number}/\x00\n{{}}")
            elif number % 4 == 1:
                await w.call(f"M{number}", known)
            elif number % 4 == 2:
                await w.call(f"M{number}", f"/{number}")
            else:
                await w.call("PUT", known)
        assert await w.host.series() == before
        counts = await w.values(DURATION, "_count")
    assert sum(counts.values()) == 10_005
    assert {labels[0] for labels in counts} == {"GET", "PUT", "_OTHER"}


async def test_a_method_that_a_known_route_refuses_is_counted_under_it() -> None:
    async with wired(fastapi()) as w:
        answer = await w.call("DELETE", "/v1/items/1")
        assert answer.status == 405
        assert ("DELETE", "/v1/items/{item_id}", "405") in await w.values(DURATION, "_count")
