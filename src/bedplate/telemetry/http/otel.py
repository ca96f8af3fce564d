"""FastAPI's native OpenTelemetry, spared for the requests that are not sampled.

FastAPI traces every request itself once a tracer provider is configured, before any sampler can say no. The decision
is ours and already made, so an unsampled request is marked as seen (which FastAPI honours), and runs below a
non-recording parent, so that instrumented libraries do not begin traces of their own.
"""

from __future__ import annotations

from contextvars import Token
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry import trace
from starlette.types import Scope

from bedplate.telemetry.context import WorkContext, current

__all__ = ["FASTAPI_KEY", "attach_unsampled", "detach", "tracing_configured", "unsampled"]

#: Private to FastAPI: present in the scope, it keeps FastAPI's telemetry out. A test pins that; should it ever fail,
#: ``FastAPI(telemetry={"exclude": unsampled})`` says the same in public words, for 10 µs more.
FASTAPI_KEY = "fastapi.telemetry"

_DEFERRED = "ProxyTracerProvider"


def tracing_configured() -> bool:
    """Return whether the process has a tracer provider that may record."""
    provider = type(trace.get_tracer_provider()).__name__
    return provider not in (_DEFERRED, "NoOpTracerProvider")


def unsampled(scope: Scope) -> bool:
    """Return whether the request at hand is not sampled; made for FastAPI's ``exclude``."""
    context = current.get()
    return context is not None and not context.sampled


def attach_unsampled(context: WorkContext) -> Token[Any]:
    """Make a parent that is not sampled current, with our trace id so that it is passed on; give it to `detach`."""
    span_context = trace.SpanContext(int(context.trace_id, 16), int(context.span_id, 16), is_remote=False)
    return otel_context.attach(trace.set_span_in_context(trace.NonRecordingSpan(span_context)))


def detach(token: Token[Any]) -> None:
    """Undo :func:`attach_unsampled`."""
    otel_context.detach(token)
