"""Revenue and expense transactions: pages and streams."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import date
from typing import Any, Final

from sqlalchemy import Row, Select, select

from ledger.entries import TransactionKind
from ledger.records.paging import Page, after, page_of
from ledger.scope import Scope
from ledger.tables import TRANSACTIONS

__all__ = ["COLUMNS", "page", "stream"]

COLUMNS: Final = (
    "id", "day", "account", "against", "amount", "currency", "counterparty", "memo", "reference", "reverses",
)  # fmt: skip


def _query(kind: TransactionKind, since: date | None, until: date | None, account: str) -> Select[Any]:
    table = TRANSACTIONS[kind]
    query = select(*(table.c[name] for name in COLUMNS))
    if since is not None:
        query = query.where(table.c.day >= since)
    if until is not None:
        query = query.where(table.c.day <= until)
    return query.where(table.c.account == account) if account else query


async def page(
    scope: Scope,
    kind: TransactionKind,
    *,
    cursor: str = "",
    limit: int = 50,
    since: date | None = None,
    until: date | None = None,
    account: str = "",
) -> Page[Row[Any]]:
    """Return a page of rows with :data:`COLUMNS`, the latest day first.

    :param since: the first day, and :param until: the last. :raises BadCursor: when the cursor is none.
    """
    table = TRANSACTIONS[kind]
    query = after(_query(kind, since, until, account), table.c.day, table.c.id, cursor, limit)
    return page_of((await scope.execute(query)).all(), limit)


async def stream(
    scope: Scope, kind: TransactionKind, *, since: date | None = None, until: date | None = None, portion: int = 500
) -> AsyncIterator[Sequence[Row[Any]]]:
    """Yield all rows of some days, the earliest first, in portions between which others have their turn."""
    table = TRANSACTIONS[kind]
    query = _query(kind, since, until, "").order_by(table.c.day, table.c.id)
    async with scope.stream(query, portion) as result:
        async for rows in result.partitions():
            yield rows
