"""Export over OTLP: a provider per service, a batch at a time, never in the way of a request or a shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import NonRecordingSpan, SpanKind, Status, StatusCode

from bedplate.telemetry.context import WorkContext
from bedplate.telemetry.traces.follow import Adopted, Feed, Follower, forced
from bedplate.telemetry.traces.hub import HUB
from bedplate.telemetry.traces.otel import OtelBridge, primitive, span_context

if TYPE_CHECKING:
    from bedplate.component import BoundCounter
    from bedplate.telemetry.traces.recorder import TraceRecorder
    from bedplate.telemetry.traces.settings import TraceSettings

__all__ = ["Export", "Gauges"]

_KINDS = {"server": SpanKind.SERVER, "job": SpanKind.CONSUMER}
_WAITING = 256
#: Seconds that a shutdown waits for the thread once its export has been broken off.
_GRACE = 0.5


@dataclass(frozen=True, slots=True)
class Gauges:
    """Where an export counts, and whom it tells that it works (None) or why not."""

    exported: BoundCounter
    refused: BoundCounter
    overflow: BoundCounter
    state: Callable[[str | None], None]


class Export:
    """The way of one service's spans into OpenTelemetry.

    :param adopted: a provider that the user has set. It exports by itself, so nothing is added to it but our feed.
    :param feed_is_in: whether it has that already, from an earlier start; processors cannot be taken out.
    """

    def __init__(
        self,
        recorder: TraceRecorder,
        settings: TraceSettings,
        gauges: Gauges,
        feed: Feed,
        adopted: TracerProvider | None,
        *,
        feed_is_in: bool = False,
    ) -> None:
        self._settings = settings
        self._gauges = gauges
        self._feed = feed
        self._pending: queue.Queue[_Kept | None] = queue.Queue(_WAITING)
        self._watched: _Watched | None = None
        self._processor: BatchSpanProcessor | None = None
        self._adopted = None if adopted is None else Adopted(adopted, None if feed_is_in else feed)
        self.provider = adopted or self._build(recorder)
        self._tracer = self.provider.get_tracer("bedplate")
        self.bridge = OtelBridge(self._tracer)
        self._thread = threading.Thread(target=self._emit_all, name="bedplate-traces", daemon=True)

    def start(self) -> None:
        """Begin to export."""
        self._feed.live = True
        if self._adopted is None:
            HUB.join(self)
        self._thread.start()

    def finished(self, work: WorkContext, reason: str, spans: Sequence[Mapping[str, Any]], *, has_root: bool) -> None:
        """Export what OpenTelemetry has not seen of a kept trace; ``spans`` begins with the root. Never blocks.

        Of a sampled one that is the root, unless a library (FastAPI) has made it. Of another, it is all or nothing.
        """
        if work.sampled:
            spans = () if has_root else spans[:1]
        elif not self._settings.export_kept:
            return
        if spans:
            try:
                self._pending.put_nowait(_Kept(work, reason, spans))
            except queue.Full:
                self._gauges.overflow.inc()

    async def stop(self) -> None:
        """Export what is left, within the settings' ``flush_timeout``; what cannot be delivered by then is lost."""
        HUB.leave(self)
        self._feed.live = False
        if self._adopted is not None:
            self._adopted.release()
        loop = asyncio.get_running_loop()
        done = asyncio.Event()

        def close() -> None:
            self._close()
            # The loop may be gone, if nobody waited to the end.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(done.set)

        # Not the loop's executor: that is joined when the loop closes, however long its threads hang.
        threading.Thread(target=close, name="bedplate-traces-close", daemon=True).start()
        try:
            async with asyncio.timeout(self._settings.flush_timeout):
                await done.wait()
        except TimeoutError:
            if self._watched is not None:
                self._watched.shutdown()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_GRACE):
                    await done.wait()

    def _close(self) -> None:
        self._pending.put(None)
        self._thread.join()
        if self._processor is not None:
            self._processor.shutdown()  # type: ignore[no-untyped-call]

    def _build(self, recorder: TraceRecorder) -> TracerProvider:
        settings = self._settings
        assert settings.otlp_endpoint is not None
        self._watched = _Watched(
            OTLPSpanExporter(
                endpoint=settings.otlp_endpoint.reveal(),
                headers={name: value.reveal() for name, value in settings.otlp_headers.items()},
                timeout=settings.otlp_timeout,
            ),
            settings.otlp_endpoint.host,
            self._gauges,
        )
        self._processor = BatchSpanProcessor(self._watched, schedule_delay_millis=settings.export_delay * 1000)
        follower = Follower(ParentBased(TraceIdRatioBased(settings.sample_ratio)), RandomIdGenerator())
        provider = TracerProvider(
            sampler=follower,
            id_generator=follower,
            resource=Resource.create({**settings.resource, "service.name": recorder.service}),
            shutdown_on_exit=False,
        )
        provider.add_span_processor(self._feed)
        provider.add_span_processor(self._processor)
        return provider

    def _emit_all(self) -> None:
        # Turning a kept trace into OpenTelemetry's spans takes some 30 µs each: too long for the request's own thread.
        while (kept := self._pending.get()) is not None:
            for span in kept.spans:
                self._emit(kept, span)

    def _emit(self, kept: _Kept, span: Mapping[str, Any]) -> None:
        context = Context()
        if span["parent"]:
            parent = span_context(kept.work, span["parent"], remote=span is kept.spans[0], sampled=True)
            context = trace.set_span_in_context(NonRecordingSpan(parent), context)
        token = forced.set((int(kept.work.trace_id, 16), int(span["id"], 16)))
        try:
            made = self._tracer.start_span(
                span["name"],
                context=context,
                kind=_KINDS.get(span["kind"], SpanKind.INTERNAL),
                attributes=primitive(span["attributes"]),
                start_time=span["started_ns"],
            )
            if span is kept.spans[0]:
                made.set_attribute("bedplate.kept", kept.reason)
            if span["error"]:
                made.set_attribute("error.type", span["error"])
                made.set_status(Status(StatusCode.ERROR))
            made.end(span["ended_ns"])
        finally:
            forced.reset(token)


@dataclass(frozen=True, slots=True)
class _Kept:
    work: WorkContext
    reason: str
    spans: Sequence[Mapping[str, Any]]


class _Watched(SpanExporter):
    """Counts what the exporter achieves, and tells when that changes."""

    def __init__(self, inner: SpanExporter, collector: str, gauges: Gauges) -> None:
        self._inner = inner
        self._collector = collector
        self._gauges = gauges
        self._failing = False
        self._shut = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        try:
            result = self._inner.export(spans)
        except Exception:
            result = SpanExportResult.FAILURE
        if result is SpanExportResult.SUCCESS:
            self._gauges.exported.inc(len(spans))
        else:
            self._gauges.refused.inc()
        failing = result is not SpanExportResult.SUCCESS
        if failing != self._failing:
            self._failing = failing
            self._gauges.state(f"spans cannot be exported to {self._collector}" if failing else None)
        return result

    def shutdown(self) -> None:
        if not self._shut:
            self._shut = True
            self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return self._inner.force_flush(timeout_millis)
