"""What the tests of traces share: a host that remembers, and the least of an HTTP middleware."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from bedplate.clock import SystemClock
from bedplate.telemetry.context import WorkContext, current
from bedplate.telemetry.traces import TraceRecorder, Traces, TraceSettings, TraceStore, parse_traceparent
from bedplate.telemetry.traces.notes import random_bits


class Log:
    """A logger that remembers."""

    def __init__(self) -> None:
        self.records: list[tuple[str, str, dict[str, Any]]] = []

    def __getattr__(self, level: str) -> Any:
        return lambda event, **context: self.records.append((level, event, context))


class Cell:
    def __init__(self, values: Counter[tuple[str, ...]], key: tuple[str, ...]) -> None:
        self._values, self._key = values, key

    def inc(self, amount: float = 1.0) -> None:
        self._values[self._key] += amount


class FakeHost:
    """A host whose cells, log and state can be read."""

    role = "web"
    environment = "test"
    components = ()

    def __init__(self, service: str = "shop") -> None:
        self.service = service
        self.log = Log()
        self.clock = SystemClock()
        self.values: Counter[tuple[str, ...]] = Counter()
        self.states: list[str | None] = []

    def bind(self, metric: Any, /, **labels: str) -> Cell:
        assert set(labels) == set(metric.label_names)
        return Cell(self.values, (metric.name.removeprefix("bedplate_traces_"), *labels.values()))

    def spawn(self, *_: Any, **__: Any) -> None:
        raise AssertionError("traces need no task")

    def degraded(self, reason: str | None) -> None:
        self.states.append(reason)


class Middleware:
    """The fused HTTP middleware as far as traces are concerned."""

    def __init__(self, app: Any, traces: Traces) -> None:
        self.app, self.traces = app, traces

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        recorder = self.traces.recorder
        parent = parse_traceparent(dict(scope["headers"]).get(b"traceparent", b"").decode())
        trace_id = parent.trace_id if parent else f"{random_bits(128):032x}"
        sampled = recorder.sample(trace_id, parent.sampled if parent else None)
        work = WorkContext("req", trace_id, f"{random_bits(64):016x}", parent.span_id if parent else "", sampled)
        work.recorder = recorder
        if not sampled:
            scope["fastapi.telemetry"] = None
        status, finished = 500, False
        started, began = time.time_ns(), time.perf_counter()

        def finish(error: BaseException | None = None) -> None:
            nonlocal finished
            if finished:
                return
            finished = True
            recorder.finish_request(
                work,
                method=scope["method"],
                route=getattr(scope.get("route"), "path", ""),
                path=scope["path"],
                status=status,
                started_ns=started,
                duration_s=time.perf_counter() - began,
                error=error,
            )

        async def sent(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)
            # A request is over with its last byte: what the application does afterwards is late.
            if message["type"] == "http.response.body" and not message.get("more_body") and status < 500:
                finish()

        token = current.set(work)
        try:
            await self.app(scope, receive, sent)
        except Exception as failure:
            finish(failure)
            raise
        finally:
            finish()
            current.reset(token)


@pytest.fixture
def host() -> FakeHost:
    return FakeHost()


@pytest.fixture
def make_recorder() -> Iterator[Any]:
    """Make recorders that are stopped after the test, with or without a host that they run on."""
    made: list[TraceRecorder] = []

    def make(host: FakeHost | None = None, **settings: Any) -> TraceRecorder:
        options = TraceSettings(**settings)
        recorder = TraceRecorder(options, TraceStore(options.max_traces, options.max_bytes))
        if host is not None:
            recorder.start(host)
            made.append(recorder)
        return recorder

    yield make
    for recorder in made:
        recorder.stop()


@pytest.fixture
def work() -> Iterator[WorkContext]:
    """An unsampled request at hand, without a recorder."""
    context = WorkContext("req-1", "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
    token = current.set(context)
    yield context
    current.reset(token)


@pytest.fixture
def middleware() -> type[Middleware]:
    return Middleware
