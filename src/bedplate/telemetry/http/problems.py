"""Every error of an application as an RFC 9457 problem."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.encoders import jsonable_encoder
from fastapi.exception_handlers import http_exception_handler, request_validation_exception_handler
from fastapi.exceptions import RequestValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount

from bedplate.problems import PROBLEM_MEDIA_TYPE, Problem
from bedplate.telemetry.context import current

__all__ = ["install_problem_handlers", "problem_response"]

_DEFAULTS = {HTTPException: http_exception_handler, RequestValidationError: request_validation_exception_handler}
_NO_BODY = frozenset({204, 205, 304})
#: Errors whose text a validator of the application wrote, perhaps around the value.
_OWN_WORDS = frozenset({"assertion_error", "value_error"})


def install_problem_handlers(app: Any) -> None:
    """Make a FastAPI or Starlette application answer errors as problems; those mounted in it too.

    Handlers that the application has registered itself are left alone. Anything that is neither is left alone, too:
    its unhandled exceptions become problems in the middleware.
    """
    seen: set[int] = set()
    queue = [app]
    while queue:
        candidate = queue.pop()
        if not isinstance(candidate, Starlette) or id(candidate) in seen:
            continue
        seen.add(id(candidate))
        _install(candidate)
        queue.extend(route.app for route in candidate.routes if isinstance(route, Mount))


def _install(app: Starlette) -> None:
    handlers: dict[Any, Any] = app.exception_handlers
    ours: dict[type[Exception], Any] = {HTTPException: _http_exception, Exception: _unhandled}
    if isinstance(app, FastAPI):
        ours[RequestValidationError] = _invalid_request
    changed = False
    for kind, handler in ours.items():
        taken = handlers.get(kind)
        if kind is Exception and 500 in handlers:
            continue
        if taken is None or taken is _DEFAULTS.get(kind):
            handlers[kind] = handler
            changed = True
    if changed:
        # Built at the first request; if that was before us, it has to be built again.
        app.middleware_stack = None


def problem_response(problem: Problem) -> Response:
    """Return a problem as a Starlette response, with the id of the request at hand."""
    context = current.get()
    if context is not None:
        extra = {**problem.extra, "request_id": context.request_id}
        problem = Problem(
            status=problem.status,
            title=problem.title,
            detail=problem.detail,
            type=problem.type,
            instance=problem.instance,
            headers=problem.headers,
            extra=extra,
        )
    return Response(problem.body(), problem.status, dict(problem.headers), PROBLEM_MEDIA_TYPE)


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers: Mapping[str, str] = error.headers or {}
    if error.status_code < 400 or error.status_code in _NO_BODY:
        return Response(status_code=error.status_code, headers=headers)
    detail: Any = error.detail
    problem = Problem(status=error.status_code, headers=headers)
    if isinstance(detail, str):
        # Starlette's default detail is the status's phrase, which the title says already.
        detail = "" if detail == problem.document()["title"] else detail
        return problem_response(Problem(status=error.status_code, detail=detail, headers=headers))
    content = jsonable_encoder(detail)
    extra = content if isinstance(content, dict) else {"errors": content}
    text = extra.get("detail", "")
    return problem_response(
        Problem(status=error.status_code, detail=text if isinstance(text, str) else "", headers=headers, extra=extra)
    )


async def _invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = [_invalid(item) for item in error.errors()]
    detail = f"{len(errors)} {'value is' if len(errors) == 1 else 'values are'} not valid; see errors."
    return problem_response(Problem(status=422, detail=detail, extra={"errors": errors}))


async def _unhandled(request: Request, error: Exception) -> Response:
    detail = "The request failed on our side. Quote its request_id when you report it."
    return problem_response(Problem(status=500, detail=detail))


def _invalid(item: Mapping[str, Any]) -> dict[str, str]:
    """Return one validation error without the value that caused it, which may be a secret.

    ``pointer`` is a JSON pointer (RFC 6901) into the body, ``parameter`` the name of a parameter elsewhere.
    """
    place, *path = item.get("loc") or ("body",)
    kind = str(item.get("type", ""))
    where = {"in": str(place)}
    if place == "body":
        where["pointer"] = "#" + "".join(f"/{_escaped(part)}" for part in path)
    else:
        where["parameter"] = ".".join(str(part) for part in path)
    return {**where, "detail": _said(item, kind), "type": kind}


def _said(item: Mapping[str, Any], kind: str) -> str:
    message = str(item.get("msg", ""))
    if kind in _OWN_WORDS:
        for value in _texts(item.get("input")):
            message = message.replace(value, "…")
    return message


def _texts(value: Any) -> Sequence[str]:
    """Return the forms in which a validator may have written a value into its message."""
    return [text for text in (repr(value), str(value)) if len(text) > 2]


def _escaped(part: Any) -> str:
    return str(part).replace("~", "~0").replace("/", "~1")
