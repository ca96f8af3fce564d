from __future__ import annotations

import asyncio
import contextvars
import time
from typing import Any

from fastapi import BackgroundTasks, FastAPI
from starlette.middleware.base import BaseHTTPMiddleware

from bedplate.telemetry.context import bind_context, current
from bedplate.telemetry.http.metrics import DURATION
from bedplate.telemetry.traces.recorder import TraceRecorder
from bedplate.telemetry.traces.settings import TraceSettings
from bedplate.telemetry.traces.spans import span
from bedplate.telemetry.traces.store import TraceStore
from tests.unit.telemetry.http.wire import respond, wired

TRACEPARENT = b"traceparent"
SAMPLED = b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01"
UNSAMPLED = SAMPLED[:-1] + b"0"


def recorder(**settings: Any) -> TraceRecorder:
    settings = {"sample_ratio": 0.0, **settings}
    return TraceRecorder(TraceSettings(**settings), TraceStore(100, 10**6))


async def test_endpoint_thread_and_background_task_see_the_request() -> None:
    app = FastAPI()
    seen: list[str] = []

    def note() -> None:
        context = current.get()
        assert context is not None
        seen.append(context.request_id)

    @app.get("/")
    def endpoint(tasks: BackgroundTasks) -> None:
        note()
        tasks.add_task(note)

    async with wired(app) as w:
        await w.get("/", (b"x-request-id", b"mine"))
    assert seen == ["mine", "mine"]
    assert current.get() is None


async def test_what_the_endpoint_binds_reaches_the_record_through_base_http_middleware() -> None:
    app = FastAPI()

    async def dispatch(request: Any, call_next: Any) -> Any:
        bind_context(tier="gold")
        return await call_next(request)

    app.add_middleware(BaseHTTPMiddleware, dispatch=dispatch)

    @app.get("/")
    async def endpoint() -> None:
        bind_context(user_id="u7", password="hunter2", status="mine")

    async with wired(app) as w:
        await w.get()
    (record,) = w.records
    assert (record["user_id"], record["tier"]) == ("u7", "gold")
    assert (record["status"], record["status_"]) == (200, "mine")
    assert "hunter2" not in str(w.lines)


async def test_requests_side_by_side_do_not_see_each_other() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        context = current.get()
        assert context is not None
        await asyncio.sleep(0.001)
        assert current.get() is context
        await respond(send, body=context.request_id.encode())

    async with wired(app) as w:
        names = [f"r{number}".encode() for number in range(50)]
        answers = await asyncio.gather(*(w.get("/", (b"x-request-id", name)) for name in names))
    assert [answer.body for answer in answers] == names


async def test_an_outer_context_comes_back() -> None:
    async with wired(lambda s, r, send: respond(send)) as w:
        contextvars.copy_context()
        await w.get()
        assert current.get() is None


async def test_only_sampled_slow_and_failed_requests_reach_the_recorder() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/slow":
            await asyncio.sleep(0.52)
        if scope["path"] == "/keep":
            context = current.get()
            assert context is not None
            context.keep = True
        if scope["path"] == "/fail":
            raise ValueError("no")
        await respond(send, 503 if scope["path"] == "/down" else 200)

    traces = recorder(slow_threshold=0.5)
    async with wired(app, traces=traces) as w:
        for path in ("/fast", "/slow", "/fail", "/down"):
            await w.get(path)
        await w.get("/sampled", (TRACEPARENT, SAMPLED))
        await w.get("/unsampled", (TRACEPARENT, UNSAMPLED))
        await w.get("/keep")
    kept = {trace["path"]: trace for trace in traces.store.search()}
    assert {"/slow", "/fail", "/down", "/sampled"} <= set(kept)
    assert {"/fast", "/unsampled"}.isdisjoint(kept)
    assert kept["/sampled"]["trace_id"] == "a" * 32


async def test_a_request_contains_its_spans_however_long_reporting_its_failure_takes() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        with span("work"):
            raise ValueError("no")

    class SlowToNote:
        def capture(self, error: BaseException, context: Any, *, route: str) -> None:
            time.sleep(0.02)

    traces = recorder()
    async with wired(app, traces=traces, errors=SlowToNote()) as w:
        await w.get()
    (kept,) = traces.store.search()
    trace = traces.store.get(kept["trace_id"])
    assert trace is not None
    root, work = trace["spans"]
    assert (root["name"], work["name"]) == ("GET", "work")
    assert root["start"] <= work["start"]


async def test_the_recorder_decides_what_is_sampled() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        context = current.get()
        assert context is not None
        assert context.recorder is traces
        seen.append(context.sampled)
        await respond(send)

    seen: list[bool] = []
    traces = recorder(sample_ratio=1.0)
    async with wired(app, traces=traces) as w:
        await w.get()
        await w.get("/", (TRACEPARENT, UNSAMPLED))
    assert seen == [True, False]


async def test_sampled_requests_leave_exemplars() -> None:
    async with wired(lambda s, r, send: respond(send)) as w:
        await w.get("/", (TRACEPARENT, SAMPLED))
        text = (await w.host.registry.render(openmetrics=True)).decode()
    lines = [line for line in text.splitlines() if line.startswith(DURATION.name + "_bucket") and " # {" in line]
    assert len(lines) == 1
    assert f'trace_id="{"a" * 32}"' in lines[0]
