"""Answers of the management API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from starlette.responses import Response

from bedplate.monitor.replies import ProblemError, plain
from bedplate.problems import Problem

__all__ = ["Json", "head_of", "no_store", "not_found", "starting"]

no_store: Mapping[str, str] = {"Cache-Control": "no-store"}


class Json(Response):
    """JSON by orjson that no cache may keep."""

    media_type = "application/json"

    def __init__(self, content: Any, status_code: int = 200) -> None:
        super().__init__(content, status_code, headers=no_store)

    def render(self, content: Any) -> bytes:
        """Return the content as bytes; what JSON lacks becomes text, NaN becomes null."""
        return orjson.dumps(content, default=plain, option=orjson.OPT_NON_STR_KEYS)


def head_of(media_type: str) -> Response:
    """Return the answer to ``HEAD`` where making the body only to measure it would be waste; it names no length."""
    response = Response(headers={"Content-Type": media_type, **no_store})
    del response.headers["content-length"]
    return response


def not_found(what: str) -> ProblemError:
    """Return the problem for something that is not there."""
    return ProblemError(Problem(status=404, detail=what))


def starting() -> ProblemError:
    """Return the problem for what cannot be told before the service has started."""
    detail = "The service is still starting; health and metrics can be read meanwhile."
    return ProblemError(Problem(status=503, detail=detail, headers={"Retry-After": "1"}))
