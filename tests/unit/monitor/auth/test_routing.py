from __future__ import annotations

from typing import Any

import pytest
from fastapi import APIRouter, Depends
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Mount, NoMatchFound, Route, WebSocketRoute
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocket

from bedplate.declarations import Routes
from bedplate.monitor.auth import Authenticator, AuthSettings, GuardedRoute, ProblemRouter, secure
from bedplate.telemetry.http.routes import Templates
from tests.unit.monitor.monitor_fakes import client

TOKENS = {"viewer": "viewer-token-123456", "operator": "operator-token-1234", "admin": "admin-token-1234567"}


def bearer(role: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {TOKENS[role]}"}


@pytest.fixture
def auth() -> Authenticator:
    tokens = ",".join(f"{role}:{role}:{token}" for role, token in TOKENS.items())
    return Authenticator(AuthSettings(tokens=tokens), environment="production")  # type: ignore[arg-type]


async def ok(request: Any) -> PlainTextResponse:
    return PlainTextResponse(f"{request.method} {request.path_params}")


@pytest.mark.parametrize(
    ("access", "method", "allowed"),
    [
        (None, "GET", {"", "viewer", "operator", "admin"}),
        (None, "POST", {"", "viewer", "operator", "admin"}),
        ("viewer", "GET", {"viewer", "operator", "admin"}),
        ("viewer", "POST", {"operator", "admin"}),
        ("operator", "GET", {"operator", "admin"}),
        ("operator", "POST", {"operator", "admin"}),
        ("admin", "GET", {"admin"}),
        ("admin", "POST", {"admin"}),
    ],
)
async def test_access_is_enforced(auth: Authenticator, access: Any, method: str, allowed: set[str]) -> None:
    routes = Routes(routes=[Route("/x", ok, methods=["GET", "POST"])], prefix="/cache", access=access)
    async with client(ProblemRouter(secure(routes, auth))) as http:
        for role in ("", "viewer", "operator", "admin"):
            answer = await http.request(method, "/cache/x", headers=bearer(role) if role else {})
            assert (answer.status_code == 200) is (role in allowed), role


async def test_a_route_keeps_the_gate_that_it_brings(auth: Authenticator) -> None:
    brought = GuardedRoute(Route("/x", ok, methods=["POST"]), auth, access="viewer", unsafe="viewer")
    async with client(ProblemRouter(secure(Routes(routes=[brought], access="admin"), auth, "/m"))) as http:
        assert (await http.post("/m/x", headers=bearer("viewer"))).status_code == 200
        assert (await http.post("/m/x")).status_code == 401


async def test_prefixes_end_at_a_slash_and_stand_for_their_root(auth: Authenticator) -> None:
    routes = Routes(routes=[Route("/", ok), Route("/{key}", ok)], prefix="/cache", access=None)
    async with client(ProblemRouter(secure(routes, auth))) as http:
        assert [(await http.get(path)).status_code for path in ("/cache", "/cache/", "/cache/a")] == [200, 200, 200]
        assert [(await http.get(path)).status_code for path in ("/cachex", "/", "/x/cache/a")] == [404, 404, 404]


async def test_what_does_not_match_is_left_to_the_application(auth: Authenticator) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await PlainTextResponse(f"app {scope['path']} {scope.get('root_path', '')}")(scope, receive, send)

    routes = Routes(routes=[Route("/stats", ok)], prefix="/cache")
    async with client(ProblemRouter(secure(routes, auth), default=application)) as http:
        assert (await http.get("/cache/other")).text == "app /cache/other "
        assert (await http.get("/cache/stats")).status_code == 401


async def test_two_routes_of_one_path_share_their_methods(auth: Authenticator) -> None:
    routes = [Route("/x", ok, methods=["GET"]), Route("/x", ok, methods=["PUT"])]
    async with client(ProblemRouter(secure(Routes(routes=routes, access=None), auth))) as http:
        answer = await http.delete("/x")
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS, PUT")
        assert (await http.put("/x")).status_code == 200


async def test_http_exceptions_are_problems_and_others_pass_through(auth: Authenticator) -> None:
    async def teapot(request: Any) -> None:
        raise HTTPException(418, "short and stout", {"X-Handle": "here"})

    async def broken(request: Any) -> None:
        raise KeyError("x")

    router = ProblemRouter(secure(Routes(routes=[Route("/t", teapot), Route("/b", broken)], access=None), auth))
    async with client(router) as http:
        answer = await http.get("/t")
        assert (answer.status_code, answer.headers["content-type"]) == (418, "application/problem+json")
        assert (answer.json()["detail"], answer.headers["x-handle"]) == ("short and stout", "here")
        with pytest.raises(KeyError):
            await http.get("/b")


def fastapi_router() -> APIRouter:
    inner, outer = APIRouter(), APIRouter()

    async def twice(n: int) -> int:
        return n * 2

    @inner.get("/numbers/{n}")
    async def number(n: int, double: int = Depends(twice)) -> dict[str, int]:
        return {"n": n, "double": double}

    @inner.post("/numbers")
    async def add(number: dict[str, int]) -> dict[str, int]:
        return number

    outer.include_router(inner, prefix="/v1")
    return outer


async def test_the_routes_of_a_fastapi_router_work_and_their_faults_are_problems(auth: Authenticator) -> None:
    routes = Routes(routes=fastapi_router().routes, prefix="/math")
    async with client(ProblemRouter(secure(routes, auth, "/monitoring")), token=TOKENS["operator"]) as http:
        assert (await http.get("/monitoring/math/v1/numbers/4")).json() == {"n": 4, "double": 8}
        wrong = await http.get("/monitoring/math/v1/numbers/four")
        assert (wrong.status_code, wrong.headers["content-type"]) == (422, "application/problem+json")
        assert wrong.json()["errors"][0]["at"] == "path.n"
        assert "four" not in wrong.text
        assert (await http.post("/monitoring/math/v1/numbers", json={"a": 1})).json() == {"a": 1}
        assert (await http.post("/monitoring/math/v1/numbers", json={"a": "x"})).status_code == 422
        assert (await http.get("/monitoring/math/v1/nothing")).status_code == 404
        other = await http.delete("/monitoring/math/v1/numbers")
        assert (other.status_code, other.headers["allow"]) == (405, "OPTIONS, POST")


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/monitoring/cache/stats", "/monitoring/cache/stats"),
        ("/monitoring/cache/key/7", "/monitoring/cache/key/{id}"),
        ("/monitoring/cache", "/monitoring/cache/"),
    ],
)
async def test_the_template_of_a_route_has_its_prefixes(auth: Authenticator, path: str, template: str) -> None:
    routes = Routes(routes=[Route("/", ok), Route("/stats", ok), Route("/key/{id:int}", ok)], prefix="/cache")
    router = ProblemRouter(secure(routes, auth, "/monitoring"))
    seen: list[str] = []

    async def outer(scope: Any, receive: Any, send: Any) -> None:
        await router(scope, receive, send)
        seen.append(Templates().of(scope))

    async with client(outer, token=TOKENS["viewer"]) as http:
        await http.get(path)
        await http.post(path)
        await http.get(path, headers={"Authorization": "Bearer wrong"})
    assert seen == [template] * 3


