"""``http.md``: what a service answers over HTTP beside its application, from the routes themselves."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from bedplate.component import HasActions, HasRoutes
from bedplate.monitor.auth import GuardedRoute, secure
from bedplate.monitor.health.board import HealthBoard
from bedplate.monitor.management.requests import Query
from bedplate.service import Service
from tools.reference.subjects import components, services
from tools.reference.text import GENERATED, code, one_line, table

__all__ = ["page"]

_INTRODUCTION = """# HTTP

What a service answers beside its application. A role includes those before it: `metrics`, `viewer`, `operator`,
`admin`. How roles are given is told in [protect the management API](../how-to/protect-the-management-api.md). Errors
are problem details (RFC 9457). `/monitoring` is the default of the setting `service.management_prefix`.
"""


def page() -> str:
    """Return the page."""
    parts = [GENERATED, _INTRODUCTION]
    for title, service in services().items():
        parts.append(f"## {title}\n")
        # Components of one kind may bring the same routes, and press the same path: one of them answers for all.
        operated = sorted({tuple(row) for row in (*_routes(service), *_pressed(service))})
        rows = [*_application(service), *_probes(service), *operated]
        parts.append(table(("Path", "Method", "Role", "Query", "What it does"), rows))
        actions = list(_actions(service))
        if actions:
            prefix = service.builtins.settings.management_prefix
            parts.append(
                f"### Actions\n\n`POST {prefix}/components/{{kind}}/{{name}}/actions/{{action}}` with a JSON body.\n"
            )
            parts.append(table(("Component", "Action", "Role", "Body", "What it does"), actions))
    return "\n".join(parts)


def _application(service: Service) -> Iterator[Sequence[str]]:
    """Yield what the service's own application answers, as its OpenAPI document has it."""
    if not isinstance(service.app, FastAPI):
        return
    for path, methods in service.app.openapi()["paths"].items():
        for method, operation in methods.items():
            query = ", ".join(code(each["name"]) for each in operation.get("parameters", ()) if each["in"] == "query")
            said = one_line(operation.get("description") or operation.get("summary"))
            yield code(path), method.upper(), "", query, said


def _probes(service: Service) -> Iterator[Sequence[str]]:
    if not any(True for component in components(service) if component.spec.kind == "health"):
        return
    for path, answer in (("/livez", HealthBoard.livez), ("/readyz", HealthBoard.readyz)):
        yield code(path), "GET", "", "", one_line(answer.__doc__)


def _routes(service: Service) -> Iterator[Sequence[str]]:
    builtins = service.builtins
    for component in components(service):
        for routes in component.routes() if isinstance(component, HasRoutes) else ():
            prefix = builtins.settings.management_prefix if routes.management else ""
            for route in secure(routes, builtins.auth, prefix):
                assert isinstance(route, GuardedRoute)
                yield from _rows(route)


def _rows(route: GuardedRoute) -> Iterator[Sequence[str]]:
    inner = route.route
    endpoint = getattr(inner, "endpoint", None)
    methods = sorted((getattr(inner, "methods", None) or {"GET"}) - {"HEAD"})
    for method in methods:
        role = route.access if method == "GET" else route.unsafe
        yield code(route.path_format), method, role or "", _query(endpoint), one_line(inspect.getdoc(endpoint))


def _query(endpoint: Callable[..., Any] | None) -> str:
    """Return the query parameters: those of the models that the endpoint's code names."""
    if endpoint is None or not hasattr(endpoint, "__code__"):
        return ""
    named = (endpoint.__globals__.get(name) for name in endpoint.__code__.co_names)
    models = [model for model in named if isinstance(model, type) and issubclass(model, Query)]
    return ", ".join(code(name) for model in models for name in model.model_fields)


def _actions(service: Service) -> Iterator[Sequence[str]]:
    for component in components(service):
        for action in component.actions() if isinstance(component, HasActions) else ():
            body = ", ".join(_fields(action.parameters)) if action.parameters else ""
            yield code(component.spec.label), code(action.name), action.role, body, action.summary


def _pressed(service: Service) -> Iterator[Sequence[str]]:
    """Yield the paths at which actions are pressed beside their own."""
    prefix = service.builtins.settings.management_prefix
    for component in components(service):
        for action in component.actions() if isinstance(component, HasActions) else ():
            if action.path:
                yield code(f"{prefix}{action.path}"), "POST", action.role, "", action.summary


def _fields(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield code(name) if field.is_required() else f"{code(name)} (default {json.dumps(field.default)})"
