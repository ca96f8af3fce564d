"""Export to a collector that listens on loopback and decodes what it gets."""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from opentelemetry import trace as otel
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from bedplate.problems import RefusedError
from bedplate.settings import Dsn, Secret
from bedplate.telemetry.context import current
from bedplate.telemetry.traces import Traces, TraceSettings, inject, span, traced, unsampled_otel_context


class Collector:
    """An OTLP/HTTP collector; ``status`` is what it answers, ``hang`` whether it answers at all."""

    def __init__(self) -> None:
        self.status, self.hang = 200, False
        self.requests: list[ExportTraceServiceRequest] = []
        self.headers: list[Any] = []
        self.release = threading.Event()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if collector.hang:
                    collector.release.wait(90)
                    return
                collector.headers.append(self.headers)
                if collector.status == 200:
                    collector.requests.append(ExportTraceServiceRequest.FromString(body))
                self.send_response(collector.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1/traces"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def spans(self) -> dict[str, Any]:
        return {s.name: s for _, s in self.pairs()}

    def pairs(self) -> list[tuple[str, Any]]:
        """Return (service name, span) of all it has got."""
        return [
            (next(a.value.string_value for a in resource.resource.attributes if a.key == "service.name"), s)
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for s in scope.spans
        ]

    def close(self) -> None:
        self.release.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.close()


def make(url: str, **settings: Any) -> Traces:
    defaults = {"otlp_endpoint": Dsn(url), "sample_ratio": 1.0, "export_delay": 0.02, "flush_timeout": 3.0}
    return Traces(TraceSettings(**(defaults | settings)))


def attributes(exported: Any) -> dict[str, Any]:
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in exported.attributes}


def an_app(tracer: Any = None) -> FastAPI:
    app = FastAPI()

    @traced("calculate")
    async def calculate() -> None:
        with span("price", symbol="X"):
            if tracer is not None:
                with tracer.start_as_current_span("SELECT", kind=SpanKind.CLIENT, attributes={"db.system": "pg"}):
                    await asyncio.sleep(0)

    @app.get("/orders/{id}")
    async def order(id: str) -> dict[str, str]:
        if tracer is not None:
            otel.get_current_span().set_attribute("order.id", id)
        await calculate()
        headers: dict[str, str] = {}
        inject(headers)
        return headers

    @app.get("/fail")
    async def fail() -> None:
        await calculate()
        raise ValueError("no")

    return app


def client(app: Any) -> httpx2.AsyncClient:
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    return httpx2.AsyncClient(transport=transport, base_url="http://shop")


async def test_a_sampled_request_is_one_trace_everywhere(collector: Collector, host: Any, middleware: Any) -> None:
    traces = make(collector.url, otlp_headers={"authorization": Secret("Bearer x")}, resource={"team": "a"})
    app = an_app(otel.get_tracer("a library"))
    traces.instrument(app)
    async with traces.lifespan(host):
        async with client(middleware(app, traces)) as http:
            answer = await http.get("/orders/7")
    server, calculate, price, select = (
        collector.spans()[name] for name in ("GET /orders/{id}", "calculate", "price", "SELECT")
    )
    assert len(collector.pairs()) == 4 and {service for service, _ in collector.pairs()} == {"shop"}
    assert collector.headers[0]["authorization"] == "Bearer x"
    (found,) = traces.store.search()
    # The same ids in the collector, in the store and in what was called: FastAPI's server span is our root.
    assert {s.trace_id.hex() for s in (server, calculate, price, select)} == {found["trace_id"]}
    shown = traces.store.get(found["trace_id"])
    assert shown is not None
    root = shown["spans"][0]["id"]
    assert server.span_id.hex() == root and server.parent_span_id == b""
    assert answer.json()["traceparent"] == f"00-{found['trace_id']}-{root}-01"
    assert calculate.parent_span_id == server.span_id
    assert (price.parent_span_id, select.parent_span_id) == (calculate.span_id, price.span_id)
    assert attributes(price) == {"symbol": "X"}
    assert [(s["name"], s["depth"]) for s in shown["spans"]] == [
        ("GET /orders/{id}", 0),
        ("calculate", 1),
        ("price", 2),
        ("SELECT", 3),
    ]
    assert shown["spans"][3]["attributes"] == {"db.system": "pg", "span.kind": "client"}
    assert shown["spans"][0]["attributes"]["order.id"] == "7"
    assert host.values[("exported_spans_total",)] == 4


