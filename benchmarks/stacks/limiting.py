"""slowapi for the peers: a default limit in memory, which is counted and never reached."""

from __future__ import annotations

from fastapi import FastAPI
from slowapi import Limiter, _rate_limit_exceeded_handler
from slowapi.errors import RateLimitExceeded
from slowapi.util import get_remote_address

__all__ = ["LIMIT", "limit"]

LIMIT = 1_000_000_000


def limit(app: FastAPI) -> None:
    """Give the application a limiter; one of slowapi's middlewares applies it."""
    app.state.limiter = Limiter(key_func=get_remote_address, default_limits=[f"{LIMIT}/minute"])
    app.add_exception_handler(RateLimitExceeded, _rate_limit_exceeded_handler)  # type: ignore[arg-type]
