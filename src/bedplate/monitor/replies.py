"""Answers as plain ASGI: no request object, no response object, usable before the service has started."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from bedplate.problems import Problem

__all__ = ["ProblemError", "header", "invalid", "plain", "reply", "reply_problem"]

NO_STORE = (b"cache-control", b"no-store")
JSON = b"application/json"


def header(scope: Scope, name: bytes) -> str | None:
    """Return the value of a request header (``name`` in lower case), or None; several are joined by a comma."""
    values = [value for key, value in scope.get("headers", ()) if key == name]
    return b", ".join(values).decode("latin-1") if values else None


def plain(value: Any) -> Any:
    """Return a JSON form of what orjson does not know; for its ``default``."""
    dump = getattr(value, "model_dump", None)
    if callable(dump):
        return dump(mode="json")
    if isinstance(value, set | frozenset):
        return sorted(value, key=str)
    return str(value)


async def reply(
    scope: Scope,
    send: Send,
    body: bytes,
    *,
    status: int = 200,
    media_type: bytes = JSON,
    headers: tuple[tuple[bytes, bytes], ...] = (),
) -> None:
    """Send one whole response; ``HEAD`` gets the same headers and no body."""
    if scope["type"] == "websocket":
        await _deny(scope, send, body, status, media_type, headers)
        return
    length = (b"content-length", str(len(body)).encode())
    start = {"status": status, "headers": [(b"content-type", media_type), length, NO_STORE, *headers]}
    await send({"type": "http.response.start", **start})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


async def _deny(
    scope: Scope, send: Send, body: bytes, status: int, media_type: bytes, headers: tuple[tuple[bytes, bytes], ...]
) -> None:
    """Refuse a WebSocket before it opens: with a response where the server can, else by closing it."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1008, "reason": ""})
        return
    all_headers = [(b"content-type", media_type), NO_STORE, *headers]
    await send({"type": "websocket.http.response.start", "status": status, "headers": all_headers})
    await send({"type": "websocket.http.response.body", "body": body})


class ProblemError(HTTPException):
    """A problem to be raised from wherever it is found; elsewhere than in our routers it is an HTTP exception."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.status, problem.detail or problem.title, dict(problem.headers))
        self.problem = problem


def invalid(errors: Iterable[Mapping[str, Any]], status: int = 422) -> Problem:
    """Return the problem of pydantic's errors: where and what, never the input, which may be a secret."""
    found = [{"at": ".".join(map(str, error["loc"])), "message": str(error["msg"])} for error in errors]
    detail = "; ".join(f"{one['at']}: {one['message']}" if one["at"] else one["message"] for one in found)
    return Problem(status=status, detail=detail, extra={"errors": found})


async def reply_problem(scope: Scope, receive: Receive, send: Send, problem: Problem) -> None:
    """Send RFC 9457 problem details."""
    headers = tuple(
        pair for pair in problem.raw_headers() if pair[0] not in (b"content-type", b"content-length", b"cache-control")
    )
    await reply(
        scope, send, problem.body(), status=problem.status, media_type=b"application/problem+json", headers=headers
    )
