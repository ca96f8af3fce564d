"""Imports of an organisation: what came of each file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from sqlalchemy import select

from ledger.records.paging import Page, after, page_of
from ledger.scope import Scope
from ledger.tables import IMPORTS

__all__ = ["Import", "add", "page"]


@dataclass(frozen=True, slots=True)
class Import:
    """What became of one file.

    :ivar known: rows that were there already. :ivar told: the first faults, each with line, column, what and mend.
    :ivar at: microseconds since 1970.
    """

    id: int
    name: str
    added: int
    known: int
    faulty: int
    at: int
    told: Sequence[dict[str, Any]] = field(default=())


_COLUMNS = [IMPORTS.c[name] for name in Import.__slots__]


async def add(scope: Scope, done: Import) -> None:
    """Keep what became of a file."""
    values = {name: getattr(done, name) for name in Import.__slots__}
    await scope.execute(IMPORTS.insert(), [{**values, "told": orjson.dumps(list(done.told)).decode()}])


async def page(scope: Scope, *, cursor: str = "", limit: int = 50) -> Page[Import]:
    """Return a page of imports, the latest first. :raises BadCursor: when the cursor is none."""
    query = after(select(*_COLUMNS), None, IMPORTS.c.id, cursor, limit)
    found = page_of((await scope.execute(query)).all(), limit, days=False)
    imports = []
    for row in found.items:
        values = row._asdict()
        imports.append(Import(**{**values, "told": orjson.loads(values["told"])}))
    return Page(imports, found.cursor)
