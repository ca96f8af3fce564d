"""The fused middleware: all that is to be done around a request, in one pure ASGI layer.

Request id, trace context, RED metrics, access log, security headers, guards and problem details would be six layers,
each with a wrapped ``send`` of its own. Here they share one pass over the headers and one object a request.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from starlette.types import ASGIApp, Receive, Scope, Send

from bedplate.component import Host
from bedplate.declarations import Verdict
from bedplate.telemetry.context import current
from bedplate.telemetry.http import otel
from bedplate.telemetry.http.access import AccessLog
from bedplate.telemetry.http.exchange import Exchange
from bedplate.telemetry.http.headers import ResponseHeaders
from bedplate.telemetry.http.identity import Identifier
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


class HttpMiddleware:
    """A pure ASGI middleware, meant to be the outermost; see :class:`~bedplate.telemetry.http.Http` for how to get one.

    It works before its service has started, unmeasured. One instance belongs to one event loop.

    :param app: the application below.
    :param guards: asked in order before the application is; the first refusal is the answer.
    :param access: the access log, None for none.
    :param traces: decides what is sampled and slow, and takes such requests; without it 1 % is sampled, for exemplars.
    :param errors: takes unhandled exceptions.
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
    ) -> None:
        self.app = app
        self._settings = settings = settings or HttpSettings()
        self._guards = tuple(guards)
        self._report = Reporter(settings, access, traces, errors)
        self._traces = traces
        self._identify = Identifier(
            (TraceSettings() if traces is None else traces.settings).sample_ratio,
            trust_parent=settings.trust_parent,
            trust_request_id=settings.trust_request_id,
        ).identify
        self._tracing = False
        self._looked = 0.0
        self._headers = ResponseHeaders(settings, "development")

    def knows(self, application: object) -> None:
        """Look through the routes of an application for the name of what was answered before it was routed."""
        self._report.templates.application = application

    def start(self, host: Host) -> None:
        """Measure with the service's registry; the security headers become those of its environment."""
        self._headers = ResponseHeaders(self._settings, host.environment)
        self._report.start(host)

    def stop(self) -> None:
        """Measure no more."""
        self._report.stop()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or WebSocket; other scopes are passed on."""
        kind = scope["type"]
        if kind != "http" and kind != "websocket":
            await self.app(scope, receive, send)
            return
        if "router" in scope:
            scope = _as_root(scope)
        context = self._identify(scope["headers"])
        kept: type[Exchange | WebSocketExchange] = Exchange if kind == "http" else WebSocketExchange
        exchange = kept(scope, receive, send, context, self._headers, self._report)
        token = current.set(context)
        context.recorder = self._traces
        if not context.sampled:
            scope.setdefault(otel.FASTAPI_KEY, None)
        if exchange.started - self._looked > _LOOK:
            self._look(exchange.started)
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

    def _look(self, now: float) -> None:
        """See whether OpenTelemetry is configured by now, so that libraries may ask for the parent of their spans."""
        self._looked = now
        ours = self._traces is not None and self._traces.otel is not None
        self._tracing = ours or otel.tracing_configured()


def _as_root(scope: Scope) -> Scope:
    """Return the scope without what an outer router left, so that the application's routes stand on their own."""
    outer = ("router", "route", "endpoint", "app_root_path", "path_params", "fastapi")
    return {key: value for key, value in scope.items() if key not in outer}
