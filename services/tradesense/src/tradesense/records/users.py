"""Users."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from tradesense.lots import Method
from tradesense.tables import TABLES, USERS

__all__ = ["User", "by_email", "by_id", "change", "count", "create", "delete"]


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who signs in.

    :ivar base: the currency of his totals. :ivar method: of lots. :ivar zone: whose midnight ends his days.
    :ivar capital: what was in the account before the first trade, in the base currency; 0 when nobody said.
    """

    id: str
    email: str
    name: str
    base: str
    method: Method
    zone: str
    capital: Decimal
    created: float


_SHOWN = [USERS.c[name] for name in User.__slots__]


async def create(connection: AsyncConnection, user: User, password: str) -> bool:
    """Add a user; False when somebody has the address already.

    :param password: its hash.
    """
    values = {name: getattr(user, name) for name in User.__slots__}
    try:
        async with connection.begin_nested():
            await connection.execute(USERS.insert().values(**values, password=password))
    except IntegrityError:
        return False
    return True


async def by_email(connection: AsyncConnection, email: str) -> tuple[User, str] | None:
    """Return the user with an address in lower case, and the hash of the password."""
    row = (await connection.execute(select(*_SHOWN, USERS.c.password).where(USERS.c.email == email))).first()
    return None if row is None else (User(*row[:-1]), row[-1])


async def by_id(connection: AsyncConnection, user_id: str) -> User | None:
    """Return a user."""
    row = (await connection.execute(select(*_SHOWN).where(USERS.c.id == user_id))).first()
    return None if row is None else User(*row)


async def password_of(connection: AsyncConnection, user_id: str) -> str | None:
    """Return the hash of a user's password."""
    return (await connection.execute(select(USERS.c.password).where(USERS.c.id == user_id))).scalar()


async def change(connection: AsyncConnection, user_id: str, values: Mapping[str, Any]) -> None:
    """Change columns of a user."""
    await connection.execute(USERS.update().where(USERS.c.id == user_id).values(**values))


async def delete(connection: AsyncConnection, user_id: str) -> None:
    """Delete a user with everything that is his."""
    for table in TABLES:
        await connection.execute(table.delete().where(table.c.user_id == user_id))
    await connection.execute(USERS.delete().where(USERS.c.id == user_id))


async def count(connection: AsyncConnection) -> int:
    """Return how many users there are."""
    return int((await connection.execute(select(func.count()).select_from(USERS))).scalar_one())
