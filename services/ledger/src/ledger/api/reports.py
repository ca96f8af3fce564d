"""Balances, summaries and reports: JSON that is made once and cached as text."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query
from starlette.responses import Response

from ledger.api.parts import Parts, Refused
from ledger.components import Who

__all__ = ["routes"]


def routes(parts: Parts) -> APIRouter:
    """Return the endpoints of reports."""
    router = APIRouter(tags=["reports"])
    reports = parts.reports

    @router.get("/balances", responses=_told("The balance of every account, in the sense in which its kind grows."))
    async def balances(who: Who = Depends(parts.reader)) -> Response:
        """Tell the balance of every account."""
        return _json(await reports.balances(who.organization))

    @router.get("/trial-balance", responses=_told("All accounts on their side; both sides are equal."))
    async def trial_balance(who: Who = Depends(parts.reader)) -> Response:
        """Tell that debits and credits are equal."""
        return _json(await reports.trial_balance(who.organization))

    @router.get("/summary", responses=_told("Revenue, expenses and profit."))
    async def summary(
        since: date | None = Query(None, description="The first day; 89 days before the last by default."),
        until: date | None = Query(None, description="The last day; today by default."),
        who: Who = Depends(parts.reader),
    ) -> Response:
        """Tell revenue, expenses and profit of some days: the latest 90 by default."""
        until = until or parts.today()
        since = since or _days_before(until, 89)
        if since > until:
            raise Refused(422, "The first day comes after the last.")
        return _json(await reports.summary(who.organization, since, until))

    @router.get("/reports/monthly/{month}", responses=_told("A month, and balances at its end."))
    async def monthly(
        month: Annotated[str, Path(pattern=r"^\d{4}-(0[1-9]|1[0-2])$", examples=["2025-11"])],
        who: Who = Depends(parts.reader),
    ) -> Response:
        """Tell what a month brought."""
        return _json(await reports.monthly(who.organization, _month(int(month[:4]), int(month[5:]))))

    @router.get("/reports/monthly", responses=_told("The present month, and balances now."))
    async def this_month(who: Who = Depends(parts.reader)) -> Response:
        """Tell what the present month has brought so far."""
        today = parts.today()
        return _json(await reports.monthly(who.organization, _month(today.year, today.month)))

    @router.get("/reports/yearly/{year}", responses=_told("A year, month by month."))
    async def yearly(
        year: Annotated[int, Path(ge=1970, le=2199, examples=[2025])], who: Who = Depends(parts.reader)
    ) -> Response:
        """Tell what a year brought, month by month."""
        return _json(await reports.yearly(who.organization, year))

    return router


def _json(text: str) -> Response:
    return Response(text, media_type="application/json")


def _month(year: int, month: int) -> int:
    if not 1970 <= year <= 2199:
        raise Refused(422, "The month is not one of the years 1970 to 2199.")
    return year * 100 + month


def _days_before(day: date, days: int) -> date:
    try:
        return day - timedelta(days=days)
    except OverflowError:
        return date.min


def _told(description: str) -> dict[int | str, dict[str, Any]]:
    return {200: {"description": description, "content": {"application/json": {"schema": {"type": "object"}}}}}
