"""Routes with a gate, and a router whose every answer is a problem or what a route says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi.exceptions import RequestValidationError
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from fastapi.routing import iter_route_contexts
from starlette.datastructures import URLPath
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match, NoMatchFound, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bedplate.declarations import Routes
from bedplate.monitor.auth.authenticator import Authenticator
from bedplate.monitor.auth.origin import is_safe
from bedplate.monitor.auth.tokens import Grant, allows
from bedplate.monitor.replies import ProblemError, invalid, reply_problem
from bedplate.problems import Problem

__all__ = ["GuardedRoute", "ProblemRouter", "secure"]


def secure(routes: Routes, auth: Authenticator, prefix: str = "") -> list[BaseRoute]:
    """Return the routes under ``prefix`` and their own, behind the access that they declare.

    Reading needs ``routes.access``, anything else ``operator`` at least; ``access`` None leaves all of them open.
    The result can stand in any Starlette router: what does not match is left to the routes after it.
    """
    whole = prefix.rstrip("/") + routes.prefix
    return [
        # A route that brings a gate of its own keeps it.
        route.under(whole)
        if isinstance(route, GuardedRoute)
        else GuardedRoute(route, auth, access=routes.access, prefix=whole)
        for route in routes.routes
    ]


class GuardedRoute(BaseRoute):
    """A route behind a gate.

    :param route: a Starlette or FastAPI route of any kind.
    :param access: the grant that reading needs; None for everybody.
    :param unsafe: the grant that anything else needs; by default ``operator`` at least, unless everybody may read.
    :param prefix: a path before the route's own, ``/cache``.
    """

    def __init__(
        self,
        route: BaseRoute,
        auth: Authenticator,
        *,
        access: Grant | None = "viewer",
        unsafe: Grant | None = None,
        prefix: str = "",
    ) -> None:
        self.route = route
        self.access: Grant | None = access
        self.unsafe: Grant | None = unsafe
        if unsafe is None and access is not None:
            self.unsafe = access if allows(access, "operator") else "operator"
        self.prefix = prefix.rstrip("/")
        self._auth = auth
        # FastAPI's routes close files when the application's outermost layer is left, and here that is us.
        self._app: ASGIApp = route.handle if type(route) is Route else AsyncExitStackMiddleware(route.handle)
        self._templates: dict[str, _Template] = {}

    def under(self, prefix: str) -> GuardedRoute:
        """Return the same route with another path before its prefix."""
        whole = prefix.rstrip("/") + self.prefix
        return GuardedRoute(self.route, self._auth, access=self.access, unsafe=self.unsafe, prefix=whole)

    @property
    def path(self) -> str:
        """The path template, prefix included."""
        return self.prefix + str(getattr(self.route, "path", ""))

    @property
    def path_format(self) -> str:
        """The path template without convertors; what metrics and logs call this route."""
        return self.prefix + str(getattr(self.route, "path_format", "") or getattr(self.route, "path", ""))

    def allowed(self, scope: Scope) -> set[str]:
        """Return the methods that the route would take for this path, after :meth:`matches` said PARTIAL."""
        # An included FastAPI router is one route with many inside.
        inside = (
            context for context in iter_route_contexts([self.route]) if context.matches(scope)[0] is Match.PARTIAL
        )
        return {method for context in inside for method in context.methods or ()}

    def needs(self, scope: Scope) -> Grant | None:
        """Return the grant that this request needs."""
        return self.access if is_safe(scope) or scope["type"] == "websocket" else self.unsafe

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match below the prefix; the prefix itself counts as ``/``."""
        root = str(scope.get("root_path", ""))
        path = str(scope["path"])
        below = path[len(root) :] if path.startswith(root) and path[len(root) :][:1] in ("", "/") else path
        if not below.startswith(self.prefix) or below[len(self.prefix) :][:1] not in ("", "/"):
            return Match.NONE, {}
        child: dict[str, Any] = {"root_path": root + self.prefix}
        if below == self.prefix:
            child["path"] = f"{root}{self.prefix}/"
        match, matched = self.route.matches({**scope, **child})
        return match, {**child, **matched}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the gate, then let the route answer; its HTTP exceptions become problems."""
        needed = self.needs(scope)
        if needed is not None:
            outcome = self._auth.authorize(scope, needed)
            if isinstance(outcome, Problem):
                await reply_problem(scope, receive, send, outcome)
                return
        try:
            await problems_of(self._app, scope, receive, send)
        finally:
            scope["route"] = self._answered(scope)

    def _answered(self, scope: Scope) -> GuardedRoute | _Template:
        """Return the route for metrics and logs: FastAPI leaves its own one, whose template lacks the prefixes."""
        effective = (scope.pop("fastapi", None) or {}).get("effective_route_context")
        if effective is None:
            return self
        path = f"{self.prefix}{effective.path_format}"
        return self._templates.setdefault(path, _Template(path))

    def guarded(self, app: ASGIApp) -> ASGIApp:
        """Return another application behind this route's access."""
        return app if self.access is None else self._auth.protect(app, self.access)

    def url_path_for(self, name: str, /, **path_params: Any) -> URLPath:
        """Return the path of the named route."""
        below = self.route.url_path_for(name, **path_params)
        return URLPath(path=self.prefix + str(below), protocol=below.protocol)


