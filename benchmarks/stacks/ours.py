"""Bedplate: a service in production with its defaults, and a rate limit in the process."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.types import ASGIApp

from bedplate.service.service import Service
from bedplate.settings import Settings
from bedplate.state.limits import RateLimit
from benchmarks.stacks.app import SERVICE, TOKEN, add_routes

__all__ = ["LIMIT", "build", "settings"]

#: As for the peers: counted, and never reached.
LIMIT = "1000000000/minute"


def build(routes: int) -> ASGIApp:
    """Return the service."""
    app = FastAPI()
    add_routes(app, routes)
    return Service(SERVICE, app, [RateLimit(limits=LIMIT)], settings=settings())


def settings() -> Settings:
    """The settings of a service in production that logs to the standard output; all else as it comes."""
    return Settings(environment="production", logs={"stream": "stdout"}, auth={"tokens": f"bench:metrics:{TOKEN}"})
