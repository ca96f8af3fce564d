"""Analyses, the portfolio, prices and rates."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from tradesense.api.parts import Parts, body_of
from tradesense.api.reports import EquityOut, PortfolioOut, ReportOut
from tradesense.api.schemas import Currency, Uploaded, Word
from tradesense.importing import decode
from tradesense.prices import read_prices
from tradesense.rates import read_rates
from tradesense.records import market
from tradesense.records.users import User

__all__ = ["routes"]


def _csv(example: str) -> dict[str, Any]:
    content = {"text/csv": {"schema": {"type": "string"}, "example": example}}
    return {"requestBody": {"required": True, "content": content}}


def _json(text: str) -> Response:
    return Response(text, media_type="application/json", headers={"Cache-Control": "private, no-cache"})


def routes(parts: Parts) -> APIRouter:
    """Return the endpoints of numbers."""
    router = APIRouter()
    analytics, records = parts.analytics, parts.records

    @router.get("/analytics", tags=["analytics"], responses={200: {"model": ReportOut}})
    async def report(user: User = Depends(parts.user)) -> Response:
        """Say how well it goes: profit, outcomes, the three returns, risk; by day, symbol and tag."""
        return _json(await analytics.report(user, parts.today(user)))

    @router.get("/analytics/equity", tags=["analytics"], responses={200: {"model": EquityOut}})
    async def equity(user: User = Depends(parts.user)) -> Response:
        """Return day by day what the account was worth, what had been put in, and what one unit has grown to."""
        return _json(await analytics.equity(user, parts.today(user)))

    @router.get("/portfolio", tags=["analytics"], responses={200: {"model": PortfolioOut}})
    async def portfolio(user: User = Depends(parts.user)) -> Response:
        """Return what is held, valued by quotes, closing prices, or the last trade. `/live` pushes it."""
        return _json(await parts.live.portfolio(user))

    @router.put(
        "/prices", tags=["market"], openapi_extra=_csv("date,symbol,close,currency\n2025-01-06,ACME,185.5,USD\n")
    )
    async def put_prices(
        request: Request,
        symbol: Word = Query("", description="Whose prices they are, where no column says so."),
        currency: Currency = Query("USD", description="In which currency, where no column says so."),
        user: User = Depends(parts.user),
    ) -> Uploaded:
        """Upload closing prices as CSV; those of a day that has one already replace it."""
        body = await body_of(request, parts.body_bytes)
        rows = await parts.imports.pool.run(
            lambda: market.price_rows(user.id, read_prices(decode(body), symbol=symbol.upper(), currency=currency))
        )
        async with records.writing() as connection:
            kept = await market.put_prices(connection, rows)
        await records.changed(user.id)
        return Uploaded(kept=kept)

    @router.get("/prices", tags=["market"])
    async def list_prices(user: User = Depends(parts.user)) -> list[dict[str, Any]]:
        """List the symbols that have prices, from when to when."""
        async with records.reading() as connection:
            return await market.symbols(connection, user.id)

    @router.get("/prices/{symbol}", tags=["market"])
    async def show_prices(symbol: str, user: User = Depends(parts.user)) -> list[dict[str, Any]]:
        """Return the latest thousand closing prices of a symbol."""
        async with records.reading() as connection:
            return await market.closes(connection, user.id, symbol.upper())

    @router.put("/rates", tags=["market"], openapi_extra=_csv("date,currency,rate,base\n2025-01-06,EUR,1.04,USD\n"))
    async def put_rates(
        request: Request,
        base: Currency = Query("EUR", description="What rates are in, where no column says so."),
        user: User = Depends(parts.user),
    ) -> Uploaded:
        """Upload exchange rates as CSV: date, currency, rate and perhaps base; or the ECB's table of all."""
        body = await body_of(request, parts.body_bytes)
        rows = await parts.imports.pool.run(lambda: market.rate_rows(user.id, read_rates(decode(body), base)))
        async with records.writing() as connection:
            kept = await market.put_rates(connection, rows)
        await records.changed(user.id)
        return Uploaded(kept=kept)

    return router
