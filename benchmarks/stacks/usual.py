"""The usual stack: one well-known library for each concern, as most services have them today.

OpenTelemetry's FastAPI instrumentation with every request sampled, prometheus-fastapi-instrumentator,
asgi-correlation-id, a structlog access log in Starlette's BaseHTTPMiddleware, slowapi's SlowAPIMiddleware.
"""

from __future__ import annotations

import logging
import time
from typing import Any

import orjson
import structlog
from asgi_correlation_id import CorrelationIdMiddleware, correlation_id
from fastapi import FastAPI
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from prometheus_fastapi_instrumentator import Instrumentator
from slowapi.middleware import SlowAPIMiddleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import Response

from benchmarks.stacks.app import SERVICE, add_routes, log_file
from benchmarks.stacks.limiting import limit
from benchmarks.stacks.tracing import provider

__all__ = ["build"]

log: Any = structlog.get_logger("access")


class AccessLog(BaseHTTPMiddleware):
    """One record a request, with the request's id bound as structlog's page on context variables shows it."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        """Serve the request and log it."""
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=correlation_id.get(), service=SERVICE)
        started = time.perf_counter()
        response = await call_next(request)
        log.info(
            "request",
            method=request.method,
            path=request.url.path,
            status=response.status_code,
            duration_ms=round((time.perf_counter() - started) * 1e3, 3),
            response_size=response.headers.get("content-length"),
            client=request.client.host if request.client else None,
        )
        return response


def build(routes: int) -> FastAPI:
    """Return the application; middleware added later is further out."""
    structlog.configure(  # as structlog's page on performance advises
        cache_logger_on_first_use=True,
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(serializer=orjson.dumps),
        ],
        logger_factory=structlog.BytesLoggerFactory(file=log_file()),
    )
    app = FastAPI()
    add_routes(app, routes)
    limit(app)
    app.add_middleware(SlowAPIMiddleware)
    app.add_middleware(AccessLog)
    Instrumentator().instrument(app).expose(app)
    app.add_middleware(CorrelationIdMiddleware)
    FastAPIInstrumentor.instrument_app(app, tracer_provider=provider())
    return app
