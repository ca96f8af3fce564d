"""Organisations and their accounts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.chart import CHART, Account
from ledger.numbers import span
from ledger.scope import Scope
from ledger.tables import ACCOUNTS, ORGANIZATIONS

__all__ = ["Organization", "accounts", "add_account", "by_id", "change_account", "count", "create"]


@dataclass(frozen=True, slots=True)
class Organization:
    """Whose books they are. :ivar currency: of what names none."""

    id: int
    name: str
    currency: str


async def create(
    connection: AsyncConnection, name: str, currency: str, now: int, chart: Sequence[Account] = CHART
) -> Organization:
    """Add an organisation with a chart of accounts, in a transaction of nobody's."""
    (id,) = await span(connection, "organizations", 1)
    await connection.execute(ORGANIZATIONS.insert().values(id=id, name=name, currency=currency, created=now))
    await connection.execute(ACCOUNTS.insert(), [{"organization_id": id, **account._asdict()} for account in chart])
    return Organization(id, name, currency)


async def by_id(scope: Scope) -> Organization | None:
    """Return whose transaction it is."""
    columns = (ORGANIZATIONS.c.id, ORGANIZATIONS.c.name, ORGANIZATIONS.c.currency)
    row = (await scope.execute(select(*columns))).first()
    return None if row is None else Organization(*row)


async def count(connection: AsyncConnection) -> int:
    """Return how many organisations there are."""
    return int((await connection.execute(select(func.count()).select_from(ORGANIZATIONS))).scalar_one())


async def accounts(scope: Scope) -> list[Account]:
    """Return the chart of accounts, by code."""
    columns = (ACCOUNTS.c.code, ACCOUNTS.c.name, ACCOUNTS.c.kind, ACCOUNTS.c.closed)
    rows = await scope.execute(select(*columns).order_by(ACCOUNTS.c.code))
    return [Account(code, name, kind, bool(closed)) for code, name, kind, closed in rows]


async def add_account(scope: Scope, account: Account) -> bool:
    """Add an account; False when its code is taken."""
    try:
        async with scope.connection.begin_nested():
            await scope.execute(ACCOUNTS.insert(), [account._asdict()])
    except IntegrityError:
        return False
    return True


async def change_account(scope: Scope, code: str, values: Mapping[str, Any]) -> bool:
    """Change the name of an account, or whether it is closed; False when there is none."""
    done = await scope.execute(ACCOUNTS.update().where(ACCOUNTS.c.code == code).values(**values))
    return bool(done.rowcount)
