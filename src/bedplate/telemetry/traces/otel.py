"""The bridge to OpenTelemetry's API, which FastAPI brings along; the SDK's side is in :mod:`.sdk`.

Only sampled traces cross it. For all others, libraries see a parent that is not sampled, so they record nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, Status, StatusCode, TraceFlags, TraceState

from bedplate.telemetry.context import WorkContext, current
from bedplate.telemetry.traces.notes import active_span_id

__all__ = ["AmbientSpan", "OpenSpan", "OtelBridge", "OtelContext", "span_context", "unsampled_otel_context"]

_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_UNSAMPLED = TraceFlags(TraceFlags.DEFAULT)


def span_context(work: WorkContext, span_id: str, *, remote: bool = False, sampled: bool | None = None) -> SpanContext:
    """Return a span of the work as OpenTelemetry names it."""
    sampled = work.sampled if sampled is None else sampled
    state = TraceState.from_header([work.tracestate]) if work.tracestate else None
    return SpanContext(
        int(work.trace_id, 16), int(span_id, 16), remote, _SAMPLED if sampled else _UNSAMPLED, trace_state=state
    )


class AmbientSpan(NonRecordingSpan):
    """Whatever span is open in the work at hand, looked up when a library asks for its parent.

    One instance serves all requests, so that putting it into place costs a context variable and nothing is built for
    the many requests in which no library asks.
    """

    def __init__(self) -> None:
        super().__init__(trace.INVALID_SPAN_CONTEXT)

    def get_span_context(self) -> SpanContext:
        """Return the innermost open span of the work at hand, an invalid one outside any."""
        work = current.get()
        return trace.INVALID_SPAN_CONTEXT if work is None else span_context(work, active_span_id(work))


_AMBIENT = trace.set_span_in_context(AmbientSpan(), otel_context.Context())


class OtelContext(AbstractContextManager[None]):
    """Makes OpenTelemetry see the work at hand, sampled or not, as the parent of what libraries open inside.

    Put back by value: it may be left in another context than it was entered in.
    """

    __slots__ = ("_outer",)

    def __enter__(self) -> None:
        self._outer = otel_context.get_current()
        otel_context.attach(_AMBIENT)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        otel_context.attach(self._outer)


def unsampled_otel_context() -> OtelContext:
    """Return a context in which no library samples on its own: the parent of all it opens is our unsampled trace.

    Wanted around unsampled requests while any tracer provider is set; :attr:`TraceRecorder.otel` tells of ours.
    """
    return OtelContext()


class OpenSpan:
    """A real OpenTelemetry span opened for ``@traced`` or ``span``."""

    __slots__ = ("_context", "_outer", "_span", "span_id")

    def __init__(self, span: trace.Span, parent: otel_context.Context) -> None:
        self._span = span
        self._context = trace.set_span_in_context(span, parent)
        self._outer: otel_context.Context | None = None
        self.span_id: int = span.get_span_context().span_id

    def activate(self) -> None:
        """Make it the current one."""
        self._outer = otel_context.get_current()
        otel_context.attach(self._context)

    def deactivate(self) -> None:
        """Undo :meth:`activate`."""
        if self._outer is not None:
            otel_context.attach(self._outer)

    def end(self, error: BaseException | None, attributes: Mapping[str, Any]) -> None:
        """End it, with what is known by now."""
        self._span.set_attributes(primitive(attributes))
        if error is not None:
            self._span.set_attribute("error.type", type(error).__qualname__)
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()


class OtelBridge:
    """Opens real spans in sampled traces."""

    def __init__(self, tracer: trace.Tracer) -> None:
        self._tracer = tracer

    def start(self, name: str, work: WorkContext, parent: int) -> OpenSpan:
        """Start a span as a child of the current OpenTelemetry span if that is of this trace, else of ``parent``.

        :param parent: the innermost open span of ours, 0 for the work's root.
        """
        context = otel_context.get_current()
        known = trace.get_current_span(context).get_span_context()
        if not known.is_valid or known.trace_id != int(work.trace_id, 16):
            ours = span_context(work, f"{parent:016x}" if parent else work.span_id)
            context = trace.set_span_in_context(NonRecordingSpan(ours), context)
        return OpenSpan(self._tracer.start_span(name, context=context), context)

    def current_span_id(self, work: WorkContext) -> str:
        """Return the current OpenTelemetry span if it is of this trace, else an empty string."""
        known = trace.get_current_span().get_span_context()
        if known.is_valid and f"{known.trace_id:032x}" == work.trace_id:
            return f"{known.span_id:016x}"
        return ""


def primitive(attributes: Mapping[str, Any]) -> dict[str, str | bool | int | float]:
    """Return attributes in the types that OpenTelemetry takes; others become text."""
    return {
        name: value if isinstance(value, str | bool | int | float) else str(value)
        for name, value in attributes.items()
        if value is not None
    }