async def test_the_template_of_an_included_fastapi_route_has_all_prefixes(auth: Authenticator) -> None:
    router = ProblemRouter(secure(Routes(routes=fastapi_router().routes, prefix="/math"), auth, "/monitoring"))
    seen, templates = [], Templates()

    async def outer(scope: Any, receive: Any, send: Any) -> None:
        await router(scope, receive, send)
        seen.append(templates.of(scope))

    async with client(outer, token=TOKENS["viewer"]) as http:
        for path in ("v1/numbers/4", "v1/numbers/5", "v1/numbers/x"):
            await http.get(f"/monitoring/math/{path}")
    assert seen == ["/monitoring/math/v1/numbers/{n}"] * 3


def test_a_websocket_stands_behind_the_same_gate(auth: Authenticator) -> None:
    async def echo(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text(await socket.receive_text())
        await socket.close()

    http = TestClient(ProblemRouter(secure(Routes(routes=[WebSocketRoute("/ws", echo)], prefix="/live"), auth)))
    with pytest.raises(WebSocketDenialResponse) as caught, http.websocket_connect("/live/ws"):
        pass
    assert caught.value.status_code == 401
    with http.websocket_connect("/live/ws", headers=bearer("viewer")) as socket:
        socket.send_text("hello")
        assert socket.receive_text() == "hello"


async def test_a_mount_can_be_guarded(auth: Authenticator) -> None:
    async def page(scope: Any, receive: Any, send: Any) -> None:
        await JSONResponse({"root": scope["root_path"], "path": scope["path"]})(scope, receive, send)

    routes = Routes(routes=[Mount("/files", app=page)], prefix="/static")
    async with client(ProblemRouter(secure(routes, auth))) as http:
        assert (await http.get("/static/files/a")).status_code == 401
        answer = await http.get("/static/files/a", headers=bearer("viewer"))
        assert answer.json() == {"root": "/static/files", "path": "/static/files/a"}


def test_routes_have_names(auth: Authenticator) -> None:
    routes = Routes(routes=[Route("/key/{id}", ok, name="key")], prefix="/cache")
    router = ProblemRouter(secure(routes, auth, "/monitoring"))
    assert router.url_path_for("key", id="7") == "/monitoring/cache/key/7"
    with pytest.raises(NoMatchFound):
        router.url_path_for("nothing")
