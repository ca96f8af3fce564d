"""What an application may do with a request, and what is sent, measured and logged of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import BackgroundTasks, FastAPI
from starlette.requests import ClientDisconnect, Request
from starlette.responses import StreamingResponse

from bedplate.telemetry.http import HttpSettings
from bedplate.telemetry.http.metrics import ACTIVE, DURATION, ERRORS, REQUEST_SIZE, RESPONSE_SIZE
from tests.unit.telemetry.http.wire import Wired, respond, scope_of, wired

UNMATCHED = "_unmatched"


async def statuses(w: Wired) -> dict[str, float]:
    return {labels[2]: count for labels, count in (await w.values(DURATION, "_count")).items()}


async def active(w: Wired) -> float:
    return (await w.values(ACTIVE))[()]


async def test_a_request_is_measured_and_logged_once() -> None:
    app = FastAPI()

    @app.post("/items/{key}")
    async def item(key: int, request: Request) -> dict[str, int]:
        return {"read": len(await request.body())}

    async with wired(app) as w:
        answer = await w.call("POST", "/items/1", body=[b"x" * 1500, b"y" * 500])
        assert answer.json == {"read": 2000}
        assert answer.headers["x-request-id"] == w.records[0]["request_id"]
        assert await w.values(DURATION, "_count") == {("POST", "/items/{key}", "200"): 1}
        assert await w.values(REQUEST_SIZE, "_sum") == {("POST", "/items/{key}"): 2000}
        assert await w.values(RESPONSE_SIZE, "_sum") == {("POST", "/items/{key}"): len(answer.body)}
        assert await w.values(ERRORS) == {}
        assert await active(w) == 0
    (record,) = w.records
    assert (record["request_size"], record["response_size"]) == (2000, len(answer.body))


async def test_active_requests_are_counted_while_they_last() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        seen.append(await active(w))
        await send({"type": "http.response.body", "body": b""})
        seen.append(await active(w))

    seen: list[float] = []
    async with wired(app) as w:
        await w.get()
    assert seen == [1, 0]


async def test_a_stream_is_one_response_with_its_whole_size_and_time() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x" * 10
            await asyncio.sleep(0.01)

    app = FastAPI()
    app.get("/stream")(lambda: StreamingResponse(chunks()))
    async with wired(app) as w:
        assert (await w.get("/stream")).body == b"x" * 30
        assert list((await w.values(RESPONSE_SIZE, "_sum")).values()) == [30]
        assert sum((await w.values(DURATION, "_sum")).values()) >= 0.03


async def test_a_background_task_is_not_a_part_of_the_duration() -> None:
    async def task() -> None:
        seen.append((await active(w), len(w.records), sum((await w.values(DURATION, "_sum")).values())))

    app = FastAPI()

    @app.get("/")
    def plan(tasks: BackgroundTasks) -> None:
        tasks.add_task(task)

    seen: list[tuple[float, int, float]] = []
    async with wired(app) as w:
        await w.get()
        duration = sum((await w.values(DURATION, "_sum")).values())
    assert duration > 0 and seen == [(0, 1, duration)]


async def test_head_has_no_body_to_measure() -> None:
    async with wired(lambda s, r, send: respond(send, body=b"ok")) as w:
        await w.call("HEAD")
        assert list((await w.values(RESPONSE_SIZE, "_sum")).values()) == [0]


async def test_early_hints_and_trailers_pass() -> None:
    messages = [
        {"type": "http.response.early_hint", "links": [b"</style.css>"]},
        {"type": "http.response.start", "status": 200, "headers": [], "trailers": True},
        {"type": "http.response.body", "body": b"abc", "more_body": True},
        {"type": "http.response.body", "body": b"de"},
        {"type": "http.response.trailers", "headers": [(b"a", b"1")], "more_trailers": True},
        {"type": "http.response.trailers", "headers": [(b"b", b"2")]},
    ]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            assert w.records == []
            await send(message)
        assert len(w.records) == 1

    async with wired(app) as w:
        answer = await w.get()
    assert answer.error is None
    assert [m["type"] for m in answer.messages] == [m["type"] for m in messages]
    assert w.records[0]["response_size"] == 5


@pytest.mark.parametrize(
    "file",
    [{"type": "http.response.pathsend", "path": "/f"}, {"type": "http.response.zerocopysend", "file": 3, "count": 512}],
)
async def test_a_file_that_the_server_reads_is_the_whole_response(file: dict[str, Any]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"512")]})
        await send(file)

    async with wired(app) as w:
        assert (await w.get()).messages[-1] == file
    assert w.records[0]["response_size"] == 512


async def test_a_message_that_is_sent_again_and_again_is_left_alone() -> None:
    start = {"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start)
        await send({"type": "http.response.body"})

    async with wired(app) as w:
        one, two = await w.get(), await w.get()
    assert start == {"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]}
    assert len(one.messages[0]["headers"]) == len(two.messages[0]["headers"])


async def test_headers_may_be_any_iterable_or_missing() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        start: dict[str, Any] = {"type": "http.response.start", "status": 200}
        if scope["path"] == "/generator":
            start["headers"] = (pair for pair in [(b"a", b"b")])
        await send(start)
        await send({"type": "http.response.body"})

    async with wired(app) as w:
        assert (await w.get("/generator")).headers["a"] == "b"
        assert "x-request-id" in (await w.get("/none")).headers


# Failures -----------------------------------------------------------------------------------------------------------


class BoomError(Exception):
    pass


BOOM = f"{BoomError.__module__}.BoomError"


async def test_an_exception_becomes_a_problem_that_names_the_request() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise BoomError("secret detail")

    async with wired(app) as w:
        answer = await w.get("/", (b"x-request-id", b"mine"))
        assert answer.error is None
        assert answer.status == 500
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.json["request_id"] == "mine"
        assert b"secret detail" not in answer.body
        assert await statuses(w) == {"500": 1}
        assert await w.values(ERRORS) == {(UNMATCHED, BOOM): 1}
        assert await active(w) == 0
    (record,) = w.records
    assert (record["level"], record["status"], record["error_type"]) == ("ERROR", 500, BOOM)


async def test_an_exception_behind_the_frameworks_own_500_is_known_too() -> None:
    app = FastAPI()

    @app.get("/fail/{key}")
    async def fail(key: str) -> None:
        raise BoomError

    captured: list[Any] = []

    class Store:
        def capture(self, error: BaseException, context: Any, *, route: str) -> None:
            captured.append((type(error), context.request_id, route))

    async with wired(app, errors=Store()) as w:
        answer = await w.get("/fail/1", (b"x-request-id", b"mine"))
        assert answer.error is None
        assert answer.complete
        assert (answer.status, answer.json["request_id"]) == (500, "mine")
        assert await w.values(ERRORS) == {("/fail/{key}", BOOM): 1}
    assert captured == [(BoomError, "mine", "/fail/{key}")]
    assert len(w.records) == 1


async def test_a_500_without_an_exception_is_counted_by_its_status() -> None:
    async with wired(lambda s, r, send: respond(send, 503)) as w:
        await w.get()
        assert await w.values(ERRORS) == {(UNMATCHED, "503"): 1}
        await w.get()
    assert [record["level"] for record in w.records] == ["ERROR"] * 2


async def test_an_exception_in_mid_response_goes_on_so_that_the_server_closes() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise BoomError

    async with wired(app) as w:
        answer = await w.get()
        assert isinstance(answer.error, BoomError)
        assert [m["type"] for m in answer.messages] == ["http.response.start", "http.response.body"]
        assert await statuses(w) == {"200": 1}
        assert await w.values(ERRORS) == {(UNMATCHED, BOOM): 1}
        assert await active(w) == 0
    assert (w.records[0]["level"], w.records[0]["error_type"]) == ("ERROR", BOOM)


async def test_an_exception_in_a_background_task_is_reported_and_ends_there() -> None:
    async def fail() -> None:
        raise BoomError

    app = FastAPI()

    @app.get("/")
    def plan(tasks: BackgroundTasks) -> None:
        tasks.add_task(fail)

    async with wired(app) as w:
        answer = await w.get()
        assert (answer.status, answer.error) == (200, None)
        assert await statuses(w) == {"200": 1}
        assert await w.values(ERRORS) == {("/", BOOM): 1}
    assert len(w.records) == 1


@pytest.mark.parametrize("sent", [0, 1])
async def test_an_application_that_returns_too_early_has_failed(sent: int) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if sent:
            await send({"type": "http.response.start", "status": 200, "headers": []})

    async with wired(app) as w:
        answer = await w.get()
        assert await w.values(ERRORS) == {(UNMATCHED, "incomplete_response"): 1}
        assert await active(w) == 0
    # What has begun cannot be mended; the server closes the connection.
    assert answer.status == (200 if sent else 500)
    assert len(answer.messages) == (1 if sent else 2)


async def test_a_second_start_is_the_servers_to_refuse() -> None:
    def strict(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            if started:
                raise RuntimeError("response already started")
            started.append(True)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.start", "status": 404, "headers": []})

    started: list[bool] = []
    async with wired(app) as w:
        answer = await w.get(send=strict)
        assert isinstance(answer.error, RuntimeError)
        assert await statuses(w) == {"200": 1}
        assert await w.values(ERRORS) == {(UNMATCHED, "RuntimeError"): 1}


async def test_a_message_after_the_end_changes_nothing() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await respond(send)
        await send({"type": "http.response.body", "body": b"late"})

    async with wired(app) as w:
        await w.get()
        assert await statuses(w) == {"200": 1}


async def test_exceptions_can_be_raised_again_for_test_clients() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise BoomError

    async with wired(app, HttpSettings(reraise=True)) as w:
        answer = await w.get()
    assert answer.status == 500
    assert isinstance(answer.error, BoomError)


async def test_what_fails_while_reporting_does_not_change_the_answer(caplog: pytest.LogCaptureFixture) -> None:
    class Store:
        def capture(self, error: BaseException, context: Any, *, route: str) -> None:
            raise OSError("disk full")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise BoomError

    async with wired(app, errors=Store()) as w:
        answer = await w.get()
    assert (answer.status, answer.error) == (500, None)
    assert "Could not report" in caplog.text


# Clients that leave -------------------------------------------------------------------------------------------------


async def test_a_client_that_leaves_while_sending_is_no_error() -> None:
    app = FastAPI()

    @app.post("/upload")
    async def upload(request: Request) -> int:
        return len(b"".join([chunk async for chunk in request.stream()]))

    async def gone() -> dict[str, str]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        """Ignore it, as uvicorn does once the client has gone."""

    async with wired(app) as w:
        await w.app(scope_of("POST", "/upload"), gone, send)
        assert await statuses(w) == {"499": 1}
        assert await w.values(ERRORS) == {}
        assert await active(w) == 0
    assert (w.records[0]["status"], w.records[0]["level"]) == (499, "INFO")


async def endless() -> AsyncIterator[bytes]:
    while True:
        yield b"data: x\n\n"
        await asyncio.sleep(0)


@pytest.mark.parametrize(("media_type", "status"), [("text/csv", "499"), ("text/event-stream", "200")])
async def test_leaving_a_stream_of_events_is_how_it_ends(media_type: str, status: str) -> None:
    app = FastAPI()
    app.get("/")(lambda: StreamingResponse(endless(), media_type=media_type))
    async with wired(app) as w:
        answer = await w.get(leaves=True)
        assert answer.error is None
        assert await statuses(w) == {status: 1}
        assert await w.values(ERRORS) == {}


async def test_a_client_that_leaves_before_the_last_byte_is_no_error() -> None:
    def broken(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.body":
            raise ConnectionResetError

    async with wired(lambda s, r, send: respond(send)) as w:
        answer = await w.get(send=broken)
        assert answer.error is None
        assert await statuses(w) == {"499": 1}
        assert await w.values(ERRORS) == {}


async def test_the_frameworks_word_for_it_is_understood() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise ClientDisconnect

    async with wired(app) as w:
        answer = await w.get()
        assert (answer.messages, answer.error) == ([], None)
        assert await statuses(w) == {"499": 1}


async def test_a_client_that_leaves_after_the_end_is_no_error() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await respond(send)
        raise ClientDisconnect

    async with wired(app) as w:
        assert (await w.get()).error is None
        assert await statuses(w) == {"200": 1}
        assert await w.values(ERRORS) == {}


async def test_cancellation_goes_on() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise asyncio.CancelledError

    async with wired(app) as w:
        answer = await w.get()
        assert isinstance(answer.error, asyncio.CancelledError)
        assert await statuses(w) == {"499": 1}
        assert await active(w) == 0


async def test_cancellation_during_a_background_task_does_not_change_the_record() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await respond(send)
        raise asyncio.CancelledError

    async with wired(app) as w:
        assert isinstance((await w.get()).error, asyncio.CancelledError)
        assert await statuses(w) == {"200": 1}


async def test_an_error_of_our_own_after_the_client_has_left_is_still_an_error() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await receive()
        raise BoomError

    async with wired(app) as w:
        await w.get(leaves=True)
        assert await w.values(ERRORS) == {(UNMATCHED, BOOM): 1}


# Life ---------------------------------------------------------------------------------------------------------------


async def test_it_serves_unmeasured_before_and_after_its_life() -> None:
    async with wired(lambda s, r, send: respond(send)) as w:
        pass
    assert (await w.get()).status == 200
    assert len(w.records) == 1
    assert await statuses(w) == {}
    async with w.http.lifespan(w.host):  # type: ignore[arg-type]
        await w.get()
        assert await statuses(w) == {"200": 1}
        assert await active(w) == 0


async def test_a_request_that_outlives_its_component_is_counted_down() -> None:
    release = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await release.wait()
        await respond(send)

    async with wired(app) as w:
        task = asyncio.create_task(w.get())
        await asyncio.sleep(0)
        assert await active(w) == 1
    release.set()
    assert (await task).status == 200
    assert await active(w) == 0


async def test_other_scopes_pass() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    seen: list[str] = []
    async with wired(app) as w:
        await w.app({"type": "lifespan"}, None, None)
    assert seen == ["lifespan"]
