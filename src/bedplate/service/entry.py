"""The ASGI face of a service: probes, the operators' side, then the application behind guards and middleware.

Two instances of the fused middleware share one set of metrics: one around what operators ask for, which no rate limit
may keep from them, and one around the application.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Receive, Scope, Send

from bedplate.component import Component, HasActions, HasGuard, HasMiddleware, HasRoutes
from bedplate.declarations import Middleware
from bedplate.monitor.auth import ProblemRouter, secure
from bedplate.problems import DeclarationError, Problem
from bedplate.service.asgi import send_problem
from bedplate.service.graph import told_by
from bedplate.service.pages import send_meanwhile
from bedplate.telemetry.http import install_problem_handlers
from bedplate.telemetry.http.metrics import UNMATCHED
from bedplate.telemetry.http.routes import ROUTE_KEY

if TYPE_CHECKING:
    from bedplate.service.service import Service

__all__ = ["Entry"]

_STAGES = ("edge", "identity", "guard", "replay")


class Entry:
    """Where requests of one service come in; exists from construction on, and serves the application while open."""

    def __init__(self, service: Service) -> None:
        self._service = service
        builtins = service.builtins
        self._prefix = builtins.settings.management_prefix
        board = builtins.health.board
        self._probes: dict[str, ASGIApp] = {"/livez": board.livez, "/readyz": board.readyz}
        managed: list[BaseRoute] = []
        rooted: list[BaseRoute] = []
        for component in service.components:
            if not isinstance(component, HasRoutes):
                continue
            with _asking(component, "routes()"):
                for routes in component.routes():
                    if routes.management:
                        managed += secure(routes, builtins.auth, self._prefix)
                    else:
                        rooted += secure(routes, builtins.auth)
        paths = _paths(service.components)
        if paths:
            managed += secure(builtins.management.buttons_at(paths), builtins.auth, self._prefix)
        # Outside development even which paths exist is told to viewers only.
        self._management = ProblemRouter(managed, default=builtins.auth.protect(_unknown, "viewer"))
        self._rooted = tuple(rooted)
        self._router = ProblemRouter(rooted, default=_unknown)
        #: How paths begin that may belong to operators; whatever does not is not looked at twice.
        self.prefixes = _shortest({self._prefix, *self._probes, *(_first(route) for route in rooted)})
        self._relay: ASGIApp | None = None
        guards = [component.guard for component in service.components if isinstance(component, HasGuard)]
        sink = builtins.access_sink
        self._operators = builtins.http.wrap(self._operate, sink=sink, service=service.name)
        self._public = builtins.http.wrap(_starting, guards=guards, sink=sink, service=service.name)
        self._application: ASGIApp = _nothing
        if service.app is not None:
            install_problem_handlers(service.app)
            builtins.traces.instrument(service.app)
            self._application = _layered(service.app, service.components)
            self._public.knows(service.app)

    def serve(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Return what serves one request or WebSocket; a function, because every frame on the hot path costs."""
        path: str = scope["path"]
        root: str = scope.get("root_path", "")
        if root:
            path = path.removeprefix(root)
        if not path.startswith(self.prefixes):
            return self._public(scope, receive, send)
        if path in self._probes and scope["type"] == "http":
            # The orchestrator asks these every few seconds, and nothing may make them wait, or count them as traffic.
            return self._probes[path](scope, receive, send)
        if not self._is_operators(path, scope):
            return self._public(scope, receive, send)
        # With a relay the ops process measures and logs it; twice would be wrong.
        return (self._operators if self._relay is None else self._relay)(scope, receive, send)

    async def manage(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve what operators ask for and nothing else; for a port of their own."""
        path: str = scope["path"].removeprefix(scope.get("root_path", ""))
        if path.startswith(self.prefixes) and (path in self._probes or self._is_operators(path, scope)):
            await self.serve(scope, receive, send)
        else:
            await _unknown(scope, receive, send)

    def is_operated(self, path: str) -> bool:
        """Return whether operators ask for this path, and not the application; a query may follow it."""
        path = path.partition("?")[0]
        return path in self._probes or self._is_operators(path, {"type": "http", "method": "GET", "path": path})

    def relay(self, app: ASGIApp) -> None:
        """Pass what operators ask for on to ``app``; only the probes of this process are answered here."""
        self._relay = app

    def open(self, state: dict[str, Any]) -> None:
        """Let requests through to the application, with the state of its lifespan."""
        self._public.app = _with_state(self._application, state) if state else self._application

    def drain(self) -> None:
        """Say that the service is going away; requests are still served."""
        self._service.builtins.health.drain()

    def fail(self, error: BaseException) -> None:
        """Say that the service could not start."""
        self._service.builtins.health.fail()

    def close(self) -> None:
        """Keep requests from an application that does not run."""
        self._public.app = _starting

    @property
    def ready(self) -> bool:
        """Whether requests should be sent here."""
        return self._service.builtins.health.status.ready

    def links(self, root: str) -> dict[str, str]:
        """Return the pages worth a link, by their name; ``root`` is where the service is mounted."""
        found = {"console": f"{root}/console", "metrics": f"{root}/metrics", "health": f"{root}/healthz"}
        found["monitoring"] = f"{root}{self._prefix}"
        if (docs := getattr(self._service.app, "docs_url", None)) is not None:
            found = {"docs": f"{root}{docs}", **found}
        return found

    async def _operate(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"].removeprefix(scope.get("root_path", ""))
        await (self._management if self._is_managed(path) else self._router)(scope, receive, send)

    def _is_managed(self, path: str) -> bool:
        return path == self._prefix or path.startswith(f"{self._prefix}/")

    def _is_operators(self, path: str, scope: Scope) -> bool:
        """Return whether a component answers this path, and not the application."""
        return self._is_managed(path) or any(route.matches(scope)[0] is not Match.NONE for route in self._rooted)


def _paths(components: Sequence[Component]) -> list[str]:
    """Return the paths at which actions are pressed, each once."""
    found: dict[str, None] = {}
    for component in components:
        if isinstance(component, HasActions):
            with _asking(component, "actions()"):
                found |= dict.fromkeys(action.path for action in component.actions() if action.path)
    return list(found)


def _first(route: BaseRoute) -> str:
    """Return the path of a route up to its first parameter."""
    return str(getattr(route, "path", "/")).partition("{")[0].rstrip("/") or "/"


def _layered(app: ASGIApp, components: Sequence[Component]) -> ASGIApp:
    layers: list[tuple[Middleware, Component]] = []
    for component in components:
        if isinstance(component, HasMiddleware):
            with _asking(component, "middleware()"):
                layers += [(layer, component) for layer in component.middleware()]
    for layer, component in sorted(layers, key=lambda layer: _STAGES.index(layer[0].stage), reverse=True):
        with _asking(component, f"{layer.stage} middleware"):
            app = layer.factory(app)
    return app


def _shortest(beginnings: Iterable[str]) -> tuple[str, ...]:
    """Return the beginnings that have no other one among them: each is looked for in the path of every request."""
    found: list[str] = []
    for one in sorted(beginnings):
        if not found or not one.startswith(found[-1]):
            found.append(one)
    return tuple(found)


@contextmanager
def _asking(component: Component, what: str) -> Iterator[None]:
    """Name the component whose answer is wrong."""
    try:
        yield
    except Exception as error:
        label = component.spec.label
        raise DeclarationError(f"{label}: its {what} failed: {told_by(error)}.", "Mend it.") from error


def _with_state(app: ASGIApp, state: dict[str, Any]) -> ASGIApp:
    async def with_state(scope: Scope, receive: Receive, send: Send) -> None:
        # A request may write to its state; the next one must not see it.
        scope["state"] = {**state, **scope.get("state", {})}
        await app(scope, receive, send)

    return with_state


async def _starting(scope: Scope, receive: Receive, send: Send) -> None:
    # It is no answer of the route that would have given one.
    scope[ROUTE_KEY] = UNMATCHED
    problem = Problem(
        status=503, detail="The service is starting or stopping; try again in a moment.", headers={"Retry-After": "1"}
    )
    await send_meanwhile(scope, receive, send, problem)


async def _unknown(scope: Scope, receive: Receive, send: Send) -> None:
    await send_problem(scope, receive, send, Problem(status=404, detail=f"Nothing is at {scope['path'][:200]}."))


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    problem = Problem(status=404, detail="This service has no HTTP of its own, only its management API.")
    await send_problem(scope, receive, send, problem)
