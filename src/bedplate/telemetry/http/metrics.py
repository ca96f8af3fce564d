"""The RED metrics of HTTP: rate and errors and duration by route, under OpenTelemetry's stable names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bedplate.component import BoundCounter, BoundGauge, Host
from bedplate.metric import OTHER, Counter, Gauge, Histogram

__all__ = [
    "ACTIVE",
    "DURATION",
    "ERRORS",
    "METHODS",
    "METRICS",
    "OTHER",
    "OTHER_METHOD",
    "REFUSED",
    "REQUEST_SIZE",
    "RESPONSE_SIZE",
    "UNMATCHED",
    "WEBSOCKETS",
    "WEBSOCKET_DURATION",
    "Meter",
]

#: Methods that OpenTelemetry knows; any other becomes :data:`OTHER_METHOD`.
METHODS = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"})
OTHER_METHOD = "_OTHER"

#: The route of requests that match none.
UNMATCHED = "_unmatched"
#: The route of requests that a guard refused before routing.
REFUSED = "_refused"

#: Routes of one service that are told apart.
MAX_ROUTES = 2000

_SIZES = (1_000.0, 10_000.0, 100_000.0, 1_000_000.0, 10_000_000.0)
_METHOD = [*sorted(METHODS), OTHER_METHOD]

DURATION = Histogram(
    "http_server_request_duration_seconds",
    "Time from the first byte of a request to the end of its response; its count is the number of requests.",
    {"http_request_method": _METHOD, "http_route": MAX_ROUTES, "http_response_status_code": 64},
    unit="seconds",
    exemplars=True,
)
ACTIVE = Gauge("http_server_active_requests", "Requests being answered at this moment.")
REQUEST_SIZE = Histogram(
    "http_server_request_body_size_bytes",
    "Bytes of request bodies, as far as the application read them.",
    {"http_request_method": _METHOD, "http_route": MAX_ROUTES},
    unit="bytes",
    buckets=_SIZES,
)
RESPONSE_SIZE = Histogram(
    "http_server_response_body_size_bytes",
    "Bytes of response bodies.",
    {"http_request_method": _METHOD, "http_route": MAX_ROUTES},
    unit="bytes",
    buckets=_SIZES,
)
ERRORS = Counter(
    "http_server_errors_total",
    "Requests and connections that failed on our side, by the exception's type or else the status code.",
    {"http_route": MAX_ROUTES, "error_type": 200},
)
WEBSOCKETS = Gauge("bedplate_http_websockets", "WebSockets open at this moment.", {"http_route": MAX_ROUTES})
WEBSOCKET_DURATION = Histogram(
    "bedplate_http_websocket_duration_seconds",
    "Time from a WebSocket's handshake to its end, by how it ended: a close code, its class, refused or failed.",
    {"http_route": MAX_ROUTES, "outcome": 32},
    unit="seconds",
    buckets=(0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 86400.0),
)
METRICS = (DURATION, ACTIVE, REQUEST_SIZE, RESPONSE_SIZE, ERRORS, WEBSOCKETS, WEBSOCKET_DURATION)

#: What observes the duration, the size of the request and that of the response.
Series = tuple[Callable[..., None], Callable[[float], None], Callable[[float], None]]


class Meter:
    """The bound children of the HTTP metrics, found again with one dict look-up a request.

    Before :meth:`start` and after :meth:`stop` nothing is measured.
    """

    __slots__ = ("_errors", "_host", "_series", "active")

    def __init__(self) -> None:
        self._host: Host | None = None
        self._series: dict[tuple[str, str, int], Series] = {}
        self._errors: dict[tuple[str, str], BoundCounter] = {}
        self.active: BoundGauge | None = None

    def start(self, host: Host) -> None:
        """Bind to a service's registry."""
        self._host = host
        self.active = host.bind(ACTIVE)

    def stop(self) -> None:
        """Forget the children."""
        self._host = self.active = None
        self._series.clear()
        self._errors.clear()

    def observe(
        self,
        method: str,
        route: str,
        status: int,
        duration: float,
        request_size: int,
        response_size: int,
        exemplar: tuple[str, str] | None,
    ) -> None:
        """Count one request: seconds and bytes; ``exemplar`` is the (trace id, span id) of a sampled one.

        ``method`` is one of :data:`METHODS` or :data:`OTHER_METHOD`, ``route`` a template: both are bounded.
        """
        series = self._series.get((method, route, status))
        if series is None:
            if self._host is None:
                return
            series = self._bind(self._host, method, route, status)
        series[0](duration, exemplar)
        series[1](request_size)
        series[2](response_size)

    def _bind(self, host: Host, method: str, route: str, status: int) -> Series:
        labels = {"http_request_method": method, "http_route": route}
        duration: Any = host.bind(DURATION, **labels, http_response_status_code=str(status))
        series = (
            duration.observe,
            host.bind(REQUEST_SIZE, **labels).observe,
            host.bind(RESPONSE_SIZE, **labels).observe,
        )
        self._series[method, route, status] = series
        return series

    def error(self, route: str, error_type: str) -> None:
        """Count one failure."""
        counter = self._errors.get((route, error_type))
        if counter is None:
            if self._host is None:
                return
            counter = self._host.bind(ERRORS, http_route=route, error_type=error_type)
            self._errors[route, error_type] = counter
        counter.inc()

    def websocket_opened(self, route: str) -> None:
        """Count an accepted WebSocket."""
        if self._host is not None:
            self._host.bind(WEBSOCKETS, http_route=route).inc()

    def websocket_closed(self, route: str, outcome: str, duration: float, *, accepted: bool) -> None:
        """Count the end of a WebSocket; ``outcome`` must be bounded."""
        if self._host is not None:
            self._host.bind(WEBSOCKET_DURATION, http_route=route, outcome=outcome).observe(duration)
            if accepted:
                self._host.bind(WEBSOCKETS, http_route=route).dec()
