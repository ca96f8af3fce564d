from __future__ import annotations

from typing import Annotated, Any

import pytest
from fastapi import Body, FastAPI, Header, HTTPException, Query
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, field_validator
from starlette.applications import Starlette
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Mount, Route

from bedplate.telemetry.http import install_problem_handlers
from tests.unit.telemetry.http.wire import Answer, call, wired

SECRET = "hunter2-hunter2"


class Payment(BaseModel):
    amount: int
    tags: list[int] = []
    note: str = ""

    @field_validator("note")
    @classmethod
    def short(cls, value: str) -> str:
        if len(value) > 10:
            raise ValueError(f"{value!r} is too long ({value})")
        return value


def fastapi() -> FastAPI:
    app = FastAPI()

    @app.post("/payments")
    def pay(
        payment: Payment, limit: Annotated[int, Query(le=10)] = 1, x_tier: Annotated[int, Header()] = 0
    ) -> None: ...

    @app.post("/numbers")
    def numbers(first: Annotated[int, Body()], second: Annotated[int, Body()]) -> None: ...

    @app.get("/refuse")
    def refuse(status: int, detail: str = "") -> None:
        raise HTTPException(status, detail or None, {"Retry-After": "7"})

    @app.get("/object")
    def an_object() -> None:
        raise HTTPException(409, {"code": "taken", "detail": "It is taken.", "status": 1})

    @app.get("/list")
    def a_list() -> None:
        raise HTTPException(409, ["one", {2}])

    @app.get("/boom")
    def boom() -> None:
        raise RuntimeError(SECRET)

    return app


def problem(answer: Answer) -> dict[str, Any]:
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json
    assert document["type"] == "about:blank"
    assert document["status"] == answer.status
    assert document["request_id"] == answer.headers["x-request-id"]
    return document


async def test_unknown_paths_and_methods_are_problems() -> None:
    async with wired(fastapi()) as w:
        assert problem(await w.get("/nothing"))["title"] == "Not Found"
        answer = await w.call("DELETE", "/boom")
        assert problem(answer)["status"] == 405
        assert answer.headers["allow"] == "GET"


async def test_http_exceptions_keep_status_detail_and_headers() -> None:
    async with wired(fastapi()) as w:
        answer = await w.get("/refuse", query=b"status=429&detail=Too+fast.")
        assert answer.headers["retry-after"] == "7"
        document = problem(answer)
        assert (document["status"], document["title"], document["detail"]) == (429, "Too Many Requests", "Too fast.")
        assert "detail" not in problem(await w.get("/refuse", query=b"status=418"))


async def test_structured_details_become_members() -> None:
    async with wired(fastapi()) as w:
        document = problem(await w.get("/object"))
        assert (document["code"], document["detail"], document["status"]) == ("taken", "It is taken.", 409)
        assert problem(await w.get("/list"))["errors"] == ["one", [2]]


@pytest.mark.parametrize("status", [204, 304])
async def test_statuses_without_a_body_have_none(status: int) -> None:
    async with wired(fastapi()) as w:
        answer = await w.get("/refuse", query=f"status={status}".encode())
    assert (answer.status, answer.body) == (status, b"")


async def test_invalid_requests_name_each_fault_and_no_value() -> None:
    body = f'{{"amount": "{SECRET}", "tags": [1, "{SECRET}"], "note": "{SECRET}"}}'.encode()
    async with wired(fastapi()) as w:
        answer = await w.call(
            "POST",
            "/payments",
            (b"content-type", b"application/json"),
            (b"x-tier", SECRET.encode()),
            body=body,
            query=b"limit=99",
        )
    document = problem(answer)
    assert document["status"] == 422
    assert SECRET.encode() not in answer.body
    faults = {fault.get("pointer") or fault["parameter"]: fault for fault in document["errors"]}
    assert set(faults) == {"#/amount", "#/tags/1", "#/note", "limit", "x-tier"}
    assert faults["limit"]["in"] == "query"
    assert faults["limit"]["detail"] == "Input should be less than or equal to 10"
    assert faults["#/amount"]["type"] == "int_parsing"
    assert "is too long" in faults["#/note"]["detail"]


async def test_broken_json_is_an_invalid_request() -> None:
    async with wired(fastapi()) as w:
        headers = (b"content-type", b"application/json")
        document = problem(await w.call("POST", "/payments", headers, body=b'{"amount": '))
    assert document["errors"][0]["type"] == "json_invalid"


async def test_pointers_are_escaped() -> None:
    app = FastAPI()

    @app.post("/")
    def any_numbers(numbers: dict[str, int]) -> None: ...

    async with wired(app) as w:
        answer = await w.call("POST", "/", (b"content-type", b"application/json"), body=b'{"a/b~c": "x"}')
    assert problem(answer)["errors"][0]["pointer"] == "#/a~1b~0c"


async def test_unhandled_exceptions_say_nothing_of_themselves() -> None:
    async with wired(fastapi()) as w:
        answer = await w.get("/boom")
    assert problem(answer)["title"] == "Internal Server Error"
    assert SECRET.encode() not in answer.body


async def test_starlette_applications_too() -> None:
    def refuse(request: Any) -> PlainTextResponse:
        raise StarletteHTTPException(403, "Not yours.")

    async with wired(Starlette(routes=[Route("/refuse", refuse)])) as w:
        assert problem(await w.get("/refuse"))["detail"] == "Not yours."
        assert problem(await w.get("/nothing"))["status"] == 404
        assert problem(await w.call("POST", "/refuse"))["status"] == 405


async def test_mounted_applications_too() -> None:
    app = FastAPI()
    app.mount("/sub", fastapi())
    app.routes.append(Mount("/third", app=Starlette(routes=[Mount("/deep", fastapi())])))
    async with wired(app) as w:
        assert problem(await w.get("/sub/nothing"))["status"] == 404
        assert problem(await w.get("/third/deep/boom"))["status"] == 500
        assert len(w.records) == 2


async def test_handlers_of_the_application_come_first() -> None:
    def answer(text: str) -> Any:
        async def handler(request: Any, error: Exception) -> JSONResponse:
            return JSONResponse(text, 400)

        return handler

    app = fastapi()
    app.add_exception_handler(StarletteHTTPException, answer("http"))
    app.add_exception_handler(RequestValidationError, answer("invalid"))
    app.add_exception_handler(500, answer("boom"))
    async with wired(app) as w:
        assert (await w.get("/nothing")).json == "http"
        assert (await w.call("POST", "/payments")).json == "invalid"
        assert (await w.get("/boom")).json == "boom"


async def test_an_application_that_has_served_already_is_mended_too() -> None:
    app = fastapi()
    assert (await call(app, "GET", "/nothing")).headers["content-type"] == "application/json"
    install_problem_handlers(app)
    assert (await call(app, "GET", "/nothing")).headers["content-type"] == "application/problem+json"


async def test_installing_twice_is_once() -> None:
    app = fastapi()
    install_problem_handlers(app)
    stack = app.middleware_stack = app.build_middleware_stack()
    install_problem_handlers(app)
    assert app.middleware_stack is stack
