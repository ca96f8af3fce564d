"""Trades: entering, finding, mending, deleting."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Query
from sqlalchemy.exc import IntegrityError
from starlette.responses import Response

from tradesense.api.parts import Parts, Refused, asked_of
from tradesense.api.schemas import Moment, Page, TradeIn, TradeOut, TradePatch
from tradesense.records import trades
from tradesense.records.users import User
from tradesense.trades import check

__all__ = ["routes"]

_NO_TRADE = "You have no such trade."


def routes(parts: Parts) -> APIRouter:
    """Return the endpoints of trades."""
    router = APIRouter(tags=["trades"])
    records = parts.records

    @router.post("/trades", status_code=201)
    async def enter(asked: TradeIn, user: User = Depends(parts.user)) -> TradeOut:
        """Enter a trade. With an ``Idempotency-Key`` it is entered once however often it is sent."""
        trade = check(asked.trade())
        try:
            async with records.writing() as connection:
                (id,) = await trades.add(connection, trades.rows_of(user.id, [trade], records.now()))
        except IntegrityError:
            raise Refused(409, f"There is a trade with the broker's id {trade.broker_id} already.") from None
        records.recorded("entry", 1)
        await records.changed(user.id)
        return TradeOut.of(trade._replace(id=id))

    @router.get("/trades")
    async def find(
        cursor: str = "",
        limit: int = Query(100, ge=1, le=500),
        symbol: str = "",
        tag: str = "",
        since: Moment | None = None,
        until: Moment | None = None,
        user: User = Depends(parts.user),
    ) -> Page:
        """List trades, the latest first; ``next`` is the ``cursor`` of the page after."""
        async with records.reading() as connection:
            found = await trades.page(
                connection, user.id, cursor=cursor, limit=limit, symbol=symbol.upper(), tag=tag.lower(),
                since=since, until=until,
            )  # fmt: skip
        return Page(items=[TradeOut.of(one) for one in found.items], next=found.cursor or None)

    @router.get("/trades/{id}")
    async def show(id: str, user: User = Depends(parts.user)) -> TradeOut:
        """Show a trade."""
        async with records.reading() as connection:
            trade = await trades.by_id(connection, user.id, id)
        if trade is None:
            raise Refused(404, _NO_TRADE)
        return TradeOut.of(trade)

    @router.patch("/trades/{id}")
    async def mend(id: str, asked: TradePatch, user: User = Depends(parts.user)) -> TradeOut:
        """Change a trade: its tags and its note, or what was entered wrongly."""
        changes = {name: getattr(asked, name) for name in asked.model_fields_set if getattr(asked, name) is not None}
        if "tags" in changes:
            changes["tags"] = tuple(dict.fromkeys(changes["tags"]))
        if "symbol" in changes:
            changes["symbol"] = changes["symbol"].upper()
        async with records.writing() as connection:
            trade = await trades.by_id(connection, user.id, id)
            if trade is None:
                raise Refused(404, _NO_TRADE)
            trade = check(trade._replace(**changes))
            await trades.change(connection, user.id, trade)
        await records.changed(user.id)
        return TradeOut.of(trade)

    @router.delete("/trades/{id}", status_code=204)
    async def delete(id: str, user: User = Depends(parts.user)) -> None:
        """Delete a trade."""
        async with records.writing() as connection:
            if not await trades.delete(connection, user.id, id):
                raise Refused(404, _NO_TRADE)
        await records.changed(user.id)

    @router.delete("/trades", status_code=202)
    async def delete_all(user: User = Depends(parts.user)) -> Response:
        """Ask to delete all trades; done once what ``Location`` names is confirmed."""
        return asked_of(parts, await parts.deletions.ask(user, "trades"))

    return router