async def test_the_callers_trace_is_continued(collector: Collector, host: Any, middleware: Any) -> None:
    traces = make(collector.url, sample_ratio=0.0)
    app = an_app()
    traces.instrument(app)
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with traces.lifespan(host):
        async with client(middleware(app, traces)) as http:
            await http.get("/orders/7", headers={"traceparent": parent, "tracestate": "congo=t61"})
    server = collector.spans()["GET /orders/{id}"]
    assert server.trace_id.hex() == "0af7651916cd43dd8448eb211c80319c"
    assert (server.parent_span_id.hex(), server.trace_state) == ("b7ad6b7169203331", "congo=t61")
    shown = traces.store.get(server.trace_id.hex())
    assert shown is not None
    assert shown["spans"][0]["id"] == server.span_id.hex()


@pytest.mark.parametrize("ambient", [True, False])
async def test_unsampled_requests_leave_no_orphans(
    collector: Collector, host: Any, middleware: Any, ambient: bool
) -> None:
    traces = make(collector.url, sample_ratio=0.0)
    seen: set[str] = set()
    app = an_app(tracer := otel.get_tracer("a library"))
    traces.instrument(app)

    @app.get("/library")
    async def library() -> str:
        work = current.get()
        assert work is not None
        with tracer.start_as_current_span("query", kind=SpanKind.CLIENT) as query:
            assert not query.is_recording()
            seen.add(f"{query.get_span_context().trace_id:032x}")
        return work.trace_id

    async def outer(scope: Any, receive: Any, send: Any) -> None:
        with unsampled_otel_context() if ambient else nullcontext():
            await app(scope, receive, send)

    async with traces.lifespan(host):
        async with client(middleware(outer, traces)) as http:
            ids = {(await http.get("/library")).json() for _ in range(200)}
            for _ in range(50):
                assert (await http.get("/orders/7")).json()["traceparent"].endswith("-00")
    # What libraries pass on is our trace, not sampled; nothing was recorded.
    assert seen == ids and len(ids) == 200
    assert (collector.pairs(), len(traces.store)) == ([], 0)


async def test_a_failed_request_is_exported_although_it_was_not_sampled(
    collector: Collector, host: Any, middleware: Any
) -> None:
    traces = make(collector.url, sample_ratio=0.0)
    app = an_app()
    traces.instrument(app)
    async with traces.lifespan(host):
        async with client(middleware(app, traces)) as http:
            await http.get("/fail")
    shown = traces.store.get(traces.store.search(error="ValueError")[0]["trace_id"])
    assert shown is not None
    exported = [s for _, s in collector.pairs()]
    assert len(exported) == 3
    assert {(s.name, s.span_id.hex(), s.parent_span_id.hex()) for s in exported} == {
        (s["name"], s["id"], s["parent"]) for s in shown["spans"]
    }
    root = collector.spans()["GET /fail"]
    assert attributes(root)["bedplate.kept"] == "error" and root.status.code == 2
    assert attributes(root)["error.type"] == "ValueError"
    # Kept once, although it was exported.
    assert (len(shown["spans"]), len(shown["records"])) == (3, 1)
    quiet = make(collector.url, sample_ratio=0.0, export_kept=False)
    quiet.instrument(app)
    async with quiet.lifespan(host):
        async with client(middleware(app, quiet)) as http:
            await http.get("/fail")
    assert len(collector.pairs()) == 3 and len(quiet.store) == 1


