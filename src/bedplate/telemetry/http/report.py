"""What is said of a request once it is over: metrics, an access record, perhaps a trace and an error."""

from __future__ import annotations

import logging
from time import time_ns
from typing import Protocol

from starlette.types import Scope

from bedplate.telemetry.context import WorkContext
from bedplate.telemetry.http.access import AccessLog
from bedplate.telemetry.http.metrics import METHODS, OTHER_METHOD, Meter
from bedplate.telemetry.http.proxies import TrustedProxies
from bedplate.telemetry.http.routes import Templates
from bedplate.telemetry.http.settings import HttpSettings

__all__ = ["CLIENT_CLOSED", "ErrorSink", "Reporter", "TraceSink", "type_name"]

#: The status of requests whose client left before the answer; it is sent to nobody (the number is nginx's).
CLIENT_CLOSED = 499

_logger = logging.getLogger("bedplate.http")


class TraceSink(Protocol):
    """Keeps the traces of requests that were sampled, failed or slow."""

    def finish_request(
        self,
        context: WorkContext,
        *,
        method: str,
        route: str,
        path: str,
        status: int,
        started_ns: int,
        duration_s: float,
        error: BaseException | None,
    ) -> None:
        """Take a request that has ended; ``started_ns`` is Unix time."""
        ...


class ErrorSink(Protocol):
    """Keeps exceptions that nobody handled."""

    def capture(self, error: BaseException, context: WorkContext | None, *, route: str) -> object:
        """Take one."""
        ...


class Reporter:
    """Where exchanges report to; one a middleware."""

    __slots__ = (
        "_access",
        "_errors",
        "_ratio",
        "_skip",
        "_slow",
        "_traces",
        "meter",
        "proxies",
        "reraise",
        "templates",
    )

    def __init__(
        self,
        settings: HttpSettings,
        meter: Meter,
        access: AccessLog | None,
        traces: TraceSink | None,
        errors: ErrorSink | None,
    ) -> None:
        self.meter = meter
        self.templates = Templates()
        self.proxies = TrustedProxies(settings.trusted_proxies)
        self.reraise = settings.reraise
        self._access = access
        self._traces = traces
        self._errors = errors
        self._slow = settings.slow_threshold
        self._skip = frozenset(settings.access_log_skip)
        self._ratio = settings.access_log_ratio

    def request(
        self,
        scope: Scope,
        context: WorkContext,
        route: str,
        status: int,
        duration: float,
        request_size: int,
        response_size: int,
        error_type: str,
        error: BaseException | None,
    ) -> None:
        """Report a request: seconds, bytes, and what went wrong on our side."""
        method = scope["method"]
        if method not in METHODS:
            method = OTHER_METHOD
        sampled = context.sampled
        exemplar = (context.trace_id, context.span_id) if sampled else None
        self.meter.observe(method, route, status, duration, request_size, response_size, exemplar)
        kept = sampled or context.keep or status >= 500 or duration >= self._slow
        if error_type:
            self.meter.error(route, error_type)
        if error is not None:
            self._failed(error, context, route)
        access = self._access
        if access is not None and (kept or status >= 400 or self._wanted(scope, context)):
            access.write(
                context,
                scope["method"],
                route,
                scope["path"],
                scope["query_string"],
                status,
                duration,
                request_size,
                response_size,
                self.proxies.client(scope),
                error_type,
            )
        if kept and self._traces is not None:
            self._traces.finish_request(
                context,
                method=method,
                route=route,
                path=scope["path"],
                status=status,
                started_ns=time_ns() - int(duration * 1e9),
                duration_s=duration,
                error=error,
            )

    def websocket(
        self,
        scope: Scope,
        context: WorkContext,
        route: str,
        status: int,
        outcome: str,
        duration: float,
        error_type: str,
        error: BaseException | None,
        *,
        accepted: bool,
    ) -> None:
        """Report a WebSocket that has ended; ``status`` is that of the handshake, 101 when it was accepted."""
        self.meter.websocket_closed(route, outcome, duration, accepted=accepted)
        if error is not None:
            self.meter.error(route, error_type)
            self._failed(error, context, route)
        if self._access is not None:
            client = self.proxies.client(scope)
            more = {"outcome": outcome}
            arguments = (route, scope["path"], scope["query_string"], status, duration, 0, 0, client, error_type, more)
            self._access.write(context, "WEBSOCKET", *arguments)
        if self._traces is not None and (context.sampled or context.keep or error is not None):
            self._traces.finish_request(
                context,
                method="WEBSOCKET",
                route=route,
                path=scope["path"],
                status=status,
                started_ns=time_ns() - int(duration * 1e9),
                duration_s=duration,
                error=error,
            )

    def _wanted(self, scope: Scope, context: WorkContext) -> bool:
        """Return whether a success is to be logged."""
        if self._skip and str(scope["path"]).removeprefix(scope.get("root_path", "")) in self._skip:
            return False
        # Other digits of the trace id than those that decide on sampling.
        return self._ratio >= 1.0 or int(context.trace_id[:8], 16) < self._ratio * 2**32

    def late(self, context: WorkContext, route: str, error: BaseException) -> None:
        """Report an exception that came after the request was reported, from a background task."""
        self.meter.error(route, type_name(error))
        self._failed(error, context, route)

    def _failed(self, error: BaseException, context: WorkContext, route: str) -> None:
        _logger.error("Unhandled %s in %s", type_name(error), route, exc_info=error)
        if self._errors is not None:
            self._errors.capture(error, context, route=route)


def type_name(error: BaseException) -> str:
    """Return the type of an exception as OpenTelemetry writes it: qualified, unless it is a built-in."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
