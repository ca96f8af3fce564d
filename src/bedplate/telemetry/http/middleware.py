"""The fused middleware: all that is to be done around a request, in one pure ASGI layer.

Request id, trace context, RED metrics, access log, security headers, guards and problem details would be six layers,
each with a wrapped ``send`` of its own. Here they share one pass over the headers and one object a request.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from starlette.types import ASGIApp, Receive, Scope, Send

from bedplate.component import Environment
from bedplate.declarations import Verdict
from bedplate.telemetry.context import current
from bedplate.telemetry.http import otel
from bedplate.telemetry.http.access import AccessLog
from bedplate.telemetry.http.exchange import Exchange
from bedplate.telemetry.http.headers import ResponseHeaders
from bedplate.telemetry.http.identity import Identifier
from bedplate.telemetry.http.metrics import Meter
from bedplate.telemetry.http.report import ErrorSink, Reporter, TraceSink
from bedplate.telemetry.http.settings import HttpSettings
from bedplate.telemetry.http.websocket import WebSocketExchange

__all__ = ["Guard", "HttpMiddleware"]

#: Judges a request by its scope; None lets it pass.
Guard = Callable[[Scope], Verdict | None]

#: Seconds between two looks whether OpenTelemetry has been configured.
_LOOK = 1.0


class HttpMiddleware:
    """A pure ASGI middleware, meant to be the outermost; see :class:`~bedplate.telemetry.http.Http` for how to get one.

    It works before its service has started, unmeasured. One instance belongs to one event loop.

    :param app: the application below.
    :param meter: the bound metrics.
    :param guards: asked in order before the application is; the first refusal is the answer.
    :param access: the access log, None for none.
    :param traces: takes requests that were sampled, failed or slow. :param errors: takes unhandled exceptions.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        settings: HttpSettings | None = None,
        meter: Meter | None = None,
        guards: Sequence[Guard] = (),
        access: AccessLog | None = None,
        traces: TraceSink | None = None,
        errors: ErrorSink | None = None,
    ) -> None:
        self.app = app
        self._settings = settings = settings or HttpSettings()
        self._guards = tuple(guards)
        self._report = Reporter(settings, meter or Meter(), access, traces, errors)
        self._identify = Identifier(
            settings.sample_ratio, trust_parent=settings.trust_parent, trust_request_id=settings.trust_request_id
        ).identify
        self._tracing = False
        self._looked = 0.0
        self.configure("development")

    def configure(self, environment: Environment) -> None:
        """Set the security headers for where the service runs."""
        self._headers = ResponseHeaders(self._settings, environment)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or WebSocket; other scopes are passed on."""
        kind = scope["type"]
        if kind != "http" and kind != "websocket":
            await self.app(scope, receive, send)
            return
        if "router" in scope:
            scope = _as_root(scope)
        headers = scope["headers"]
        context = self._identify(dict(headers), headers)
        kept: type[Exchange | WebSocketExchange] = Exchange if kind == "http" else WebSocketExchange
        exchange = kept(scope, receive, send, context, self._headers, self._report)
        token = current.set(context)
        spared = None
        if not context.sampled:
            scope.setdefault(otel.FASTAPI_KEY, None)
            if exchange.started - self._looked > _LOOK:
                self._looked = exchange.started
                self._tracing = otel.tracing_configured()
            if self._tracing:
                spared = otel.attach_unsampled(context)
        try:
            for guard in self._guards:
                verdict = guard(scope)
                if verdict is not None:
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
            if spared is not None:
                otel.detach(spared)
            current.reset(token)


def _as_root(scope: Scope) -> Scope:
    """Return the scope without what an outer router left, so that the application's routes stand on their own."""
    outer = ("router", "route", "endpoint", "app_root_path", "path_params", "fastapi")
    return {key: value for key, value in scope.items() if key not in outer}
