"""The stacks that are compared: the same routes with nothing, with what is usual, and with Bedplate around them."""

from __future__ import annotations

import importlib

from starlette.types import ASGIApp

__all__ = ["STACKS", "build"]

#: Every stack with the words for people. In turns, neighbours share the machine's mood: what is close stands close.
STACKS = {
    "bare": "bare FastAPI",
    "ours": "Bedplate",
    "modern": "the usual modern stack",
    "usual": "the usual stack",
}


def build(stack: str, routes: int) -> ASGIApp:
    """Return an application with so many routes in one of the stacks; only its libraries are imported."""
    app: ASGIApp = importlib.import_module(f"benchmarks.stacks.{stack}").build(routes)
    return app
