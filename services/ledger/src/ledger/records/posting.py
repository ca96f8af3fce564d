"""Posting entries: each once, its lines and what they come to, in one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from bedplate.problems import BedplateError
from ledger.entries import Entry, Numbered
from ledger.records import on_postgresql, on_sqlite
from ledger.scope import Scope
from ledger.tables import ENTRIES

__all__ = ["Posted", "ReferenceTaken", "UnbalancedEntry", "UnknownAccount", "post", "prepared"]

#: Entries of one statement.
PORTION: Final = 250
#: Entries that are told of before others have their turn.
_TURN: Final = 200


class UnknownAccount(BedplateError):
    """A line on an account that the organisation does not have."""


class UnbalancedEntry(BedplateError):
    """The database has refused an entry that does not balance; whoever made it did not check it."""


class ReferenceTaken(BedplateError):
    """A reference that another entry has, or an entry that is taken back already."""


@dataclass(frozen=True, slots=True)
class Posted:
    """What became of an entry.

    :ivar id: its number, or that of the entry which was there before. :ivar outcome: ``added``; ``known`` when the same
        was posted before; ``taken`` when its reference belongs to another entry, or what it reverses is reversed.
    """

    id: int
    outcome: Literal["added", "known", "taken"]


def prepared(entries: Sequence[Entry], ids: Sequence[int], dialect: str) -> list[Any]:
    """Return entries in the portions in which they are posted; of many, in a thread.

    What a driver encodes holds the event loop up, so no statement has more than a few hundred.

    :param ids: a new number for each.
    """
    # Of two with one reference the first is posted, and the second is told what became of it.
    first: dict[str, int] = {}
    chosen = [
        Numbered(id, entry, entry.digest())
        for id, entry in zip(ids, entries, strict=True)
        if not entry.reference or first.setdefault(entry.reference, id) == id
    ]
    portions = [chosen[start : start + PORTION] for start in range(0, len(chosen), PORTION)]
    return [on_postgresql.columns(portion) for portion in portions] if dialect == "postgresql" else portions


async def post(
    scope: Scope, entries: Sequence[Entry], ids: Sequence[int], portions: Sequence[Any], now: int
) -> list[Posted]:
    """Post entries that were checked; return what became of each, in their order.

    :param portions: as :func:`prepared` gives them. :param now: microseconds since 1970.
    :raises UnknownAccount: when a line is on an account that is not there. :raises UnbalancedEntry: see there.
    """
    insert = on_postgresql.insert if scope.dialect == "postgresql" else on_sqlite.insert
    added: set[int] = set()
    try:
        for portion in portions:
            added |= await insert(scope, portion, now)
    except DBAPIError as error:
        if (explained := _explained(error)) is None:
            raise
        raise explained from error
    if len(added) == len(entries):
        return [Posted(id, "added") for id in ids]
    return await _told(scope, entries, ids, added)


async def _told(scope: Scope, entries: Sequence[Entry], ids: Sequence[int], added: set[int]) -> list[Posted]:
    told: list[Posted] = []
    for start in range(0, len(entries), _TURN):
        end = start + _TURN
        told += await _told_of_some(scope, entries[start:end], ids[start:end], added)
        # A file has thousands, and others have their turn.
        await asyncio.sleep(0)
    return told


async def _told_of_some(scope: Scope, entries: Sequence[Entry], ids: Sequence[int], added: set[int]) -> list[Posted]:
    missing = [entry for id, entry in zip(ids, entries, strict=True) if id not in added]
    by_reference: dict[str, tuple[int, int]] = {}
    references = sorted({entry.reference for entry in missing if entry.reference})
    if references:
        columns = (ENTRIES.c.reference, ENTRIES.c.id, ENTRIES.c.digest)
        query = select(*columns).where(ENTRIES.c.reference.in_(references))
        by_reference = {name: (id, digest) for name, id, digest in await scope.execute(query)}
    reversals = {
        entry.reverses: int(id)
        for entry in missing
        if entry.reverses is not None
        for (id,) in await scope.execute(select(ENTRIES.c.id).where(ENTRIES.c.reverses == entry.reverses))
    }
    told = []
    for id, entry in zip(ids, entries, strict=True):
        if id in added:
            told.append(Posted(id, "added"))
        elif entry.reference in by_reference:
            known, digest = by_reference[entry.reference]
            told.append(Posted(known, "known" if digest == entry.digest() else "taken"))
        else:
            told.append(Posted(reversals.get(entry.reverses or 0, 0), "taken"))
    return told


def _explained(error: DBAPIError) -> BedplateError | None:
    text = str(error.orig)
    if "ledger_lines_balanced" in text or "would not balance" in text:
        return UnbalancedEntry("An entry does not balance.", "Let debits and credits be equal in each currency.")
    if "fk_ledger_months_account" in text or "FOREIGN KEY constraint failed" in text:
        return UnknownAccount("A line is on an account that the organisation does not have.", "Open the account first.")
    return None
