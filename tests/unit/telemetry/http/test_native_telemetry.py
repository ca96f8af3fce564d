"""FastAPI's own telemetry runs for sampled requests and for no others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased

from bedplate.telemetry.http.otel import FASTAPI_KEY, unsampled
from tests.unit.telemetry.http.wire import call, respond, wired

SAMPLED = (b"traceparent", b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01")
UNSAMPLED = (b"traceparent", b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-00")


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def provider(spans: InMemorySpanExporter) -> Iterator[TracerProvider]:
    made = TracerProvider(sampler=ParentBased(ALWAYS_ON))
    made.add_span_processor(SimpleSpanProcessor(spans))
    yield made
    made.shutdown()


def instrumented(provider: TracerProvider, **telemetry: Any) -> FastAPI:
    app = FastAPI(telemetry={"tracer_provider": provider, "operation_spans": False, **telemetry})

    @app.get("/items/{key}")
    async def item(key: str) -> None:
        with provider.get_tracer("library").start_as_current_span("query"):
            pass

    return app


async def test_the_key_that_spares_fastapi_its_telemetry_still_does(
    provider: TracerProvider, spans: InMemorySpanExporter
) -> None:
    app = instrumented(provider)
    await call(app, "GET", "/items/1")
    assert [span.name for span in spans.get_finished_spans()] == ["query", "GET /items/{key}"]
    spans.clear()
    await call(app, "GET", "/items/1", **{FASTAPI_KEY: None})
    assert "GET /items/{key}" not in [span.name for span in spans.get_finished_spans()]


async def test_only_sampled_requests_have_spans(
    provider: TracerProvider, spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    async with wired(instrumented(provider)) as w:
        for _ in range(3):
            await w.get("/items/1", UNSAMPLED)
        assert spans.get_finished_spans() == ()
        await w.get("/items/1", SAMPLED)
    query, server = spans.get_finished_spans()
    assert (query.name, server.name) == ("query", "GET /items/{key}")
    assert {f"{span.context.trace_id:032x}" for span in (query, server)} == {"a" * 32}


async def test_the_public_way_spares_it_too(
    provider: TracerProvider, spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bedplate.telemetry.http.otel.FASTAPI_KEY", "renamed")
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    async with wired(instrumented(provider, exclude=unsampled)) as w:
        await w.get("/items/1", UNSAMPLED)
        assert spans.get_finished_spans() == ()
        await w.get("/items/1", SAMPLED)
        assert len(spans.get_finished_spans()) == 2


async def test_libraries_see_our_trace_as_their_parent(
    provider: TracerProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    parents: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        parents.append(trace.get_current_span().get_span_context())
        await respond(send)

    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    async with wired(app) as w:
        await w.get("/", UNSAMPLED)
        await w.get("/", SAMPLED)
    assert [f"{parent.trace_id:032x}" for parent in parents] == ["a" * 32] * 2
    assert [parent.trace_flags.sampled for parent in parents] == [False, True]
    assert not trace.get_current_span().get_span_context().is_valid


async def test_without_a_provider_nothing_is_put_in_place() -> None:
    parents: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        parents.append(trace.get_current_span())
        await respond(send)

    async with wired(app) as w:
        await w.get("/", UNSAMPLED)
    assert parents == [trace.INVALID_SPAN]
