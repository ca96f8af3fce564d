"""FastAPI's native OpenTelemetry, spared for the requests that are not sampled.

FastAPI traces every request itself once a tracer provider is configured, before any sampler can say no. The decision
is ours and already made, so an unsampled request is marked as seen, which FastAPI honours.
"""

from __future__ import annotations

from opentelemetry import trace
from starlette.types import Scope

from bedplate.telemetry.context import current

__all__ = ["FASTAPI_KEY", "tracing_configured", "unsampled"]

#: Private to FastAPI: present in the scope, it keeps FastAPI's telemetry out. A test pins that; should it ever fail,
#: ``FastAPI(telemetry={"exclude": unsampled})`` says the same in public words, for 10 µs more.
FASTAPI_KEY = "fastapi.telemetry"


def tracing_configured() -> bool:
    """Return whether the process has a tracer provider that may record. It costs some microseconds."""
    provider = type(trace.get_tracer_provider()).__name__
    return provider not in ("ProxyTracerProvider", "NoOpTracerProvider")


def unsampled(scope: Scope) -> bool:
    """Return whether the request at hand is not sampled; made for FastAPI's ``exclude``."""
    context = current.get()
    return context is not None and not context.sampled
