"""HTTP as a component: its metrics and panels, and the middleware around the application."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from starlette.types import ASGIApp

from bedplate.component import Host, Spec
from bedplate.declarations import SLO, Panel, Series
from bedplate.telemetry.http.access import AccessLog, Sink
from bedplate.telemetry.http.metrics import ACTIVE, DURATION, ERRORS, METRICS, RESPONSE_SIZE, WEBSOCKETS
from bedplate.telemetry.http.middleware import Guard, HttpMiddleware
from bedplate.telemetry.http.problems import install_problem_handlers
from bedplate.telemetry.http.report import ErrorSink
from bedplate.telemetry.http.settings import HttpSettings
from bedplate.telemetry.logs.writer import Writer
from bedplate.telemetry.redaction import Redactor
from bedplate.telemetry.traces.recorder import TraceRecorder

__all__ = ["Http"]

_FAILED = DURATION.count + '{http_response_status_code=~"5.."}'
_ALL = f"sum(rate({DURATION.count}[5m]))"

_PANELS = (
    Panel(
        title="Requests by route",
        expr=(("{{http_route}}", f"sum by (http_route) (rate({DURATION.count}[5m]))"),),
        unit="reqps",
    ),
    Panel(
        title="Failed requests",
        # Where nothing has ever failed there is no series of failures; that is a share of 0, not nothing known.
        expr=f"(sum(rate({_FAILED}[5m])) or {_ALL} * 0) / {_ALL}",
        unit="percentunit",
        summary="Share of requests that were answered with a 5xx.",
    ),
    Panel(
        title="Request duration",
        expr=tuple(
            (f"p{quantile * 100:g}", f"histogram_quantile({quantile}, sum by (le) (rate({DURATION.bucket}[5m])))")
            for quantile in (0.5, 0.95, 0.99)
        ),
        unit="s",
    ),
    Panel(title="Active requests", expr=(("requests", f"{ACTIVE}"), ("websockets", f"sum({WEBSOCKETS})"))),
    Panel(
        title="Errors by type",
        expr=(("{{error_type}}", f"sum by (error_type) (rate({ERRORS}[5m]))"),),
        unit="reqps",
    ),
    Panel(title="Bytes sent", expr=f"sum(rate({RESPONSE_SIZE.sum}[5m]))", unit="Bps"),
)


def _objectives(availability: float) -> tuple[SLO, ...]:
    if not availability:
        return ()
    answered, failed = (
        DURATION(http_request_method="GET", http_route="/items", http_response_status_code=code).count
        for code in ("200", "500")
    )
    return (
        SLO(
            name="http-availability",
            objective=availability,
            good=DURATION.count + '{http_response_status_code!~"5.."}',
            total=DURATION.count,
            summary="Requests are answered without a fault of ours.",
            fires=(Series(answered, "0x30"), Series(failed, "0+60x30")),
            quiet=(Series(answered, "0+60x30"), Series(failed, "0x30")),
        ),
    )


class Http:
    """Identifies, measures, logs and protects every request of a service.

    :param settings: see :class:`~bedplate.telemetry.http.HttpSettings`.
    :param traces: decides what is sampled and what is slow, and takes the traces of such requests and of failed ones.
    :param errors: where unhandled exceptions go.
    :param redactor: what keeps secrets out of the access log; one with default rules if None.
    :param before_reading: what is called before metrics are read, ``Metrics.before_reading``: with it, reports of
        ordinary requests are put off and made together; without it each is made at the request's end.
    """

    def __init__(
        self,
        settings: HttpSettings | None = None,
        *,
        traces: TraceRecorder | None = None,
        errors: ErrorSink | None = None,
        redactor: Redactor | None = None,
        before_reading: list[Callable[[], None]] | None = None,
    ) -> None:
        self.settings = settings or HttpSettings()
        self._before_reading = before_reading
        self._traces = traces
        self._errors = errors
        self._redactor = redactor
        self._wrapped: list[HttpMiddleware] = []
        self._host: Host | None = None

    @property
    def spec(self) -> Spec:
        """Metrics in OpenTelemetry's stable names, and the panels everybody looks at first."""
        return Spec(
            kind="http",
            summary="Identifies, measures, logs and protects every request.",
            settings=self.settings,
            metrics=METRICS,
            slos=_objectives(self.settings.availability),
            panels=_PANELS,
        )

    def wrap(
        self, app: ASGIApp, *, guards: Sequence[Guard] = (), sink: Sink | Writer | None = None, service: str = ""
    ) -> HttpMiddleware:
        """Return ``app`` inside the fused middleware; FastAPI and Starlette applications answer errors as problems.

        It can serve at once, and measures for as long as :meth:`lifespan` runs, whichever of the two comes first.

        :param guards: asked in order before the application is.
        :param sink: takes the lines of the access log; None for no access log.
        :param service: the service's name for records written before the start.
        """
        install_problem_handlers(app)
        access = None
        if sink is not None and self.settings.access_log:
            access = AccessLog(sink, service, self._redactor, self.settings.secret_parameters)
        middleware = HttpMiddleware(
            app,
            settings=self.settings,
            guards=guards,
            access=access,
            traces=self._traces,
            errors=self._errors,
            before_reading=self._before_reading,
        )
        self._wrapped.append(middleware)
        if self._host is not None:
            middleware.start(self._host)
        return middleware

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        """Measure while inside."""
        self._host = host
        for middleware in self._wrapped:
            middleware.start(host)
        try:
            yield
        finally:
            self._host = None
            for middleware in self._wrapped:
                middleware.stop()
