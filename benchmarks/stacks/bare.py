"""FastAPI with nothing around it."""

from __future__ import annotations

from fastapi import FastAPI

from benchmarks.stacks.app import add_routes

__all__ = ["build"]


def build(routes: int) -> FastAPI:
    """Return the application."""
    app = FastAPI()
    add_routes(app, routes)
    return app
