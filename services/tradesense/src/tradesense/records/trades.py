"""Trades of one user."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid_utils import uuid7

from tradesense.importing import Known
from tradesense.records.paging import Page, narrowed, page_of
from tradesense.tables import TRADES, micros, moment, raw
from tradesense.trades import Trade

__all__ = [
    "add", "by_id", "change", "count", "delete", "delete_all", "entered_since", "everything", "fingerprints", "page",
    "rows_of", "tags_kept", "trade_of",
]  # fmt: skip

_COLUMNS: Final = tuple(
    TRADES.c[name]
    for name in "kind at symbol quantity price fee currency multiplier account broker_id tags note id".split()
)
_PORTION: Final = 250


def trade_of(row: Sequence[Any], more: Iterable[str] = ()) -> Trade:
    """Return the trade of a row as :func:`everything` gives them.

    :param more: tags that it has besides its own.
    """
    kind, at, symbol, quantity, price, fee, currency, multiplier, account, broker_id, tags, note, id = row
    return Trade(
        kind, moment(at), symbol, Decimal(quantity), Decimal(price), Decimal(fee), currency, Decimal(multiplier),
        account, broker_id,
        tuple(dict.fromkeys([*tags.split(), *more])) if tags or more else (), note, id,
    )  # fmt: skip


def tags_kept(tags: Iterable[str]) -> str:
    """Return tags as they are kept: each between spaces, so that one can be looked for."""
    joined = " ".join(tags)
    return f" {joined} " if joined else ""


def rows_of(user_id: str, trades: Sequence[Trade], now: float, import_id: str = "") -> list[dict[str, Any]]:
    """Return trades as rows to be added; of thousands, in a thread."""
    return [
        {"id": str(uuid7()), "user_id": user_id, "at": micros(one.at), "kind": one.kind, "symbol": one.symbol,
         "quantity": one.quantity, "price": one.price, "fee": one.fee, "currency": one.currency,
         "multiplier": one.multiplier, "account": one.account, "broker_id": one.broker_id,
         "fingerprint": one.fingerprint(), "tags": tags_kept(one.tags), "note": one.note, "import_id": import_id,
         "created": now}
        for one in trades
    ]  # fmt: skip


async def add(connection: AsyncConnection, rows: Sequence[dict[str, Any]]) -> list[str]:
    """Add rows; return their ids, which order trades of one moment as they were given."""
    for start in range(0, len(rows), _PORTION):
        await connection.execute(TRADES.insert(), rows[start : start + _PORTION])
    return [row["id"] for row in rows]


async def everything(connection: AsyncConnection, user_id: str) -> AsyncIterator[list[Sequence[Any]]]:
    """Yield the rows of all trades, oldest first, in portions between which others have their turn."""
    # As the driver gives them: where decimals are text, they are read in a thread and not here.
    columns = [raw(column, connection) for column in _COLUMNS]
    query = select(*columns).where(TRADES.c.user_id == user_id).order_by(TRADES.c.at, TRADES.c.id)
    async with connection.stream(query.execution_options(yield_per=_PORTION)) as result:
        async for rows in result.partitions():
            yield list(rows)


async def page(
    connection: AsyncConnection,
    user_id: str,
    *,
    cursor: str = "",
    limit: int = 100,
    symbol: str = "",
    tag: str = "",
    since: datetime | None = None,
    until: datetime | None = None,
) -> Page[Trade]:
    """Return a page of trades, the latest first.

    :raises BadCursor: when the cursor is none.
    """
    query: Select[Any] = select(*_COLUMNS).where(TRADES.c.user_id == user_id)
    if symbol:
        query = query.where(TRADES.c.symbol == symbol)
    if tag:
        query = query.where(TRADES.c.tags.contains(f" {tag} ", autoescape=True))
    if since is not None:
        query = query.where(TRADES.c.at >= micros(since))
    if until is not None:
        query = query.where(TRADES.c.at < micros(until))
    rows = (await connection.execute(narrowed(query, TRADES, cursor, limit))).all()
    found = page_of(rows, limit)
    return Page([trade_of(row) for row in found.items], found.cursor)


async def by_id(connection: AsyncConnection, user_id: str, id: str) -> Trade | None:
    """Return one trade of a user."""
    row = (await connection.execute(select(*_COLUMNS).where(TRADES.c.user_id == user_id, TRADES.c.id == id))).first()
    return None if row is None else trade_of(row)


async def change(connection: AsyncConnection, user_id: str, trade: Trade) -> bool:
    """Make a trade be what is given, by its id; False when there is none."""
    values: Mapping[str, Any] = {
        "kind": trade.kind, "at": micros(trade.at), "symbol": trade.symbol, "quantity": trade.quantity,
        "price": trade.price, "fee": trade.fee, "currency": trade.currency, "multiplier": trade.multiplier,
        "account": trade.account, "tags": tags_kept(trade.tags), "note": trade.note,
        "fingerprint": trade.fingerprint(),
    }  # fmt: skip
    done = await connection.execute(
        TRADES.update().where(TRADES.c.user_id == user_id, TRADES.c.id == trade.id).values(**values)
    )
    return bool(done.rowcount)


async def delete(connection: AsyncConnection, user_id: str, id: str) -> bool:
    """Delete a trade; False when there is none."""
    done = await connection.execute(TRADES.delete().where(TRADES.c.user_id == user_id, TRADES.c.id == id))
    return bool(done.rowcount)


async def delete_all(connection: AsyncConnection, user_id: str, import_id: str = "") -> int:
    """Delete all trades of a user, or those of one import; return how many."""
    query = TRADES.delete().where(TRADES.c.user_id == user_id)
    if import_id:
        query = query.where(TRADES.c.import_id == import_id)
    return int((await connection.execute(query)).rowcount)


async def fingerprints(connection: AsyncConnection, user_id: str, first: datetime, last: datetime) -> list[Known]:
    """Return what tells the trades of some days apart, and all that have ids, whenever they were."""
    columns = (TRADES.c.account, TRADES.c.broker_id, TRADES.c.fingerprint)
    within = TRADES.c.at.between(micros(first), micros(last)) | (TRADES.c.broker_id != "")
    query = select(*columns).where(TRADES.c.user_id == user_id, within).execution_options(yield_per=_PORTION)
    known: list[Known] = []
    async with connection.stream(query) as result:
        async for rows in result.partitions():
            known += [Known(*row) for row in rows]
    return known


async def count(connection: AsyncConnection, user_id: str | None = None) -> int:
    """Return how many trades there are, of a user or of all."""
    query = select(func.count()).select_from(TRADES)
    if user_id is not None:
        query = query.where(TRADES.c.user_id == user_id)
    return int((await connection.execute(query)).scalar_one())


async def entered_since(connection: AsyncConnection, since: float) -> tuple[int, int, int]:
    """Return of all users, since a Unix time: trades entered, users who entered some, and symbols."""
    query = select(func.count(), func.count(TRADES.c.user_id.distinct()), func.count(TRADES.c.symbol.distinct()))
    row = (await connection.execute(query.where(TRADES.c.created >= since))).one()
    return int(row[0]), int(row[1]), int(row[2])
