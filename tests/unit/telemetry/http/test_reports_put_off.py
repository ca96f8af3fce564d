"""Reports of ordinary requests are put off and made together: whoever looks sees them, and nothing is lost."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import threading
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

import orjson
import pytest
from fastapi import APIRouter, BackgroundTasks, FastAPI, Response, WebSocket

from bedplate.telemetry.context import bind_context
from bedplate.telemetry.http import Http, HttpSettings
from bedplate.telemetry.http.later import MOST
from bedplate.telemetry.http.metrics import ACTIVE, DURATION, ERRORS, METRICS, RESPONSE_SIZE
from bedplate.telemetry.logs.writer import Writer
from bedplate.telemetry.metrics.registry import Registry
from tests.unit.telemetry.http.wire import Host, Wired, scope_of, wired


class Kept:
    """An output that keeps what it gets."""

    name = "kept"
    errors_only = False
    fault = ""
    lost = written = waiting = 0

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.written_to = threading.Event()

    def write(self, lines: Any, *, patient: bool = True) -> None:
        self.lines += lines
        self.written_to.set()

    def close(self) -> None:
        """Nothing to close."""


class Later(Wired):
    """A wired application whose reports are put off, with a writer that hands over when it is asked."""

    before_reading: list[Callable[[], None]]
    writer: Writer
    kept: Kept

    @property
    def records(self) -> list[dict[str, Any]]:
        self.writer.flush()
        return [orjson.loads(line) for line in self.kept.lines]


@asynccontextmanager
async def put_off(
    app: Any, settings: HttpSettings | None = None, *, interval: float = 60, **collaborators: Any
) -> AsyncIterator[Later]:
    before_reading: list[Callable[[], None]] = []
    host = Host()
    host.registry = Registry("ledger", None, before_reading)
    host.bind = host.registry.bind
    host.registry.declare(METRICS)
    writer, kept = Writer(interval=interval), Kept()
    http = Http(settings, before_reading=before_reading, **collaborators)
    wrapped = http.wrap(app, sink=writer, service=host.service)
    writer.start([kept])
    try:
        async with http.lifespan(host):  # type: ignore[arg-type]
            later = Later(wrapped, host, http, kept.lines)
            later.before_reading, later.writer, later.kept = before_reading, writer, kept
            yield later
    finally:
        writer.close()
    assert before_reading == writer.sources == writer.late == []


def items() -> FastAPI:
    app = FastAPI()
    router = APIRouter()

    @router.get("/items/{key}")
    async def item(key: str) -> Response:
        return Response(b"x" * 10, int(key) if key.isdigit() else 200)

    app.include_router(router)
    app.include_router(router, prefix="/v2")
    return app


async def test_who_reads_sees_every_request_that_has_ended() -> None:
    async with put_off(items()) as w:
        for number in range(2 * MOST + 3):
            await w.get(f"/items/a{number}")
            if number % 50 == 0:
                assert sum((await w.values(DURATION, "_count")).values()) == number + 1
                assert len(w.records) == number + 1
        assert (await w.values(ACTIVE))[()] == 0
        assert await w.values(RESPONSE_SIZE, "_sum") == {("GET", "/items/{key}"): 10 * (2 * MOST + 3)}
        assert [record["path"] for record in w.records] == [f"/items/a{number}" for number in range(2 * MOST + 3)]


async def test_each_is_counted_by_its_own_route_method_and_status() -> None:
    async with put_off(items()) as w:
        for path in ("/items/a", "/v2/items/a", "/items/404", "/v2/items/b", "/nowhere"):
            await w.get(path)
        await w.call("HEAD", "/items/a")
        assert await w.values(DURATION, "_count") == {
            ("GET", "/items/{key}", "200"): 1,
            ("GET", "/v2/items/{key}", "200"): 2,
            ("GET", "/items/{key}", "404"): 1,
            ("GET", "_unmatched", "404"): 1,
            ("HEAD", "/items/{key}", "405"): 1,
        }
        assert {record["route"] for record in w.records} == {"/items/{key}", "/v2/items/{key}", "_unmatched"}


async def test_a_record_put_off_says_what_one_at_the_end_says() -> None:
    async with put_off(items()) as w:
        answer = await w.get("/items/a", (b"x-request-id", b"mine"), query=b"page=2&token=abc")
        (later,) = w.records
    async with wired(items()) as w:
        await w.get("/items/a", (b"x-request-id", b"mine"), query=b"page=2&token=abc")
        (now,) = w.records
    assert answer.headers["x-request-id"] == later["request_id"] == "mine"
    differing = {"timestamp", "trace_id", "span_id", "duration_ms"}
    assert list(later) == list(now)
    assert {name: later[name] for name in later if name not in differing} == {
        name: now[name] for name in now if name not in differing
    }


async def test_a_line_that_cannot_be_formed_is_counted_and_takes_no_other_with_it() -> None:
    async with put_off(items()) as w:
        for path, peer in (("/items/a", "::1"), ("/items/c", "no address: \ud800"), ("/items/b", "::1")):
            await w.get(path, client=(peer, 1))
        assert [record["path"] for record in w.records] == ["/items/a", "/items/b"]
        assert w.writer.dropped == 1
        assert sum((await w.values(DURATION, "_count")).values()) == 3


async def test_what_a_server_may_leave_out_of_a_scope_is_not_missed() -> None:
    async def receive() -> Any:
        raise AssertionError("nobody reads a body")

    async def send(message: Any) -> None:
        sent.append(message)

    sent: list[Any] = []
    async with put_off(items()) as w:
        scope = scope_of("GET", "/items/a")
        del scope["root_path"], scope["client"]
        await w.app(scope, receive, send)
        assert sent[0]["status"] == 200
        (record,) = w.records
        assert (record["route"], record["client"]) == ("/items/{key}", "")
        assert await w.values(DURATION, "_count") == {("GET", "/items/{key}", "200"): 1}


async def test_what_was_bound_to_a_request_is_in_its_record() -> None:
    app = FastAPI()

    @app.get("/")
    async def who() -> None:
        bind_context(user_id="u1", shop=7)

    async with put_off(app) as w:
        await w.get()
        (record,) = w.records
    assert (record["user_id"], record["shop"]) == ("u1", 7)


async def test_nobody_has_to_ask() -> None:
    async with put_off(items()) as w:
        await w.get("/items/a")
        cell = w.host.bind(
            DURATION, http_request_method="GET", http_route="/items/{key}", http_response_status_code="200"
        )
        async with asyncio.timeout(60):
            while cell.count == 0:
                await asyncio.sleep(0.01)


async def test_what_ended_before_the_loop_hangs_is_reported_while_it_does() -> None:
    async with put_off(items(), interval=0.01) as w:
        await w.get("/items/a")
        assert w.kept.written_to.wait(60)  # in the loop's own thread: no timer of it runs meanwhile
        assert len(w.kept.lines) == 1
        cell = w.host.bind(
            DURATION, http_request_method="GET", http_route="/items/{key}", http_response_status_code="200"
        )
        assert cell.count == 1


async def test_the_end_of_the_service_reports_what_is_left() -> None:
    async with put_off(items()) as w:
        await w.get("/items/a")
    assert len(w.kept.lines) == 1
    cell = w.host.bind(DURATION, http_request_method="GET", http_route="/items/{key}", http_response_status_code="200")
    assert cell.count == 1


async def test_an_error_in_the_log_comes_after_the_requests_before_it() -> None:
    async with put_off(items()) as w:
        await w.get("/items/a")
        w.writer.write(b'{"timestamp":"","level":"ERROR"}\n', logging.ERROR)
        assert [b"/items/a" in line for line in w.kept.lines] == [True, False]


async def test_a_websocket_comes_after_the_requests_before_it() -> None:
    app = items()

    @app.websocket("/talk")
    async def talk(websocket: WebSocket) -> None:
        await websocket.close()

    async def receive() -> dict[str, str]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        """Take it."""

    async with put_off(app) as w:
        await w.get("/items/a")
        await w.app(scope_of(path="/talk", kind="websocket"), receive, send)
        await w.get("/items/b")
        assert [record["path"] for record in w.records] == ["/items/a", "/talk", "/items/b"]


async def test_an_error_in_a_background_task_is_named_by_its_route() -> None:
    app = FastAPI()

    def fail() -> None:
        raise ZeroDivisionError

    @app.get("/plan/{key}")
    def plan(key: str, tasks: BackgroundTasks) -> None:
        tasks.add_task(fail)

    async with put_off(app) as w:
        await w.get("/plan/1")
        assert await w.values(ERRORS) == {("/plan/{key}", "ZeroDivisionError"): 1}
        assert await w.values(DURATION, "_count") == {("GET", "/plan/{key}", "200"): 1}


async def test_a_request_that_cannot_be_reported_takes_no_other_with_it(caplog: pytest.LogCaptureFixture) -> None:
    async with put_off(items()) as w:
        bind = w.host.bind

        def refuse(metric: Any, **labels: str) -> Any:
            if labels.get("http_response_status_code") == "201":
                raise RuntimeError("no room")
            return bind(metric, **labels)

        w.host.bind = refuse  # type: ignore[assignment]
        for path in ("/items/200", "/items/201", "/items/202"):
            assert (await w.get(path)).error is None
        counts = await w.values(DURATION, "_count")
    assert {labels[2] for labels in counts} == {"200", "202"}
    assert "Could not report a request" in caplog.text


async def test_a_child_of_a_fork_reports_nothing_of_its_parents() -> None:
    async with put_off(items()) as w:
        await w.get("/items/a")
        before = await w.get("/items/b")
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:  # it must say what it sees, and go without a trace
            for flush in w.before_reading:
                flush()
            os.write(writing, b"%d" % len(w.writer._pending))
            os._exit(0)
        os.waitpid(child, 0)
        assert os.read(reading, 10) == b"0"
        os.close(reading)
        os.close(writing)
        assert before.status == 200
        assert len(w.records) == 2


async def test_what_is_bound_to_a_request_lives_no_longer_than_it() -> None:
    class Big:
        pass

    kept: list[Any] = []
    bound: ContextVar[Big] = ContextVar("bound")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["state"]["big"] = big = Big()
        bound.set(big)
        kept.append(weakref.ref(big))
        del big
        await inner(scope, receive, send)

    inner = items()
    async with put_off(app) as w:
        await asyncio.create_task(w.get("/items/a"))
        await asyncio.sleep(0)  # the loop lets go of the task
        gc.collect()
        assert kept[0]() is None
