"""The fused middleware: all that is to be done around a request, in one pure ASGI layer.

Request id, trace context, RED metrics, access log, security headers, guards and problem details would be six layers,
each with a wrapped ``send`` of its own. Here they share one pass over the headers and one object a request.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from time import perf_counter
from weakref import WeakSet

from starlette.types import ASGIApp, Receive, Scope, Send

from bedplate.component import Host
from bedplate.declarations import Verdict
from bedplate.telemetry.context import current
from bedplate.telemetry.http.access import AccessLog
from bedplate.telemetry.http.exchange import Exchange
from bedplate.telemetry.http.headers import ResponseHeaders, name_of
from bedplate.telemetry.http.identity import TOLD, Identifier
from bedplate.telemetry.http.otel import FASTAPI_KEY, tracing_configured
from bedplate.telemetry.http.report import ErrorSink, Reporter
from bedplate.telemetry.http.settings import HttpSettings
from bedplate.telemetry.http.websocket import WebSocketExchange
from bedplate.telemetry.traces.otel import OtelContext
from bedplate.telemetry.traces.recorder import TraceRecorder
from bedplate.telemetry.traces.settings import TraceSettings

__all__ = ["Guard", "HttpMiddleware"]

#: Judges a request by its scope, at once or with a promise; None lets it pass.
Guard = Callable[[Scope], Verdict | Awaitable[Verdict | None] | None]

#: Seconds between two looks whether OpenTelemetry has been configured.
_LOOK = 1.0

#: Exchanges made in advance; more would have left the processor's nearest cache before they are used.
_IN_ADVANCE = 32


class HttpMiddleware:
    """A pure ASGI middleware, meant to be the outermost; see :class:`~bedplate.telemetry.http.Http` for how to get one.

    It works before its service has started, unmeasured. One instance belongs to one event loop.

    :param app: the application below.
    :param guards: asked in order before the application is; the first refusal is the answer.
    :param access: the access log, None for none.
    :param traces: decides what is sampled and slow, and takes such requests; without it 1 % is sampled, for exemplars.
    :param errors: takes unhandled exceptions.
    :param before_reading: what is called before metrics are read, for who puts reports off; None to put off none.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        settings: HttpSettings | None = None,
        guards: Sequence[Guard] = (),
        access: AccessLog | None = None,
        traces: TraceRecorder | None = None,
        errors: ErrorSink | None = None,
        before_reading: list[Callable[[], None]] | None = None,
    ) -> None:
        self.app = app
        self._settings = settings = settings or HttpSettings()
        self._guards = tuple(guards)
        self._report = Reporter(settings, access, traces, errors, before_reading)
        self._traces = traces
        self._identifier = Identifier(
            (TraceSettings() if traces is None else traces.settings).sample_ratio,
            trust_parent=settings.trust_parent,
            trust_request_id=settings.trust_request_id,
        )
        self._ready: list[Exchange] = []
        self._tracing = False
        self._looked = 0.0
        self._headers = ResponseHeaders(settings, "development")
        _all.add(self)

    def knows(self, application: object) -> None:
        """Look through the routes of an application for the name of what was answered before it was routed."""
        self._report.templates.application = application

    def start(self, host: Host) -> None:
        """Measure with the service's registry; the security headers become those of its environment."""
        self._headers = ResponseHeaders(self._settings, host.environment)
        self._report.start(host)
        self._ready.clear()

    def stop(self) -> None:
        """Measure no more."""
        self._report.stop()
        self._ready.clear()

    def forked(self) -> None:
        """Begin anew in the child of a fork: identities made in advance and reports put off are its parent's."""
        self._ready.clear()
        self._report.forked()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or WebSocket; other scopes are passed on."""
        kind = scope["type"]
        if "router" in scope:
            scope = _as_root(scope)
        exchange: Exchange | WebSocketExchange
        if kind == "http":
            try:
                exchange = self._ready.pop()
            except IndexError:
                exchange = self._prepare()
            exchange.scope = scope
            exchange.incoming = receive
            exchange.outgoing = send
            exchange.started = started = perf_counter()
            # In place, as all of an exchange runs in one thread: calls are what a request costs.
            exchange.active[0] += 1.0
            context = exchange.context
            if not TOLD.isdisjoint(map(name_of, scope["headers"])):
                self._identifier.told(context, scope["headers"])
                exchange.identity = (b"x-request-id", context.request_id.encode())
        elif kind == "websocket":
            context = self._identifier.identify(scope["headers"])
            context.recorder = self._traces
            exchange = WebSocketExchange(scope, receive, send, context, self._headers, self._report)
            started = exchange.started
        else:
            await self.app(scope, receive, send)
            return
        token = current.set(context)
        if not context.sampled:
            scope.setdefault(FASTAPI_KEY, None)
        if started - self._looked > _LOOK:
            self._look(started)
        ambient = None
        if self._tracing:
            ambient = OtelContext()
            ambient.__enter__()
        try:
            for guard in self._guards:
                verdict = guard(scope)
                if verdict is not None:
                    if not isinstance(verdict, Verdict):
                        verdict = await verdict
                        if verdict is None:
                            continue
                    exchange.guarded += verdict.headers
                    if verdict.status:
                        await exchange.refuse(verdict)
                        break
            else:
                await self.app(scope, exchange.receive, exchange.send)
        except BaseException as error:
            await exchange.raised(error)
        else:
            if not exchange.finished:
                await exchange.returned()
        finally:
            if ambient is not None:
                ambient.__exit__(None, None, None)
            current.reset(token)

    def _prepare(self) -> Exchange:
        """Make exchanges in advance, and return one of them."""
        for _ in range(_IN_ADVANCE):
            context = self._identifier.anew()
            context.recorder = self._traces
            self._ready.append(Exchange(context, self._headers, self._report))
        return self._ready.pop()

    def _look(self, now: float) -> None:
        """See whether OpenTelemetry is configured by now, so that libraries may ask for the parent of their spans."""
        self._looked = now
        ours = self._traces is not None and self._traces.otel is not None
        self._tracing = ours or tracing_configured()


def _as_root(scope: Scope) -> Scope:
    """Return the scope without what an outer router left, so that the application's routes stand on their own."""
    outer = ("router", "route", "endpoint", "app_root_path", "path_params", "fastapi")
    return {key: value for key, value in scope.items() if key not in outer}


_all: WeakSet[HttpMiddleware] = WeakSet()


def _forked() -> None:
    for middleware in list(_all):
        middleware.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
