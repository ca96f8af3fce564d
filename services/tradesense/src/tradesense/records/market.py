"""Closing prices and exchange rates that one user uploaded."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any, Final

from sqlalchemy import Table, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tradesense.prices import Price
from tradesense.rates import Rate
from tradesense.tables import PRICES, RATES, raw

__all__ = ["closes", "price_rows", "prices", "put_prices", "put_rates", "rate_rows", "rates", "symbols"]

_PORTION: Final = 250


def price_rows(user_id: str, given: Sequence[Price]) -> list[dict[str, Any]]:
    """Return prices as rows, the last of each day; of thousands, in a thread."""
    rows = {
        (one.symbol, one.currency, one.day): {
            "user_id": user_id, "symbol": one.symbol, "currency": one.currency, "day": one.day.toordinal(),
            "close": one.close,
        }
        for one in given
    }  # fmt: skip
    return list(rows.values())


def rate_rows(user_id: str, given: Sequence[Rate]) -> list[dict[str, Any]]:
    """Return rates as rows, the last of each day; of thousands, in a thread."""
    rows = {
        (one.currency, one.base, one.day): {
            "user_id": user_id, "currency": one.currency, "base": one.base, "day": one.day.toordinal(),
            "rate": one.rate,
        }
        for one in given
    }  # fmt: skip
    return list(rows.values())


async def put_prices(connection: AsyncConnection, rows: Sequence[dict[str, Any]]) -> int:
    """Keep prices; those of a day that has one already replace it. Return how many."""
    await _put(connection, PRICES, rows, "close")
    return len(rows)


async def put_rates(connection: AsyncConnection, rows: Sequence[dict[str, Any]]) -> int:
    """Keep rates; those of a day that has one already replace it. Return how many."""
    await _put(connection, RATES, rows, "rate")
    return len(rows)


async def prices(connection: AsyncConnection, user_id: str) -> list[Sequence[Any]]:
    """Return rows of symbol, ordinal day, close and currency; the close may be text."""
    columns = (PRICES.c.symbol, PRICES.c.day, raw(PRICES.c.close, connection), PRICES.c.currency)
    return await _all(connection, select(*columns).where(PRICES.c.user_id == user_id))


async def rates(connection: AsyncConnection, user_id: str) -> list[Sequence[Any]]:
    """Return rows of ordinal day, currency, base and rate, which may be text."""
    columns = (RATES.c.day, RATES.c.currency, RATES.c.base, raw(RATES.c.rate, connection))
    return await _all(connection, select(*columns).where(RATES.c.user_id == user_id))


async def symbols(connection: AsyncConnection, user_id: str) -> list[dict[str, Any]]:
    """Return which symbols have prices, from when to when."""
    columns = (PRICES.c.symbol, PRICES.c.currency)
    query = select(*columns, func.min(PRICES.c.day), func.max(PRICES.c.day), func.count())
    rows = await connection.execute(query.where(PRICES.c.user_id == user_id).group_by(*columns).order_by(*columns))
    return [
        {"symbol": symbol, "currency": currency, "first": date.fromordinal(first).isoformat(),
         "last": date.fromordinal(last).isoformat(), "days": days}
        for symbol, currency, first, last, days in rows
    ]  # fmt: skip


async def closes(connection: AsyncConnection, user_id: str, symbol: str) -> list[dict[str, Any]]:
    """Return the latest thousand closes of a symbol, oldest first."""
    query = select(PRICES.c.day, PRICES.c.close, PRICES.c.currency)
    query = query.where(PRICES.c.user_id == user_id, PRICES.c.symbol == symbol).order_by(PRICES.c.day.desc())
    rows = (await connection.execute(query.limit(1_000))).all()
    return [
        {"day": date.fromordinal(day).isoformat(), "close": str(close), "currency": currency}
        for day, close, currency in reversed(rows)
    ]


async def _all(connection: AsyncConnection, query: Any) -> list[Sequence[Any]]:
    found: list[Sequence[Any]] = []
    async with connection.stream(query.execution_options(yield_per=_PORTION)) as result:
        async for rows in result.partitions():
            found += rows
    return found


async def _put(connection: AsyncConnection, table: Table, rows: Sequence[Any], value: str) -> None:
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert as insert_into
    else:
        from sqlalchemy.dialects.sqlite import insert as insert_into  # type: ignore[assignment]
    statement = insert_into(table)
    statement = statement.on_conflict_do_update(
        index_elements=[column.name for column in table.primary_key], set_={value: statement.excluded[value]}
    )
    for start in range(0, len(rows), _PORTION):
        await connection.execute(statement, rows[start : start + _PORTION])
