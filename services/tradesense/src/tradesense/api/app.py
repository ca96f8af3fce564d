"""TradeSense over HTTP."""

from __future__ import annotations

from typing import Any

from fastapi import Depends, FastAPI, Request
from starlette.responses import Response

from bedplate.database import DatabaseUnavailableError
from bedplate.problems import BedplateError, Problem
from bedplate.service.api_docs import api_docs
from bedplate.state.confirmations import confirmation_routes
from bedplate.telemetry.http import problem_response
from tradesense import __version__
from tradesense.api import accounts, imports, journal, live, numbers, trades
from tradesense.api.parts import Parts, Refused, text_only
from tradesense.components import WeakPassword
from tradesense.importing import BadFile, BadMapping
from tradesense.prices import BadPrices
from tradesense.rates import BadRates
from tradesense.records import BadCursor
from tradesense.trades import BadTrade

__all__ = ["create_app"]

#: Errors whose two sentences are the answer, and where in the request they are.
_WRONG: dict[type[BedplateError], str] = {
    WeakPassword: "#/password", BadFile: "", BadMapping: "", BadPrices: "", BadRates: "", BadCursor: "",
}  # fmt: skip


def create_app(parts: Parts) -> FastAPI:
    """Return the application; its components need not have started."""
    app = FastAPI(
        title="TradeSense",
        version=__version__,
        summary="Trade journal and portfolio analytics.",
        description="Times are in UTC; money, prices and quantities are decimal strings. Faults are answered as RFC "
        "9457 problems that say what to do. Sign in first: the cookie is the proof.",
        docs_url=None,
        redoc_url=None,
    )
    api_docs(app)
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(BadTrade, _bad_trade)
    app.add_exception_handler(DatabaseUnavailableError, _away)
    for kind in _WRONG:
        app.add_exception_handler(kind, _wrong)
    for module in (accounts, trades, imports, journal, numbers):
        app.include_router(module.routes(parts), prefix="/api/v1", dependencies=[Depends(text_only)])
    app.include_router(live.routes(parts), prefix="/api/v1")
    app.router.routes.extend(confirmation_routes(parts.deletions.confirmations, parts.user_id, "/api/v1/confirmations"))

    @app.get("/")
    async def describe(request: Request) -> dict[str, Any]:
        """Say what is here."""
        root = request.scope.get("root_path", "")
        return {
            "service": "tradesense",
            "version": __version__,
            "links": {name: f"{root}{path}" for name, path in _LINKS.items()},
        }

    @app.get("/health")
    async def health() -> dict[str, Any]:
        """Say how the service is, in short; operators ask ``/healthz``."""
        return {"status": "healthy", "service": "tradesense", "version": __version__}

    return app


_LINKS = {
    "docs": "/docs", "sign-up": "/api/v1/sign-up", "sign-in": "/api/v1/sign-in", "trades": "/api/v1/trades",
    "imports": "/api/v1/imports", "journal": "/api/v1/journal", "analytics": "/api/v1/analytics",
    "portfolio": "/api/v1/portfolio", "live": "/api/v1/live", "health": "/health", "metrics": "/metrics",
    "monitoring": "/api/v1/monitoring",
}  # fmt: skip


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return problem_response(error.problem)


async def _bad_trade(request: Request, error: Exception) -> Response:
    assert isinstance(error, BadTrade)
    return problem_response(_problem(error, f"#/{error.field}"))


async def _wrong(request: Request, error: Exception) -> Response:
    assert isinstance(error, BedplateError)
    return problem_response(_problem(error, next(where for kind, where in _WRONG.items() if isinstance(error, kind))))


async def _away(request: Request, error: Exception) -> Response:
    detail = "The records cannot be reached now. Nothing has been changed; try again in a moment."
    return problem_response(Problem(status=503, detail=detail, headers={"Retry-After": "2"}))


def _problem(error: BedplateError, pointer: str) -> Problem:
    extra = {"errors": [{"in": "body", "pointer": pointer, "detail": str(error)}]} if pointer else {}
    return Problem(status=422, detail=str(error), extra=extra)
