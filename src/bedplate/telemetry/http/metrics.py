"""The metrics of HTTP: rate, errors and duration by route, sizes, under OpenTelemetry's stable names."""

from __future__ import annotations

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
    "UNROUTED",
    "WEBSOCKETS",
    "WEBSOCKET_DURATION",
]

#: Methods that OpenTelemetry knows; any other becomes :data:`OTHER_METHOD`.
METHODS = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"})
OTHER_METHOD = "_OTHER"

#: The route of requests that match none.
UNMATCHED = "_unmatched"
#: How a router answers what it has no route for.
UNROUTED = frozenset({404, 405})
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
