"""Ledger over HTTP."""

from __future__ import annotations

from typing import Any

from fastapi import Depends, FastAPI, Request
from starlette.responses import Response

from bedplate.database import DatabaseUnavailableError, OutcomeUnknownError
from bedplate.problems import BedplateError, Problem
from bedplate.service.api_docs import api_docs
from bedplate.telemetry.http import problem_response
from ledger import __version__
from ledger.api import files, journal, organizations, posting, reports
from ledger.api.bodies import Bounded
from ledger.api.parts import Parts, Refused, text_only
from ledger.entries import BadEntry
from ledger.reading import BadFile
from ledger.records.paging import BadCursor
from ledger.records.posting import UnknownAccount

__all__ = ["create_app"]


def create_app(parts: Parts) -> FastAPI:
    """Return the application; its components need not have started."""
    app = FastAPI(
        title="Ledger",
        version=__version__,
        summary="Accounting for a million organisations.",
        description="Amounts are decimal text, days are dates, moments in UTC. Faults are answered as RFC 9457 "
        "problems that say what to do. Each request has the token of its organisation: `Authorization: Bearer lgr_…`.",
        docs_url=None,
        redoc_url=None,
    )
    api_docs(app)
    app.add_middleware(Bounded)
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(BadEntry, _bad_entry)
    for kind in (BadFile, BadCursor, UnknownAccount):
        app.add_exception_handler(kind, _wrong)
    app.add_exception_handler(DatabaseUnavailableError, _away)
    app.add_exception_handler(OutcomeUnknownError, _unknown)
    for module in (organizations, posting, journal, files, reports):
        app.include_router(module.routes(parts), prefix="/api/v1", dependencies=[Depends(text_only)])

    @app.get("/")
    async def describe(request: Request) -> dict[str, Any]:
        """Say what is here."""
        root = request.scope.get("root_path", "")
        return {
            "service": "ledger",
            "version": __version__,
            "links": {name: f"{root}{path}" for name, path in _LINKS.items()},
        }

    @app.get("/health")
    async def health() -> dict[str, Any]:
        """Say how the service is, in short; operators ask ``/healthz``."""
        return {"status": "healthy", "service": "ledger", "version": __version__}

    @app.get("/rehearsal")
    async def rehearsal() -> Response:
        """Say what came of the latest rehearsal of posting and reading back."""
        told = await parts.rehearsal.latest()
        return Response(told, media_type="application/json", headers={"Cache-Control": "no-store"})

    return app


_LINKS = {
    "docs": "/docs", "organizations": "/api/v1/organizations", "accounts": "/api/v1/accounts",
    "revenue": "/api/v1/revenue", "expenses": "/api/v1/expenses", "batch": "/api/v1/batch",
    "journal": "/api/v1/journal", "balances": "/api/v1/balances", "reports": "/api/v1/reports/monthly",
    "imports": "/api/v1/imports", "exports": "/api/v1/exports/revenue.csv", "health": "/health", "metrics": "/metrics",
    "monitoring": "/monitoring",
}  # fmt: skip


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return problem_response(error.problem)


async def _bad_entry(request: Request, error: Exception) -> Response:
    assert isinstance(error, BadEntry)
    errors = [{"in": "body", "pointer": f"#/{error.field}", "detail": str(error)}]
    return problem_response(Problem(status=422, detail=str(error), extra={"errors": errors}))


async def _wrong(request: Request, error: Exception) -> Response:
    assert isinstance(error, BedplateError)
    return problem_response(Problem(status=422, detail=str(error)))


async def _away(request: Request, error: Exception) -> Response:
    detail = "The books cannot be reached now. Nothing has been posted; try again in a moment."
    return problem_response(Problem(status=503, detail=detail, headers={"Retry-After": "2"}))


async def _unknown(request: Request, error: Exception) -> Response:
    detail = (
        "The books went away while it was being posted: all of it is there, or nothing. With a reference, or an "
        "Idempotency-Key, send it again: it is posted once. Else look into the journal first."
    )
    return problem_response(Problem(status=503, detail=detail, headers={"Retry-After": "2"}))