async def test_an_app_that_is_not_fastapi_and_a_job_have_roots_too(
    collector: Collector, host: Any, middleware: Any
) -> None:
    traces = make(collector.url)
    tracer = otel.get_tracer("a library")

    async def home(_: Any) -> PlainTextResponse:
        with span("render"):
            return PlainTextResponse("")

    app = Starlette(routes=[Route("/home", home)])
    traces.instrument(app)
    async with traces.lifespan(host):
        async with client(middleware(app, traces)) as http:
            await http.get("/home")
        with traces.recorder.start_work(name="digest") as job:
            with tracer.start_as_current_span("SMTP"):
                pass
    spans = collector.spans()
    assert set(spans) == {"GET /home", "render", "digest", "SMTP"}
    assert spans["render"].parent_span_id == spans["GET /home"].span_id
    assert spans["SMTP"].parent_span_id == spans["digest"].span_id
    assert (spans["digest"].trace_id.hex(), spans["digest"].span_id.hex()) == (job.trace_id, job.span_id)
    assert (spans["GET /home"].kind, spans["digest"].kind) == (2, 5)
    shown = traces.store.get(job.trace_id)
    assert shown is not None
    assert [(s["name"], s["depth"]) for s in shown["spans"]] == [("digest", 0), ("SMTP", 1)]


async def test_two_services_of_one_process_keep_their_names(collector: Collector, middleware: Any, host: Any) -> None:
    shop, bank = make(collector.url), make(collector.url, service_name="bank")
    tracer = otel.get_tracer("a library")
    apps = {name: an_app(tracer) for name in ("shop", "bank")}
    shop.instrument(apps["shop"])
    bank.instrument(apps["bank"])
    async with shop.lifespan(host), bank.lifespan(host):
        for name, traces in (("shop", shop), ("bank", bank)):
            async with client(middleware(apps[name], traces)) as http:
                await http.get("/orders/7")
    assert sorted((service, s.name) for service, s in collector.pairs() if s.name == "SELECT") == [
        ("bank", "SELECT"),
        ("shop", "SELECT"),
    ]
    assert (len(shop.store), len(bank.store)) == (1, 1)


async def test_it_starts_and_stops_again_and_again(collector: Collector, host: Any, middleware: Any) -> None:
    traces = make(collector.url)
    app = an_app(otel.get_tracer("a library"))
    app._telemetry["auto_configure"] = True
    before = dict(app._telemetry)
    traces.instrument(app)
    for n in range(1, 4):
        async with traces.lifespan(host):
            # FastAPI is not to add an exporter of its own to our provider.
            assert (app._telemetry["operation_spans"], app._telemetry["auto_configure"]) == (False, False)
            async with client(middleware(app, traces)) as http:
                await http.get("/orders/7")
        assert len(collector.pairs()) == 4 * n
    assert app._telemetry == before
    async with client(middleware(app, traces)) as http:
        assert (await http.get("/orders/7")).status_code == 200
    assert len(collector.pairs()) == 12


async def test_operation_spans_are_to_be_had(collector: Collector, host: Any, middleware: Any) -> None:
    traces = make(collector.url, operation_spans=True)
    app = an_app()
    traces.instrument(app)
    async with traces.lifespan(host):
        async with client(middleware(app, traces)) as http:
            await http.get("/orders/7")
    assert "fastapi.endpoint" in collector.spans()


async def test_a_provider_that_the_user_has_set_follows_our_work(host: Any, middleware: Any) -> None:
    theirs = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource({"service.name": "theirs"}), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(theirs))
    sampler, ids = provider.sampler, provider.id_generator
    app = FastAPI(telemetry={"tracer_provider": provider})

    @app.get("/orders/{id}")
    async def order(id: str) -> str:
        with span("price"):
            return id

    traces = Traces(TraceSettings(sample_ratio=1.0))
    traces.instrument(app)
    for _ in range(2):
        async with traces.lifespan(host):
            async with client(middleware(app, traces)) as http:
                await http.get("/orders/7")
        assert (provider.sampler, provider.id_generator) == (sampler, ids)
        assert app._telemetry["tracer_provider"] is provider
        (found,) = traces.store.search()
        shown = traces.store.get(found["trace_id"])
        assert shown is not None
        exported = {s.name: s for s in theirs.get_finished_spans()}
        assert {f"{s.context.trace_id:032x}" for s in exported.values() if s.context} == {found["trace_id"]}
        assert {f"{s.context.span_id:016x}" for s in exported.values() if s.context} == {
            s["id"] for s in shown["spans"]
        }
        assert [s["name"] for s in shown["spans"]] == ["GET /orders/{id}", "price"]
        theirs.clear()
        traces.store.clear()
    # Ours no more: what it traces now is its own business.
    with provider.get_tracer("later").start_as_current_span("own"):
        pass
    assert len(theirs.get_finished_spans()) == 1 and len(traces.store) == 0


