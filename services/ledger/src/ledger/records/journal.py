"""The journal: entries with their lines."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from sqlalchemy import Row, select

from ledger.entries import Entry, EntryKind, Line, Transaction
from ledger.records.paging import Page, after, page_of
from ledger.scope import Scope
from ledger.tables import ENTRIES, LINES, TRANSACTIONS

__all__ = ["Booked", "by_id", "entry_of", "page", "reversals", "statement", "unnamed"]

_MANY: Final = 500


@dataclass(frozen=True, slots=True)
class Booked:
    """An entry that is posted.

    :ivar reversed_by: the number of the entry that takes it back. :ivar posted_at: microseconds since 1970.
    """

    id: int
    kind: EntryKind
    day: date
    reference: str | None
    memo: str
    reverses: int | None
    posted_at: int
    lines: Sequence[Line] = ()
    reversed_by: int | None = None


_HEAD = [ENTRIES.c[name] for name in ("id", "kind", "day", "reference", "memo", "reverses", "posted_at")]


async def page(scope: Scope, *, cursor: str = "", limit: int = 50) -> Page[Booked]:
    """Return a page of entries with their lines, the one with the highest number first.

    :raises BadCursor: when the cursor is none.
    """
    query = after(select(*_HEAD), None, ENTRIES.c.id, cursor, limit)
    found = page_of((await scope.execute(query)).all(), limit, days=False)
    ids = [row.id for row in found.items]
    lines = await _lines(scope, ids)
    taken_back: dict[int, int] = {}
    if ids:
        query = select(ENTRIES.c.reverses, ENTRIES.c.id).where(ENTRIES.c.reverses.in_(ids))
        taken_back = dict((await scope.execute(query)).all())
    return Page([_booked(row, lines[row.id], taken_back.get(row.id)) for row in found.items], found.cursor)


async def by_id(scope: Scope, id: int) -> Booked | None:
    """Return one entry with its lines, and what has taken it back."""
    row = (await scope.execute(select(*_HEAD).where(ENTRIES.c.id == id))).first()
    if row is None:
        return None
    lines = await _lines(scope, [id])
    reversed_by = (await scope.execute(select(ENTRIES.c.id).where(ENTRIES.c.reverses == id))).scalar()
    return _booked(row, lines[id], reversed_by)


async def entry_of(scope: Scope, booked: Booked) -> Entry:
    """Return a posted entry as it was given."""
    transaction = None
    if booked.kind != "journal":
        table = TRANSACTIONS[booked.kind]
        columns = [table.c[name] for name in Transaction._fields]
        row = (await scope.execute(select(*columns).where(table.c.id == booked.id))).one()
        transaction = Transaction(*row)
    return Entry(
        booked.kind, booked.day, tuple(booked.lines), booked.reference or "", booked.memo, transaction, booked.reverses
    )


async def unnamed(scope: Scope, ids: Sequence[int]) -> dict[int, int]:
    """Return the digests of those entries, by their numbers, that are there and have no reference."""
    found: dict[int, int] = {}
    for start in range(0, len(ids), _MANY):
        query = select(ENTRIES.c.id, ENTRIES.c.digest).where(ENTRIES.c.id.in_(ids[start : start + _MANY]))
        found |= dict((await scope.execute(query.where(ENTRIES.c.reference.is_(None)))).all())
    return found


async def reversals(scope: Scope, ids: Sequence[int]) -> dict[int, tuple[int, int]]:
    """Return what takes entries back: by the number of each its own number and digest."""
    query = select(ENTRIES.c.reverses, ENTRIES.c.id, ENTRIES.c.digest).where(ENTRIES.c.reverses.in_(ids))
    return {int(other): (int(id), int(digest)) for other, id, digest in await scope.execute(query)}


async def statement(scope: Scope, account: str, *, cursor: str = "", limit: int = 50) -> Page[Row[Any]]:
    """Return a page of lines of an account, the latest day first, as rows of day, id (of the entry) and amount.

    An entry with several lines on the account is as many rows, and all of them are on one page.
    """
    columns = (LINES.c.day, LINES.c.entry_id.label("id"), LINES.c.line, LINES.c.currency, LINES.c.amount)
    query = after(select(*columns).where(LINES.c.account == account), LINES.c.day, LINES.c.entry_id, cursor, limit)
    rows = list((await scope.execute(query.order_by(LINES.c.line.desc()))).all())
    if len(rows) > limit:
        # A page ends with an entry, not within one; one with more lines than a page has is a page of its own.
        last = rows[-1].id
        whole = [row for row in rows if row.id != last]
        if whole:
            rows = [*whole, rows[-1]]
            return page_of(rows, len(whole))
        more = (
            select(*columns).where(LINES.c.account == account, LINES.c.entry_id == last).order_by(LINES.c.line.desc())
        )
        rows = list((await scope.execute(more)).all())
        return page_of([*rows, rows[-1]], len(rows))
    return page_of(rows, limit)


def _booked(row: Row[Any], lines: Sequence[Line], reversed_by: int | None = None) -> Booked:
    return Booked(**row._asdict(), lines=lines, reversed_by=reversed_by)


async def _lines(scope: Scope, ids: Sequence[int]) -> dict[int, list[Line]]:
    found: dict[int, list[Line]] = defaultdict(list)
    if ids:
        columns = (LINES.c.entry_id, LINES.c.account, LINES.c.amount, LINES.c.currency)
        query = select(*columns).where(LINES.c.entry_id.in_(ids)).order_by(LINES.c.entry_id, LINES.c.line)
        for id, *line in await scope.execute(query):
            found[id].append(Line(*line))
    return found
