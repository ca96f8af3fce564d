"""The usual modern stack: the same concerns with the lightest of the well-known libraries.

FastAPI's native OpenTelemetry with one request in a hundred sampled, prometheus-fastapi-instrumentator,
asgi-correlation-id, a python-json-logger access log in a pure ASGI middleware, slowapi's SlowAPIASGIMiddleware.
"""

from __future__ import annotations

import logging
import time

from asgi_correlation_id import CorrelationIdFilter, CorrelationIdMiddleware
from fastapi import FastAPI
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from prometheus_fastapi_instrumentator import Instrumentator
from slowapi.middleware import SlowAPIASGIMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from benchmarks.stacks.app import SERVICE, add_routes
from benchmarks.stacks.json_logger import json_logger
from benchmarks.stacks.limiting import limit
from benchmarks.stacks.tracing import provider

__all__ = ["SAMPLED", "build"]

SAMPLED = 0.01


class AccessLog:
    """One record a request, in pure ASGI."""

    def __init__(self, app: ASGIApp, log: logging.Logger) -> None:
        self.app = app
        self.log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request and log it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        status, size = 0, 0

        async def counted(message: Message) -> None:
            nonlocal status, size
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "http.response.body":
                size += len(message.get("body", b""))
            await send(message)

        try:
            await self.app(scope, receive, counted)
        finally:
            self.log.info(
                "request",
                extra={
                    "service": SERVICE,
                    "method": scope["method"],
                    "path": scope["path"],
                    "status": status,
                    "duration_ms": round((time.perf_counter() - started) * 1e3, 3),
                    "response_size": size,
                    "client": scope["client"][0],
                },
            )


def build(routes: int) -> FastAPI:
    """Return the application; middleware added later is further out."""
    log = json_logger("%(asctime)s %(levelname)s %(name)s %(message)s %(correlation_id)s")
    log.handlers[0].addFilter(CorrelationIdFilter(uuid_length=32, default_value="-"))
    app = FastAPI(
        telemetry={
            "tracer_provider": provider(ParentBased(TraceIdRatioBased(SAMPLED))),
            "metrics": False,  # the instrumentator's; nobody counts twice
        }
    )
    add_routes(app, routes)
    limit(app)
    app.add_middleware(SlowAPIASGIMiddleware)
    app.add_middleware(AccessLog, log=log)
    Instrumentator().instrument(app).expose(app)
    app.add_middleware(CorrelationIdMiddleware)
    return app