async def test_a_span_of_a_thread_without_context_joins_its_trace(collector: Collector, host: Any) -> None:
    traces = make(collector.url)
    tracer = otel.get_tracer("a library")
    async with traces.lifespan(host):
        with traces.recorder.start_work(name="job") as work:
            opened = tracer.start_span("upload")
            thread = threading.Thread(target=opened.end)
            thread.start()
            thread.join()
    shown = traces.store.get(work.trace_id)
    assert shown is not None
    assert [(s["name"], s["depth"]) for s in shown["spans"]] == [("job", 0), ("upload", 1)]


async def until(condition: Any) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.005)


async def test_a_collector_that_refuses_is_counted_and_shown(collector: Collector, host: Any) -> None:
    collector.status = 400
    traces = make(collector.url)
    async with traces.lifespan(host):
        with span("one"):
            pass
        await until(lambda: host.values[("export_failures_total", "collector")] and host.states)
        assert host.states == ["spans cannot be exported to 127.0.0.1"]
        collector.status = 200
        with span("two"):
            pass
        await until(lambda: len(host.states) == 2)
        assert host.states[1] is None
    assert [s.name for _, s in collector.pairs()] == ["two"]
    assert host.values[("exported_spans_total",)] == 1


@pytest.mark.parametrize("absent", [True, False])
async def test_a_dead_collector_stops_neither_work_nor_shutdown(collector: Collector, host: Any, absent: bool) -> None:
    collector.hang = True
    url = collector.url
    if absent:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{free.getsockname()[1]}/v1/traces"
    traces = make(url, flush_timeout=0.2, otlp_timeout=90.0)
    began = time.monotonic()
    async with traces.lifespan(host):
        for _ in range(300):
            with span("one", slow=60):
                await asyncio.sleep(0)
    # The deadline, its grace, and much time for a busy machine; the export alone would take ninety.
    assert time.monotonic() - began < 45
    assert len(traces.store) == 300


async def test_a_full_queue_drops_and_counts(collector: Collector, host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    traces = make(collector.url, sample_ratio=0.0)
    async with traces.lifespan(host):
        export = traces.recorder.export
        assert export is not None
        blocked, go = threading.Event(), threading.Event()

        def wait(*_: Any) -> None:
            blocked.set()
            go.wait(60)

        monkeypatch.setattr(export, "_emit", wait)
        for n in range(300):
            with pytest.raises(ValueError), span("fails"):
                raise ValueError
            if n == 0:
                assert blocked.wait(60)
        go.set()
    assert host.values[("export_failures_total", "queue")] == 300 - 1 - 256


def test_without_the_sdk_an_endpoint_is_refused(monkeypatch: pytest.MonkeyPatch, host: Any) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk", None)
    monkeypatch.delitem(sys.modules, "opentelemetry.sdk.trace")
    traces = make("http://collector:4318/v1/traces")
    (refusal,) = traces.refusals("production", {})
    assert "pip install 'bedplate[otlp]'" in refusal.mend
    assert not list(Traces().refusals("production", {}))

    async def start() -> None:
        async with traces.lifespan(host):
            pass

    with pytest.raises(RefusedError, match="pip install"):
        asyncio.run(start())


async def test_without_an_endpoint_nothing_of_opentelemetry_is_touched(host: Any) -> None:
    traces = Traces()
    app = FastAPI()
    before = dict(app._telemetry)
    traces.instrument(app)
    async with traces.lifespan(host):
        assert traces.recorder.otel is None
        assert app._telemetry == before


def test_the_spec_is_stable_and_its_alert_has_a_runbook() -> None:
    traces = Traces(TraceSettings(sample_ratio=0.5))
    assert traces.spec == traces.spec == Traces(TraceSettings(sample_ratio=0.5)).spec
    runbook = traces.spec.runbook
    assert runbook is not None
    assert {alert.name for alert in traces.spec.alerts} <= set(runbook.sections())
