"""The journal of one user: notes and tags, of a trade or of a day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from tradesense.records.paging import Page, narrowed, page_of
from tradesense.records.trades import tags_kept
from tradesense.tables import JOURNAL

__all__ = ["Entry", "add", "by_id", "change", "delete", "page", "tags_by_trade"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A note.

    :ivar at: when it is about, microseconds since 1970. :ivar trade_id: the trade that it is about; empty for none.
    """

    id: str
    at: int
    trade_id: str
    text: str
    tags: tuple[str, ...]


_COLUMNS = [JOURNAL.c[name] for name in Entry.__slots__]


async def add(connection: AsyncConnection, user_id: str, entry: Entry) -> None:
    """Add an entry."""
    await connection.execute(JOURNAL.insert().values(id=entry.id, user_id=user_id, **_values(entry)))


async def page(
    connection: AsyncConnection, user_id: str, *, cursor: str = "", limit: int = 50, tag: str = "", trade_id: str = ""
) -> Page[Entry]:
    """Return a page of entries, the latest first. :raises BadCursor: when the cursor is none."""
    query = select(*_COLUMNS).where(JOURNAL.c.user_id == user_id)
    if tag:
        query = query.where(JOURNAL.c.tags.contains(f" {tag} ", autoescape=True))
    if trade_id:
        query = query.where(JOURNAL.c.trade_id == trade_id)
    found = page_of((await connection.execute(narrowed(query, JOURNAL, cursor, limit))).all(), limit)
    return Page([_entry(row) for row in found.items], found.cursor)


async def by_id(connection: AsyncConnection, user_id: str, id: str) -> Entry | None:
    """Return one entry of a user."""
    query = select(*_COLUMNS).where(JOURNAL.c.user_id == user_id, JOURNAL.c.id == id)
    row = (await connection.execute(query)).first()
    return None if row is None else _entry(row)


async def change(connection: AsyncConnection, user_id: str, entry: Entry) -> None:
    """Make an entry be what is given, by its id."""
    await connection.execute(
        JOURNAL.update().where(JOURNAL.c.user_id == user_id, JOURNAL.c.id == entry.id).values(**_values(entry))
    )


async def delete(connection: AsyncConnection, user_id: str, id: str) -> bool:
    """Delete an entry; False when there is none."""
    done = await connection.execute(JOURNAL.delete().where(JOURNAL.c.user_id == user_id, JOURNAL.c.id == id))
    return bool(done.rowcount)


async def tags_by_trade(connection: AsyncConnection, user_id: str) -> dict[str, list[str]]:
    """Return the tags that the journal gives to trades, by the trade's id."""
    tagged = (JOURNAL.c.user_id == user_id) & (JOURNAL.c.trade_id != "") & (JOURNAL.c.tags != "")
    found: dict[str, list[str]] = {}
    for trade_id, tags in await connection.execute(select(JOURNAL.c.trade_id, JOURNAL.c.tags).where(tagged)):
        found.setdefault(trade_id, []).extend(tags.split())
    return found


def _values(entry: Entry) -> dict[str, Any]:
    return {"at": entry.at, "trade_id": entry.trade_id, "text": entry.text, "tags": tags_kept(entry.tags)}


def _entry(row: Sequence[Any]) -> Entry:
    return Entry(*[*row[:-1], tuple(row[-1].split())])
