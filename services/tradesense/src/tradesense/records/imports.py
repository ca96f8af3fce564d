"""Imports of one user: what came of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from tradesense.records.paging import Page, narrowed, page_of
from tradesense.tables import IMPORTS

__all__ = ["Import", "add", "by_id", "delete", "page"]


@dataclass(frozen=True, slots=True)
class Import:
    """What became of one file.

    :ivar at: microseconds since 1970. :ivar known: trades that were there already. :ivar skipped: lines that are none.
    :ivar told: the first faults, each with line, column, what and mend.
    """

    id: str
    at: int
    broker: str
    name: str
    added: int
    known: int
    skipped: int
    faults: int
    told: Sequence[dict[str, Any]] = field(default=())


_COLUMNS = [IMPORTS.c[name] for name in Import.__slots__]


async def add(connection: AsyncConnection, user_id: str, done: Import) -> None:
    """Keep what became of a file."""
    values = {name: getattr(done, name) for name in Import.__slots__ if name != "told"}
    await connection.execute(
        IMPORTS.insert().values(user_id=user_id, told=orjson.dumps(list(done.told)).decode(), **values)
    )


async def page(connection: AsyncConnection, user_id: str, *, cursor: str = "", limit: int = 50) -> Page[Import]:
    """Return a page of imports, the latest first. :raises BadCursor: when the cursor is none."""
    query = select(*_COLUMNS).where(IMPORTS.c.user_id == user_id)
    found = page_of((await connection.execute(narrowed(query, IMPORTS, cursor, limit))).all(), limit)
    return Page([_import(row) for row in found.items], found.cursor)


async def by_id(connection: AsyncConnection, user_id: str, id: str) -> Import | None:
    """Return one import of a user."""
    query = select(*_COLUMNS).where(IMPORTS.c.user_id == user_id, IMPORTS.c.id == id)
    row = (await connection.execute(query)).first()
    return None if row is None else _import(row)


async def delete(connection: AsyncConnection, user_id: str, id: str) -> None:
    """Forget an import; its trades are another matter."""
    await connection.execute(IMPORTS.delete().where(IMPORTS.c.user_id == user_id, IMPORTS.c.id == id))


def _import(row: Sequence[Any]) -> Import:
    return Import(*[*row[:-1], orjson.loads(row[-1])])