@dataclass(frozen=True, slots=True)
class _Template:
    """What is left of a route once it has answered: its name for metrics and logs."""

    path_format: str


class ProblemRouter:
    """Routes in order; whatever none of them answers is a problem: 405 with ``Allow``, or the default's answer.

    :param default: what answers unknown paths; 404 by default.
    """

    def __init__(self, routes: Iterable[BaseRoute], *, default: ASGIApp | None = None) -> None:
        self.routes: Sequence[BaseRoute] = tuple(routes)
        self._default = default or _not_found

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request or WebSocket."""
        partial: list[tuple[BaseRoute, Scope]] = []
        for route in self.routes:
            match, child = route.matches(scope)
            if match is Match.FULL:
                scope.update(child)
                scope["route"] = route
                await route.handle(scope, receive, send)
                return
            if match is Match.PARTIAL:
                partial.append((route, child))
        if partial:
            await self._other_method(partial, scope, receive, send)
        else:
            await self._default(scope, receive, send)

    async def _other_method(
        self, partial: list[tuple[BaseRoute, Scope]], scope: Scope, receive: Receive, send: Send
    ) -> None:
        route, child = partial[0]
        scope.update(child)
        scope["route"] = route
        allowed = {"OPTIONS"}
        for other, matched in partial:
            methods = getattr(other, "methods", None) or ()
            allowed.update(other.allowed({**scope, **matched}) if isinstance(other, GuardedRoute) else methods)
        app = _options_or_405(", ".join(sorted(allowed)))
        if isinstance(route, GuardedRoute):
            app = route.guarded(app)
        await app(scope, receive, send)

    def url_path_for(self, name: str, /, **path_params: Any) -> URLPath:
        """Return the path of the named route; :raises NoMatchFound: when there is none."""
        for route in self.routes:
            try:
                return route.url_path_for(name, **path_params)
            except NoMatchFound:
                continue
        raise NoMatchFound(name, path_params)


def _options_or_405(allow: str) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "OPTIONS":
            await send({"type": "http.response.start", "status": 204, "headers": [(b"allow", allow.encode())]})
            await send({"type": "http.response.body", "body": b""})
            return
        detail = f"{scope['method']} is not possible here; use {allow}."
        await reply_problem(scope, receive, send, Problem(status=405, detail=detail, headers={"Allow": allow}))

    return app


async def _not_found(scope: Scope, receive: Receive, send: Send) -> None:
    await reply_problem(scope, receive, send, Problem(status=404, detail=f"Nothing is at {scope['path']}."))


async def problems_of(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Run ``app``; HTTP exceptions and FastAPI's validation errors that it raises are answered as problems.

    Other exceptions pass through, for the middleware that records them. The answer to ``HEAD`` has no body.
    """
    started = False
    bodiless = scope.get("method") == "HEAD"

    async def noting(message: Message) -> None:
        nonlocal started
        started = started or message["type"] in ("http.response.start", "websocket.accept", "websocket.close")
        if bodiless and message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    try:
        await app(scope, receive, noting)
    except Exception as error:
        problem = _as_problem(error)
        if problem is None or started:
            raise
        await reply_problem(scope, receive, send, problem)


def _as_problem(error: Exception) -> Problem | None:
    if isinstance(error, ProblemError):
        return error.problem
    if isinstance(error, HTTPException):
        return Problem(status=error.status_code, detail=str(error.detail), headers=dict(error.headers or {}))
    if isinstance(error, RequestValidationError):
        return invalid(error.errors())
    return None
