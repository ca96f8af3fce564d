"""The component that answers Prometheus' HTTP API from the service's own samples."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from bedplate.clock import Clock, SystemClock
from bedplate.component import Host, Spec
from bedplate.declarations import Check, Panel, Routes
from bedplate.metric import Counter
from bedplate.monitor.auth import Authenticator, GuardedRoute
from bedplate.monitor.prometheus_api import catalogue, queries
from bedplate.monitor.prometheus_api.answers import ApiError, failure, first, success
from bedplate.monitor.prometheus_api.parameters import Form, form_of
from bedplate.monitor.prometheus_api.rules import RuleGroup, RuleSource, alert_document, group_document
from bedplate.monitor.samples.component import Sampled, Samples
from bedplate.monitor.samples.evaluation import Evaluator
from bedplate.problems import BedplateError

__all__ = ["PrometheusApi"]

#: The version of Prometheus whose language this is; Grafana asks for it to know what it may use.
VERSION = "3.0.0"

#: Queries that are evaluated at the same time; further ones wait for their turn.
_AT_ONCE = 4

REQUESTS = Counter(
    "bedplate_prometheus_api_requests_total",
    "Requests to the query API, by what was asked for and Prometheus' errorType.",
    {
        "call": ("query", "query_range", "series", "labels", "label", "metadata", "rules", "alerts", "status"),
        "outcome": ("ok", "bad_data", "execution", "timeout", "unavailable", "internal"),
    },
)

Answer = Callable[[Request, Form], Awaitable[Response]]


class PrometheusApi:
    """Prometheus' HTTP API under ``<prefix>/prometheus``, so that Grafana takes a lone service for a data source.

    Everything in it reads, also what is posted: viewers may. Answers and errors have Prometheus' form; only what stands
    before it, such as a missing token, is a problem document.

    :param prefix: the management API's. :ivar rules: who evaluates rules; without, there are none to show.
    """

    def __init__(self, samples: Samples, *, source: Sampled, auth: Authenticator, prefix: str = "/monitoring") -> None:
        self.rules: RuleSource | None = None
        self._samples = samples
        self._source = source
        self._auth = auth
        self._evaluator = Evaluator(samples)
        self._clock: Clock = SystemClock()
        self._host: Host | None = None
        self._turns = asyncio.Semaphore(_AT_ONCE)
        base = f"{prefix.rstrip('/')}/prometheus/api/v1"
        self._spec = Spec(
            kind="prometheus_api",
            summary="Answers Prometheus' HTTP API from the service's own samples.",
            needs=(samples, auth),
            metrics=(REQUESTS,),
            panels=(
                Panel(
                    title="Requests to the query API",
                    expr=(("{{call}} {{outcome}}", f"sum by (call, outcome) (rate({REQUESTS}[5m]))"),),
                    unit="ops",
                    row="Samples",
                ),
            ),
            checks=(
                Check(
                    name="prometheus-query",
                    path=f"{base}/query?query=up",
                    summary="The query API knows that the service is up.",
                    group="samples",
                    role="viewer",
                    fields=("data.result.0.value.1",),
                    suite="observability",
                ),
                Check(
                    name="prometheus-buildinfo",
                    path=f"{base}/status/buildinfo",
                    summary="Grafana can tell what the query API is.",
                    group="samples",
                    role="viewer",
                    fields=("data.version",),
                    suite="observability",
                ),
            ),
        )

    @property
    def spec(self) -> Spec:
        """The component's declaration."""
        return self._spec

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        """Answer by the time of the host while inside."""
        self._host, self._clock = host, host.clock
        self._turns = asyncio.Semaphore(_AT_ONCE)
        try:
            yield
        finally:
            self._host = None

    def routes(self) -> Sequence[Routes]:
        """Return the calls of the API that clients use."""
        asked: dict[str, tuple[str, Answer]] = {
            "/query": ("query", self._query),
            "/query_range": ("query_range", self._query_range),
            "/series": ("series", self._series),
            "/labels": ("labels", self._labels),
        }
        read: dict[str, tuple[str, Answer]] = {
            "/label/{name}/values": ("label", self._label),
            "/metadata": ("metadata", self._metadata),
            "/rules": ("rules", self._rules),
            "/alerts": ("alerts", self._alerts),
            "/status/buildinfo": ("status", self._buildinfo),
        }
        routes: list[BaseRoute] = [
            # A query is too long for an address at times; posting one changes nothing.
            self._open(Route(path, self._answering(*call), methods=["GET", "POST"]))
            for path, call in asked.items()
        ]
        routes += [self._open(Route(path, self._answering(*call))) for path, call in read.items()]
        return (Routes(routes=routes, prefix="/prometheus/api/v1", access="viewer"),)

    def _open(self, route: Route) -> GuardedRoute:
        return GuardedRoute(route, self._auth, access="viewer", unsafe="viewer")

    def _answering(self, call: str, answer: Answer) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            outcome: str = "ok"
            try:
                return await answer(request, await form_of(request))
            except BedplateError as error:
                told = queries.told(error)
                outcome = told.kind
                return failure(told.kind, told.what)
            finally:
                if self._host is not None:
                    self._host.bind(REQUESTS, call=call, outcome=outcome).inc()

        endpoint.__doc__ = answer.__doc__
        endpoint.__name__ = call
        return endpoint

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Wait for a turn, for no longer than a query may take."""
        try:
            async with asyncio.timeout(self._samples.settings.query_timeout):
                await self._turns.acquire()
        except TimeoutError:
            raise ApiError("timeout", "query timed out in query queue") from None
        try:
            yield
        finally:
            self._turns.release()

    async def _query(self, request: Request, form: Form) -> Response:
        """Return the value of an expression at one moment."""
        async with self._turn():
            return await queries.query(form, self._evaluator, self._clock)

    async def _query_range(self, request: Request, form: Form) -> Response:
        """Return the values of an expression over time."""
        async with self._turn():
            return await queries.query_range(form, self._evaluator)

    async def _series(self, request: Request, form: Form) -> Response:
        """Return the label sets of series."""
        return await catalogue.series(form, self._evaluator)

    async def _labels(self, request: Request, form: Form) -> Response:
        """Return the names of labels."""
        return await catalogue.label_names(form, self._evaluator)

    async def _label(self, request: Request, form: Form) -> Response:
        """Return the values of a label."""
        return await catalogue.label_values(request.path_params["name"], form, self._evaluator)

    async def _metadata(self, request: Request, form: Form) -> Response:
        """Return type and help of metrics."""
        return await catalogue.metadata(form, self._source)

    async def _rules(self, request: Request, form: Form) -> Response:
        """Return the rules by group, with their alerts."""
        if form.text("type") == "record":
            return success({"groups": []})
        names, groups, files = form.texts("rule_name[]"), form.texts("rule_group[]"), form.texts("file[]")
        documents = []
        for group in self._groups():
            if (groups and group.name not in groups) or (files and group.file not in files):
                continue
            rules = [rule for rule in group.rules if not names or rule.name in names]
            if rules or not names:
                alerts = form.text("exclude_alerts") != "true"
                documents.append(group_document(group, rules, alerts=alerts))
        return success({"groups": documents})

    async def _alerts(self, request: Request, form: Form) -> Response:
        """Return the alerts that are pending or fire."""
        alerts = [alert for group in self._groups() for rule in group.rules for alert in rule.alerts]
        return success({"alerts": [alert_document(alert) for alert in first(alerts, form.limit())]})

    async def _buildinfo(self, request: Request, form: Form) -> Response:
        """Return which Prometheus this can be taken for."""
        nothing = dict.fromkeys(("revision", "branch", "buildUser", "buildDate", "goVersion"), "")
        return success({"version": VERSION, **nothing, "branch": "bedplate"})

    def _groups(self) -> Sequence[RuleGroup]:
        return self.rules.rule_groups() if self.rules is not None else ()
