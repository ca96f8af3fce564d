"""OpenTelemetry for the peers: an SDK provider that batches, with an exporter that costs nothing."""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import Sampler

from benchmarks.stacks.app import SERVICE

__all__ = ["provider"]


class NoExporter(SpanExporter):
    """Takes spans and forgets them: encoding and sending are left out, in the peers' favour."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Succeed."""
        return SpanExportResult.SUCCESS


def provider(sampler: Sampler | None = None) -> TracerProvider:
    """A tracer provider with a batch processor, which the SDK recommends for production."""
    made = TracerProvider(sampler=sampler, resource=Resource.create({"service.name": SERVICE}))
    made.add_span_processor(BatchSpanProcessor(NoExporter()))
    return made
