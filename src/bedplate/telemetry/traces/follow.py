"""OpenTelemetry's SDK made to follow our work: the same ids, the same decision, the same store."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind, StatusCode, TraceState
from opentelemetry.util.types import Attributes

from bedplate.telemetry.context import WorkContext, current
from bedplate.telemetry.traces.notes import Entry, Notes, note, now, open_notes

if TYPE_CHECKING:
    from bedplate.telemetry.traces.recorder import TraceRecorder

__all__ = ["Adopted", "Feed", "Follower", "forced"]

#: (trace id, span id) that the next span must have: a kept trace is exported after the fact, under its own ids.
forced: ContextVar[tuple[int, int] | None] = ContextVar("bedplate_forced_span", default=None)

_ROOTS = (SpanKind.SERVER, SpanKind.CONSUMER)
_NEVER = float("inf")


class Follower(Sampler, IdGenerator):
    """Samples what the work at hand is sampled for, under its trace id; outside any work it asks the fallbacks.

    The first server or consumer span without a parent in this process *is* the root of the work, so it gets the
    root's id: log records, ``traceparent`` and the exported span then name the same thing.
    """

    def __init__(self, sampler: Sampler, ids: IdGenerator) -> None:
        self.sampler = sampler
        self.ids = ids

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Return the decision of the work whose trace this is."""
        parent = trace.get_current_span(parent_context).get_span_context()
        if forced.get() is not None:
            return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes, parent.trace_state)
        work = current.get()
        if work is None or f"{trace_id:032x}" != work.trace_id:
            return self.sampler.should_sample(parent_context, trace_id, name, kind, attributes, links)
        if not work.sampled:
            return SamplingResult(Decision.DROP, None, parent.trace_state)
        if kind in _ROOTS and (parent.is_remote or not parent.is_valid):
            notes = open_notes(work)
            # The SDK asks for the id next, in the same breath.
            notes.claiming = not notes.root_claimed
        return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes, parent.trace_state)

    def get_description(self) -> str:
        """Return what it is, for OpenTelemetry's own messages."""
        return f"BedplateFollower{{{self.sampler.get_description()}}}"

    def generate_trace_id(self) -> int:
        """Return the trace id of the work at hand."""
        exact = forced.get()
        if exact is not None:
            return exact[0]
        work = current.get()
        return self.ids.generate_trace_id() if work is None else int(work.trace_id, 16)

    def generate_span_id(self) -> int:
        """Return the root's id for the root, else a new one."""
        exact = forced.get()
        if exact is not None:
            return exact[1]
        work = current.get()
        if work is not None and isinstance(work.notes, Notes) and work.notes.claiming:
            work.notes.claiming = False
            work.notes.root_claimed = True
            return int(work.span_id, 16)
        return self.ids.generate_span_id()


class Feed(SpanProcessor):
    """Notes every sampled span that a library has made, so that the store shows it beside ours."""

    def __init__(self, recorder: TraceRecorder) -> None:
        self._recorder = recorder
        self.live = True

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Remember the root: it ends after the response, when its work has been reported already."""
        work = current.get()
        if self.live and work is not None and self._is_root(span, work):
            open_notes(work).root = span

    def on_end(self, span: ReadableSpan) -> None:
        """Note the span in its work; into the store, if that has ended."""
        context = span.context
        if not self.live or context is None or not context.trace_flags.sampled or forced.get() is not None:
            return
        trace_id = f"{context.trace_id:032x}"
        work = current.get()
        if work is None or work.trace_id != trace_id:
            self._recorder.late(_stranger(span, trace_id), self._entry(span, None), context.span_id)
            return
        if not self._is_root(span, work):
            notes = open_notes(work)
            note(work, self._entry(span, work), _before(notes), _NEVER)

    def shutdown(self) -> None:
        """Nothing is buffered."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Nothing is buffered."""
        return True

    @staticmethod
    def _is_root(span: ReadableSpan, work: WorkContext) -> bool:
        return span.context is not None and f"{span.context.span_id:016x}" == work.span_id

    def _entry(self, span: ReadableSpan, work: WorkContext | None) -> Entry:
        assert span.context is not None
        # Ended just now: Unix times become those of the notes' clock.
        ended = now()
        duration = max(0, (span.end_time or 0) - (span.start_time or 0))
        attributes: dict[str, Any] = dict(span.attributes or {})
        if span.kind is not SpanKind.INTERNAL:
            attributes["span.kind"] = span.kind.name.lower()
        error = None
        if span.status.status_code is StatusCode.ERROR:
            error = str(attributes.get("error.type") or _exception_of(span) or "error")
        parent = span.parent.span_id if span.parent is not None else 0
        if work is not None and parent == int(work.span_id, 16):
            parent = 0
        return Entry(span.name, span.context.span_id, parent, ended - duration, ended, error, attributes)


def _before(notes: Notes) -> int:
    # Whether a library's span has children cannot be told; it may use what is reserved for parents.
    return -1 if len(notes) else 0


def _exception_of(span: ReadableSpan) -> str:
    types = [event.attributes.get("exception.type") for event in span.events if event.attributes]
    return str(types[-1] or "") if types else ""


def _stranger(span: ReadableSpan, trace_id: str) -> WorkContext:
    """Return a stand-in for work that is not at hand: of a thread without context, or of no work at all."""
    parent = f"{span.parent.span_id:016x}" if span.parent is not None else ""
    return WorkContext("", trace_id, parent or "0" * 16, "", True)


class Adopted:
    """A tracer provider that the user has set: it keeps its processors and resource, and follows our work.

    What it traces outside any work is still sampled and named as it was.
    """

    def __init__(self, provider: TracerProvider, feed: Feed | None) -> None:
        self.provider = provider
        self._sampler, self._ids = provider.sampler, provider.id_generator
        # Tracers take both when they are made; FastAPI makes its own with the first request.
        follower = Follower(self._sampler, self._ids)
        provider.sampler, provider.id_generator = follower, follower  # type: ignore[assignment]
        if feed is not None:
            provider.add_span_processor(feed)

    def release(self) -> None:
        """Give it back as it was, but for the feed, which cannot be taken out and falls silent."""
        self.provider.sampler, self.provider.id_generator = self._sampler, self._ids
