"""What is said of a request once it is over: metrics, an access record, perhaps a trace and an error."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable
from time import perf_counter, time
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from starlette.types import Scope

from bedplate.component import BoundCounter, Host
from bedplate.telemetry.context import WorkContext
from bedplate.telemetry.http.access import AccessLog, Said, Shared
from bedplate.telemetry.http.later import Later, Record
from bedplate.telemetry.http.metrics import (
    ACTIVE,
    DURATION,
    ERRORS,
    METHODS,
    OTHER_METHOD,
    REQUEST_SIZE,
    RESPONSE_SIZE,
    UNMATCHED,
    UNROUTED,
    WEBSOCKET_DURATION,
    WEBSOCKETS,
)
from bedplate.telemetry.http.proxies import TrustedProxies
from bedplate.telemetry.http.routes import Templates
from bedplate.telemetry.http.settings import HttpSettings
from bedplate.telemetry.metrics.instruments import observing
from bedplate.telemetry.traces.notes import unix_offset
from bedplate.telemetry.traces.recorder import TraceRecorder

if TYPE_CHECKING:
    from bedplate.telemetry.http.exchange import Exchange

__all__ = ["ErrorSink", "Reporter", "type_name"]

#: How a WebSocket's requests are named beside the methods of HTTP.
WEBSOCKET = "WEBSOCKET"

#: Routes with a method and a status that are remembered by identity; beyond it the memory starts anew.
_REMEMBERED = 10_000

_logger = logging.getLogger("bedplate.http")


class ErrorSink(Protocol):
    """Keeps exceptions that nobody handled."""

    def capture(self, error: BaseException, context: WorkContext | None, *, route: str) -> object:
        """Take one."""
        ...


class Kind(NamedTuple):
    """What all requests of one method, route and status share: bound children, and parts of the access record.

    :ivar observe: takes duration and sizes at once. :ivar sampled: takes them with the trace, as a pair of ids.
    """

    observe: Callable[[float, float, float], None]
    sampled: Callable[[float, float, float, tuple[str, str]], None]
    shared: Shared


class Reporter:
    """Where exchanges report to; one a middleware. Before :meth:`start` and after :meth:`stop` nothing is measured.

    :ivar active: the word of the gauge of active requests, a sequence of one; one that nobody reads while not measured.
    :ivar later: takes the reports of ordinary requests, while they may be put off.
    """

    __slots__ = (
        "_access",
        "_askers",
        "_before_reading",
        "_errors",
        "_everything",
        "_failures",
        "_host",
        "_kinds",
        "_ordinary",
        "_ratio",
        "_skip",
        "_slow",
        "_traces",
        "active",
        "later",
        "proxies",
        "reraise",
        "templates",
    )

    def __init__(
        self,
        settings: HttpSettings,
        access: AccessLog | None,
        traces: TraceRecorder | None,
        errors: ErrorSink | None,
        before_reading: list[Callable[[], None]] | None = None,
    ) -> None:
        self.templates = Templates()
        self.proxies = TrustedProxies(settings.trusted_proxies)
        self.later: Later | None = None
        self._before_reading = before_reading
        self._askers: list[tuple[list[Callable[[], None]], Callable[[], None]]] = []
        self.reraise = settings.reraise
        self.active: Any = [0.0]
        self._failures: dict[tuple[str, str], BoundCounter] = {}
        self._access = access
        self._traces = traces
        self._errors = errors
        self._slow = math.inf if traces is None else traces.slow_threshold
        self._skip = frozenset(settings.access_log_skip)
        self._ratio = settings.access_log_ratio
        self._everything = self._ratio >= 1.0
        self._host: Host | None = None
        self._kinds: dict[tuple[str, str, int], Kind] = {}
        # By a route's identity, which is unique while the route is kept beside it.
        self._ordinary: dict[tuple[int, str, int], tuple[Kind, Any]] = {}

    def start(self, host: Host) -> None:
        """Bind to the registry of a service."""
        self.stop()
        self._host = host
        active: Any = host.bind(ACTIVE)
        self.active = active.word
        if self._access is not None:
            self._access.service = host.service
        writer = None if self._access is None else self._access.writer
        if self._before_reading is not None and (writer is not None or self._access is None):
            self.later = Later(self._say, self._slow, None if self.proxies.nobody else self.proxies.client)
            self._askers = [(self._before_reading, self.later.flush)]
            if writer is not None:
                self._askers += [(writer.sources, self.later.flush), (writer.late, self.later.overdue)]
            for asker, asked in self._askers:
                asker.append(asked)

    def stop(self) -> None:
        """Measure no more."""
        later, self.later = self.later, None
        if later is not None:
            later.close()
            for asker, asked in self._askers:
                asker.remove(asked)
        self._forget()
        self._host, self.active = None, [0.0]

    def forked(self) -> None:
        """Forget, in the child of a fork, what its parent will report."""
        if self.later is not None:
            self.later.forget()

    def _forget(self) -> None:
        self._kinds.clear()
        self._ordinary.clear()
        self._failures.clear()

    def request(
        self, exchange: Exchange, route: str, duration: float, error_type: str, error: BaseException | None
    ) -> None:
        """Report a request that took ``duration`` seconds, and what went wrong on our side.

        ``route`` is a template; unknown methods become one here, so that all labels are bounded.
        """
        self._tell_of_earlier()
        scope = exchange.scope
        context = exchange.context
        status = exchange.status
        method = scope["method"]
        if method not in METHODS:
            method = OTHER_METHOD
        kind = self._kinds.get((method, route, status))
        if kind is None:
            kind = self._meet(method, route, status)
        observe, observe_sampled, shared = kind
        received, sent = exchange.request_size, exchange.response_size
        sampled = context.sampled
        if sampled:
            observe_sampled(duration, received, sent, (context.trace_id, context.span_id))
        else:
            observe(duration, received, sent)
        if error_type:
            self._count_failure(route, error_type)
            if error is not None:
                self._failed(error, context, route)
        kept = sampled or context.keep or status >= 500 or duration >= self._slow
        access = self._access
        if access is not None and (kept or status >= 400 or self._everything or self._wanted(context.trace_id)):
            path: str = scope["path"]
            root = scope.get("root_path")
            if status >= 400 or (path.removeprefix(root) if root else path) not in self._skip:
                more: dict[str, Any] | None = None
                if error_type or method is OTHER_METHOD:
                    more = _rare(scope, method, error_type)
                level = logging.ERROR if error_type else logging.INFO
                client = self.proxies.client(scope)
                access.write(level, shared, context, scope, duration, received, sent, client, more)
        if kept and self._traces is not None:
            self._trace(scope, context, method, route, status, exchange.started, duration, error)

    def _tell_of_earlier(self) -> None:
        """Report what ended before, which comes before in the log."""
        if self.later is not None and self.later.records:
            self.later.flush()

    def _say(self, records: Iterable[Record]) -> None:
        """Report ordinary requests: what :meth:`request` does with any, in a loop that does nothing else."""
        ordinary, skip, access = self._ordinary, self._skip, self._access
        everything = self._everything
        said: list[Said] = []
        size = 0
        try:
            for record in records:
                route, (method, path, root, _, _), _, status, received, sent, duration, _, context = record
                known = ordinary.get((id(route), method, status))
                if known is None:
                    known = self._of_route(route, method, status, path, root)
                observe, _, shared = known[0]
                observe(duration, received, sent)
                if access is None or not (status >= 400 or everything or self._wanted(context.trace_id)):
                    continue
                if status >= 400 or (path.removeprefix(root) if root else path) not in skip:
                    said.append((record, shared, None))
                    size += len(path)
        finally:
            if access is not None and said:
                access.write_all(said, time() - perf_counter(), size)

    def _of_route(self, route: Any, method: str, status: int, path: str, root: str) -> tuple[Kind, Any]:
        """Return what requests of a route share, and remember it."""
        template = self.templates.of_route(route)
        if template == UNMATCHED and status not in UNROUTED:
            template = self.templates.before_routing({"path": path, "root_path": root})
        kind = self._kinds.get((method, template, status)) or self._meet(method, template, status)
        if template == UNMATCHED:
            return kind, route
        if len(self._ordinary) >= _REMEMBERED:
            self._ordinary.clear()
        known = self._ordinary[id(route), method, status] = (kind, route)
        return known

    def _meet(self, method: str, route: str, status: int) -> Kind:
        """Bind the children of a method, route and status that are seen for the first time."""
        shared = ("", "") if self._access is None else self._access.shared(method, route, status)
        if self._host is None:
            kind = Kind(_unmeasured, _unmeasured, shared)
        else:
            bind = self._host.bind
            labels = {"http_request_method": method, "http_route": route}
            duration = bind(DURATION, **labels, http_response_status_code=str(status))
            received, sent = bind(REQUEST_SIZE, **labels), bind(RESPONSE_SIZE, **labels)
            kind = Kind(observing(duration, received, sent), _sampled(duration, received, sent), shared)
        self._kinds[method, route, status] = kind
        return kind

    def _wanted(self, trace_id: str) -> bool:
        """Return whether a success is among the share that is logged."""
        # Other digits of the trace id than those that decide on sampling.
        return int(trace_id[:8], 16) < self._ratio * 2**32

    def late(self, context: WorkContext, route: str, error: BaseException) -> None:
        """Report an exception that came after the request was reported, from a background task."""
        self._count_failure(route, type_name(error))
        self._failed(error, context, route)

    def _count_failure(self, route: str, error_type: str) -> None:
        counter = self._failures.get((route, error_type))
        if counter is None:
            if self._host is None:
                return
            counter = self._host.bind(ERRORS, http_route=route, error_type=error_type)
            self._failures[route, error_type] = counter
        counter.inc()

    def _failed(self, error: BaseException, context: WorkContext, route: str) -> None:
        _logger.error("Unhandled %s in %s", type_name(error), route, exc_info=error)
        if self._errors is not None:
            self._errors.capture(error, context, route=route)

    def _trace(
        self,
        scope: Scope,
        context: WorkContext,
        method: str,
        route: str,
        status: int,
        started: float,
        duration: float,
        error: BaseException | None,
    ) -> None:
        assert self._traces is not None
        self._traces.finish_request(
            context,
            method=method,
            route=route if route.startswith("/") else "",
            path=scope["path"],
            status=status,
            # By the clock of its spans: what was done since it ended, such as logging an error, is not its time.
            started_ns=int(started * 1e9) + unix_offset(),
            duration_s=duration,
            error=error,
        )

    def websocket_opened(self, route: str) -> bool:
        """Count an accepted WebSocket; return whether it was counted."""
        if self._host is None:
            return False
        self._host.bind(WEBSOCKETS, http_route=route).inc()
        return True

    def websocket(
        self,
        scope: Scope,
        context: WorkContext,
        route: str,
        status: int,
        outcome: str,
        started: float,
        error: BaseException | None,
        *,
        counted: bool,
    ) -> None:
        """Report a WebSocket that has ended.

        :param status: that of the handshake, 101 when it was accepted. :param outcome: how it ended; must be bounded.
        :param started: by :func:`time.perf_counter`. :param counted: what :meth:`websocket_opened` returned.
        """
        duration = perf_counter() - started
        self._tell_of_earlier()
        if self._host is not None:
            self._host.bind(WEBSOCKET_DURATION, http_route=route, outcome=outcome).observe(duration)
            if counted:
                self._host.bind(WEBSOCKETS, http_route=route).dec()
        more: dict[str, Any] = {"outcome": outcome}
        if error is not None:
            more["error_type"] = type_name(error)
            self._count_failure(route, more["error_type"])
            self._failed(error, context, route)
        access = self._access
        if access is not None:
            shared = access.shared(WEBSOCKET, route, status)
            level = logging.INFO if error is None else logging.ERROR
            access.write(level, shared, context, scope, duration, 0, 0, self.proxies.client(scope), more)
        if self._traces is not None and (context.sampled or context.keep or error is not None):
            self._trace(scope, context, WEBSOCKET, route, status, started, duration, error)


def _rare(scope: Scope, method: str, error_type: str) -> dict[str, Any]:
    """Return the fields of a record that few requests have."""
    more: dict[str, Any] = {}
    if error_type:
        more["error_type"] = error_type
    if method == OTHER_METHOD:
        more["method_original"] = scope["method"]
    return more


def _sampled(duration: Any, received: Any, sent: Any) -> Callable[[float, float, float, tuple[str, str]], None]:
    def observe(seconds: float, request_size: float, response_size: float, trace: tuple[str, str]) -> None:
        duration.observe(seconds, trace)
        received.observe(request_size)
        sent.observe(response_size)

    return observe


def _unmeasured(*_: object) -> None:
    """Stand in for a bound child before there is one."""


def type_name(error: BaseException) -> str:
    """Return the type of an exception as OpenTelemetry writes it: qualified, unless it is a built-in."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
