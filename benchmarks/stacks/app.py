"""The application that every stack goes around: routes with one path parameter and a small JSON answer."""

from __future__ import annotations

import sys
from typing import BinaryIO

from fastapi import FastAPI

__all__ = ["ITEMS", "SERVICE", "TOKEN", "add_routes", "log_file", "path", "targets"]

SERVICE = "bench"

#: What a scraper shows to a stack that asks for it.
TOKEN = "a-token-that-is-long-enough"

#: Different paths in the requests of a round.
ITEMS = 1_000


def add_routes(app: FastAPI, routes: int) -> None:
    """Add routes. On the application itself: slowapi's default limits do not reach those of included routers."""
    for number in range(routes):
        app.get(f"/section-{number}/items/{{item_id}}")(read_item)


def path(number: int, item: int = 42) -> str:
    """A path that the route of this number answers."""
    return f"/section-{number}/items/{item}"


def targets(routes: int) -> list[str]:
    """At least :data:`ITEMS` different paths, spread evenly over the routes: paths of real services vary."""
    return [path(number, item) for item in range(max(1, ITEMS // routes)) for number in range(routes)]


async def read_item(item_id: int) -> dict[str, object]:
    """Answer with the smallest thing that is not nothing."""
    return {"id": item_id, "name": "an item", "price": "9.90", "in_stock": True}


def log_file() -> BinaryIO:
    """Where every stack writes its access log: the standard output, as in a container."""
    return sys.stdout.buffer
