"""Route templates: which of the application's routes answered, in words that no request can change.

Routers leave in the scope what they matched, so nothing is matched again and the cost does not grow with the number
of routes. Most requests are told by the route object. Three shapes need the tree of routes, which is indexed once:

- FastAPI leaves no route for plain Starlette routes and mounts, only the endpoint;
- a mounted application leaves its own route without the mount's path;
- a mount without routes of its own (static files) leaves nothing but its application.

An included FastAPI router leaves the route without the include's prefix; the effective context has the whole path.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from fastapi.routing import iter_route_contexts
from starlette.routing import Host, Mount
from starlette.types import Scope

from bedplate.telemetry.http.metrics import UNMATCHED

__all__ = ["ROUTE_KEY", "Templates"]

#: Where an application without a router may write its template into the scope.
ROUTE_KEY = "bedplate.route"

#: Routes remembered by identity; beyond it (routes made at run time) the memory starts anew.
_REMEMBERED = 10_000

_PARAMETER = re.compile(r"{([a-zA-Z_]\w*)(:\w+)?}")


class _Place(NamedTuple):
    """A leaf in the tree of routes: its whole template, and what the paths that lead there look like."""

    template: str
    pattern: re.Pattern[str]


class Templates:
    """Finds the template of the route that answered a request.

    Templates are relative to the application's root: a service has the same ones alone and mounted.
    """

    __slots__ = ("_all", "_known", "_places", "_router", "_size", "application")

    def __init__(self) -> None:
        #: Whose routes are looked through for requests that were answered before they were routed.
        self.application: Any = None
        self._all: tuple[int, list[_Place]] = (-1, [])
        # Objects are kept beside what is known of them: an id is unique only while its object lives.
        self._known: dict[int, tuple[Any, str]] = {}
        self._places: dict[int, tuple[Any, list[_Place]]] = {}
        self._router: Any = None
        self._size = 0

    def of(self, scope: Scope) -> str:
        """Return the template for a scope that has been routed; ``_unmatched`` when no route took it."""
        route = scope.get("route")
        if route is not None and "app_root_path" not in scope:
            fastapi = scope.get("fastapi")
            if fastapi:
                effective = fastapi.get("effective_route_context")
                if effective is not None and effective.original_route is route:
                    route = effective
            return self.of_route(route)
        endpoint = scope.get("endpoint")
        if endpoint is None:
            return str(scope.get(ROUTE_KEY, UNMATCHED))
        return self._look_up(scope, endpoint)

    def of_route(self, route: Any) -> str:
        """Return the template of a route, or of FastAPI's context of one."""
        known = self._known.get(id(route))
        return known[1] if known is not None else self._learn(route)

    def before_routing(self, scope: Scope) -> str:
        """Return the template of the route that would have answered, had nobody answered before; by its path alone."""
        if (path := str(scope["path"])) and (root := scope.get("root_path")):
            path = path.removeprefix(root)
        routes = list(_routes_of(self.application))
        if self._all[0] != len(routes):
            # Once: in an outage every request may be refused.
            self._all = len(routes), [_Place(_template(whole), _pattern(whole)) for whole, _ in _walk(routes, "")]
        return next((place.template for place in self._all[1] if place.pattern.match(path)), UNMATCHED)

    def _learn(self, route: Any) -> str:
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        path = getattr(route, "path_format", None)
        template = UNMATCHED if path is None else str(path)
        self._known[id(route)] = (route, template)
        return template

    def _look_up(self, scope: Scope, endpoint: Any) -> str:
        router = scope.get("router")
        routes = getattr(router, "routes", ())
        if router is not self._router or len(routes) != self._size:
            self._router, self._size = router, len(routes)
            self._index(routes)
        known = self._places.get(id(endpoint))
        if known is None:
            return UNMATCHED
        places = known[1]
        if len(places) == 1:
            return places[0].template
        path = _path(scope)
        return next((place.template for place in places if place.pattern.match(path)), UNMATCHED)

    def _index(self, routes: Iterable[Any]) -> None:
        self._places.clear()
        for path, endpoint in _walk(routes, ""):
            _, places = self._places.setdefault(id(endpoint), (endpoint, []))
            places.append(_Place(_template(path), _pattern(path)))


def _walk(routes: Iterable[Any], prefix: str) -> Iterator[tuple[str, Any]]:
    """Yield the whole path and the endpoint of every leaf; a mount is a leaf of its own, after what is in it."""
    for context in iter_route_contexts(list(routes)):
        # For routes below an include, FastAPI keeps copies with the whole path.
        route: Any = context._effective_route
        if isinstance(route, Host):
            yield from _walk(_routes_of(route.app), prefix)
        elif isinstance(route, Mount):
            yield from _walk(route.routes or _routes_of(route.app), prefix + route.path)
            yield f"{prefix}{route.path}/{{path:path}}", route.app
        elif getattr(route, "path", None) is not None:
            yield prefix + route.path, route.endpoint


def _routes_of(app: Any) -> Iterable[Any]:
    """Return the routes of an application that may be wrapped in middleware."""
    seen: set[int] = set()
    while app is not None and id(app) not in seen:
        routes = getattr(app, "routes", None)
        if routes is not None:
            return list(routes)
        seen.add(id(app))
        app = getattr(app, "app", None)
    return ()


def _template(path: str) -> str:
    return _PARAMETER.sub(r"{\1}", path)


def _pattern(path: str) -> re.Pattern[str]:
    parts: list[str] = []
    end = 0
    for match in _PARAMETER.finditer(path):
        parts += re.escape(path[end : match.start()]), r"[\s\S]*" if match[2] == ":path" else "[^/]+"
        end = match.end()
    return re.compile("".join(parts) + re.escape(path[end:]) + r"\Z")


def _path(scope: Scope) -> str:
    """Return the path as the application's outermost router saw it."""
    root: str = scope.get("app_root_path", scope.get("root_path", ""))
    return str(scope["path"]).removeprefix(root)
