"""Revenue and expense transactions: pages and portions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any, Final

from sqlalchemy import Row, Select, and_, or_, select

from ledger.entries import TransactionKind
from ledger.records.paging import Page, after, page_of
from ledger.scope import Scope
from ledger.tables import TRANSACTIONS

__all__ = ["COLUMNS", "documents", "page", "portion"]

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


async def portion(
    scope: Scope,
    kind: TransactionKind,
    *,
    after: Row[Any] | None = None,
    since: date | None = None,
    until: date | None = None,
    most: int = 500,
) -> Sequence[Row[Any]]:
    """Return so many rows of some days, the earliest first; :param after: the last row of the portion before."""
    table = TRANSACTIONS[kind]
    query = _query(kind, since, until, "")
    if after is not None:
        query = query.where(
            table.c.day >= after.day,
            or_(table.c.day > after.day, and_(table.c.day == after.day, table.c.id > after.id)),
        )
    rows: Sequence[Row[Any]] = (await scope.execute(query.order_by(table.c.day, table.c.id).limit(most))).all()
    return rows


async def documents(scope: Scope, ids: Sequence[int]) -> dict[int, tuple[str, str, str, int, str]]:
    """Return the kind, account, against, amount and currency of some revenues and expenses, by their numbers."""
    found: dict[int, tuple[str, str, str, int, str]] = {}
    for kind, table in TRANSACTIONS.items():
        query = select(table.c.id, table.c.account, table.c.against, table.c.amount, table.c.currency)
        for id, account, against, amount, currency in await scope.execute(query.where(table.c.id.in_(ids))):
            found[int(id)] = (kind, account, against, int(amount), currency)
    return found
