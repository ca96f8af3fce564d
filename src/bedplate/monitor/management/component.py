"""The component that shows a service to its operators."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Literal

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from bedplate.component import ComponentView, Host, Spec
from bedplate.declarations import Action, Actor, Check, Panel, Routes
from bedplate.monitor.audit import Audit
from bedplate.monitor.auth import Authenticator, GuardedRoute, Identity
from bedplate.monitor.auth.tokens import allows
from bedplate.monitor.health import Health
from bedplate.monitor.management.actions import ACTIONS, Buttons
from bedplate.monitor.management.exposition import MetricEndpoints
from bedplate.monitor.management.interfaces import ErrorSource, LogSource, MetricSource, TraceSource
from bedplate.monitor.management.listings import ErrorEndpoints, TraceEndpoints
from bedplate.monitor.management.logs import LogEndpoints
from bedplate.monitor.management.requests import Page, Query, json_body, query_of
from bedplate.monitor.management.responses import Json, not_found, starting
from bedplate.monitor.management.settings import ManagementSettings
from bedplate.monitor.management.views import ComponentViews, actions_of
from bedplate.monitor.replies import ProblemError
from bedplate.problems import Problem
from bedplate.telemetry.redaction import Redactor

__all__ = ["Management"]


class DetailQuery(Query):
    """How much to tell of health."""

    history: bool = False


class ComponentQuery(Page):
    """Which components to list."""

    kind: str = ""
    state: Literal["", "waiting", "starting", "running", "degraded", "stopping", "stopped", "failed"] = ""


class Management:
    """The management API of a service, by default under ``/monitoring``.

    Everything but the bare status of ``health`` needs a token outside development. What does not depend on running
    components (health, metrics, traces, errors, logs) answers from construction on.

    :param prefix: where it is served. :param scoped: narrows a PromQL expression to this service.
    :param traces: None where a service keeps none; the same for ``errors`` and ``logs``.
    :param audit: keeps the record of actions; without one they are in the log alone.
    """

    def __init__(
        self,
        settings: ManagementSettings | None = None,
        *,
        registry: MetricSource,
        health: Health,
        auth: Authenticator,
        logs: LogSource | None = None,
        traces: TraceSource | None = None,
        errors: ErrorSource | None = None,
        redactor: Redactor | None = None,
        scoped: Callable[[str], str] = str,
        audit: Audit | None = None,
        prefix: str = "/monitoring",
    ) -> None:
        self.settings = settings or ManagementSettings()
        self.prefix = prefix.rstrip("/")
        self._health = health
        self._auth = auth
        self._host: Host | None = None
        self._views = ComponentViews(health, redactor or Redactor(), scoped)
        self.buttons = Buttons(
            redactor or Redactor(), self.settings.action_timeout, self._count,
            keep=audit.keep if audit is not None else None, states=self._state_of,
        )  # fmt: skip
        self._metrics = MetricEndpoints(registry)
        self._logs = LogEndpoints(logs, self.settings, self._is_ending) if logs is not None else None
        self._traces = TraceEndpoints(traces) if traces is not None else None
        self._errors = ErrorEndpoints(errors) if errors is not None else None
        self._spec = Spec(
            kind="management",
            summary="Shows operators how the service is, and takes their actions.",
            needs=(health, auth) if audit is None else (health, auth, audit),
            settings=self.settings,
            metrics=(ACTIONS,),
            panels=_PANELS,
            checks=tuple(self._checks()),
        )

    @property
    def spec(self) -> Spec:
        """The component's declaration."""
        return self._spec

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        """Show the components of ``host`` while inside."""
        self._host = host
        try:
            yield
        finally:
            self._host = None

    def routes(self) -> Sequence[Routes]:
        """Return its routes, and ``/healthz`` and ``/metrics`` for the service's root.

        Those that are open, or for others than viewers, bring a gate of their own.
        """
        at_root: list[BaseRoute] = [
            Route("/healthz", self._detailed),
            GuardedRoute(Route("/metrics", self._metrics.get), self._auth, access="metrics"),
        ]
        return (
            Routes(routes=self._own_routes(), access="viewer"),
            Routes(routes=at_root, access="viewer", management=False),
        )

    def buttons_at(self, paths: Iterable[str]) -> Routes:
        """Return the routes at which actions with a path of their own are pressed."""
        routes: list[BaseRoute] = [
            GuardedRoute(Route(path, self._press_all, methods=["POST"]), self._auth, access="viewer", unsafe="viewer")
            for path in paths
        ]
        return Routes(routes=routes, access="viewer")

    def _own_routes(self) -> list[BaseRoute]:
        press = Route("/components/{kind}/{name}/actions/{action}", self._press, methods=["POST"])
        routes: list[BaseRoute] = [
            GuardedRoute(Route("/health", self._bare), self._auth, access=None),
            GuardedRoute(Route("/metrics", self._metrics.get), self._auth, access="metrics"),
            # The role that the action asks for decides, and a viewer's is possible.
            GuardedRoute(press, self._auth, access="viewer", unsafe="viewer"),
            Route("/", self._index),
            Route("/health/detailed", self._detailed),
            Route("/components", self._components),
            Route("/components/{kind}/{name}", self._component),
        ]
        if self._traces is not None:
            routes += [Route("/traces", self._traces.list), Route("/traces/{id}", self._traces.get)]
        if self._errors is not None:
            routes += [Route("/errors", self._errors.list), Route("/errors/{fingerprint}", self._errors.get)]
        if self._logs is not None:
            routes.append(Route("/logs", self._logs.get))
        return routes

    def _checks(self) -> Iterable[Check]:
        faces = {"health": None, "health/detailed": "viewer", "metrics": "viewer", "components": "viewer"}
        faces |= {name: "viewer" for name in ("traces", "errors", "logs") if getattr(self, f"_{name}") is not None}
        for face, role in faces.items():
            yield Check(
                name=face.replace("/", "-"),
                path=f"{self.prefix}/{face}",
                summary=f"The management API answers {face}.",
                group="management",
                role="viewer" if role else None,
            )

    async def _index(self, request: Request) -> Response:
        """Return what there is, with links."""
        base = request.scope.get("root_path", "").rstrip("/")
        faces = ["health", "health/detailed", "metrics", "components"]
        faces += [name for name in ("traces", "errors", "logs") if getattr(self, f"_{name}") is not None]
        service = self._host.service if self._host is not None else ""
        links = {face: f"{base}/{face}" for face in faces}
        return Json({"service": service, **self._health.status.bare(), "links": links})

    async def _bare(self, request: Request) -> Response:
        """Return the status to everybody, and the reasons to whoever has a token."""
        status = self._health.status
        document = status.bare()
        identity = self._auth.identify(request.scope)
        if isinstance(identity, Identity) and allows(identity.grant, "viewer"):
            document = status.document()
        elif isinstance(identity, Problem) and "authorization" in request.headers:
            raise ProblemError(identity)
        return Json(document, 200 if status.level != "unhealthy" else 503)

    async def _detailed(self, request: Request) -> Response:
        """Return the status, its reasons and every probe."""
        query = query_of(request, DetailQuery)
        status = 200 if self._health.status.level != "unhealthy" else 503
        return Json(self._health.report(history=query.history), status)

    async def _components(self, request: Request) -> Response:
        """Return the components in start order."""
        query = query_of(request, ComponentQuery)
        views = [
            view
            for view in self._running().components
            if (not query.kind or view.spec.kind == query.kind) and (not query.state or view.state == query.state)
        ]
        labels = [view.spec.label for view in views]
        start = labels.index(query.cursor) + 1 if query.cursor in labels else 0
        page = views[start : start + query.limit]
        more = page[-1].spec.label if start + len(page) < len(views) else None
        return Json({"items": [self._views.summary(view) for view in page], "next": more})

    async def _component(self, request: Request) -> Response:
        """Return all that is known of one component."""
        return Json(self._views.detail(self._find(request)))

    async def _press(self, request: Request) -> Response:
        """Do an action, if the caller's role allows it."""
        view = self._find(request)
        name = request.path_params["action"]
        action = next((action for action in actions_of(view) if action.name == name), None)
        if action is None:
            raise not_found(f"{view.spec.label} has no action {name[:64]!r}.")
        actor = await self._allowed(request, view, action)
        body = await json_body(request, self.settings.body_limit)
        result = await self.buttons.press(view.spec.label, action, actor, body)
        return Json({"component": view.spec.label, "action": action.name, "result": result})

    async def _press_all(self, request: Request) -> Response:
        """Do all actions with the path that was asked for, if the caller's role allows every one of them."""
        path = request.url.path
        found = [
            (view, action)
            for view in self._running().components
            for action in actions_of(view)
            if action.path and path.endswith(action.path)
        ]
        actors = [await self._allowed(request, view, action) for view, action in found]
        body = await json_body(request, self.settings.body_limit)
        items = []
        for (view, action), actor in zip(found, actors, strict=True):
            result = await self.buttons.press(view.spec.label, action, actor, body)
            items.append({"component": view.spec.label, "action": action.name, "result": result})
        return Json({"items": items})

    async def _allowed(self, request: Request, view: ComponentView, action: Action) -> Actor:
        """Return who presses a button. :raises ProblemError: when the role is too low, which is recorded."""
        actor = self._auth.actor(request.scope)
        assert actor is not None  # the route's gate lets viewers in and nobody less
        denied = self._auth.authorize(request.scope, action.role)
        if isinstance(denied, Problem):
            await self.buttons.record(view.spec.label, action.name, actor, "denied", {})
            raise ProblemError(denied)
        return actor

    def _running(self) -> Host:
        if self._host is None:
            raise starting()
        return self._host

    def _find(self, request: Request) -> ComponentView:
        key = (request.path_params["kind"], request.path_params["name"])
        for view in self._running().components:
            if view.spec.key == key:
                return view
        raise not_found(f"There is no component {key[0][:64]}/{key[1][:64]}; the list of components has their names.")

    def _state_of(self, label: str) -> dict[str, str] | None:
        """Return how a component is, for the audit log."""
        views = self._host.components if self._host is not None else ()
        view = next((view for view in views if view.spec.label == label), None)
        return None if view is None else {"state": view.state, "reason": view.reason}

    def _is_ending(self) -> bool:
        return self._health.status.phase in ("stopping", "failed")

    def _count(self, component: str, action: str, outcome: str) -> None:
        if self._host is not None:
            self._host.bind(ACTIONS, component=component, action=action, outcome=outcome).inc()


_PANELS = (
    Panel(
        title="Actions",
        expr=(
            ("{{component}} {{action}} {{outcome}}", f"sum by (component, action, outcome) (increase({ACTIONS}[1h]))"),
        ),
        kind="table",
        row="Management",
        summary="Who did what? The log of bedplate.audit has names.",
    ),
)
