"""Posting on SQLite, where the one right to write is ours from the start: what is known can be asked before."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from sqlalchemy import select
from sqlalchemy.dialects.sqlite import insert as insert_into

from ledger.entries import Numbered
from ledger.records.totals import month_of
from ledger.scope import Scope
from ledger.tables import ENTRIES, LINES, MONTHS, TRANSACTIONS

__all__ = ["insert"]

_MANY: Final = 500


async def insert(scope: Scope, entries: Sequence[Numbered], now: int) -> set[int]:
    """Insert entries; return the numbers of those that are new."""
    fresh = await _fresh(scope, entries)
    if not fresh:
        return set()
    lines = []
    totals: dict[tuple[int, str, str], list[int]] = defaultdict(lambda: [0, 0, 0])
    for id, one, _ in fresh:
        for number, (account, amount, currency) in enumerate(one.lines):
            lines.append(
                {"entry_id": id, "line": number, "account": account, "day": one.day, "currency": currency,
                 "amount": amount}
            )  # fmt: skip
            total = totals[month_of(one.day), account, currency]
            total[0] += max(amount, 0)
            total[1] += max(-amount, 0)
            total[2] += 1
    # Lines first: the entry that comes after is refused unless they balance, and none is added to it.
    await scope.execute(LINES.insert(), lines)
    await scope.execute(
        ENTRIES.insert(),
        [
            {"id": id, "kind": one.kind, "day": one.day, "reference": one.reference or None, "memo": one.memo,
             "digest": digest, "reverses": one.reverses, "posted_at": now}
            for id, one, digest in fresh
        ],
    )  # fmt: skip
    into = insert_into(MONTHS)
    columns = ("debit", "credit", "lines")
    into = into.on_conflict_do_update(
        index_elements=[column.name for column in MONTHS.primary_key],
        set_={name: MONTHS.c[name] + into.excluded[name] for name in columns},
    )
    rows = [
        {"month": month, "account": account, "currency": currency, **dict(zip(columns, total, strict=True))}
        for (month, account, currency), total in sorted(totals.items())
    ]
    await scope.execute(into, rows)
    for kind, table in TRANSACTIONS.items():
        documents = [
            {"id": id, "day": one.day, **done._asdict(), "memo": one.memo, "reference": one.reference or None,
             "reverses": one.reverses, "posted_at": now}
            for id, one, _ in fresh
            if one.kind == kind and (done := one.transaction) is not None
        ]  # fmt: skip
        if documents:
            await scope.execute(table.insert(), documents)
    return {id for id, _, _ in fresh}


async def _fresh(scope: Scope, entries: Sequence[Numbered]) -> list[Numbered]:
    references = [one.reference for _, one, _ in entries if one.reference]
    known: set[str] = set()
    for start in range(0, len(references), _MANY):
        query = select(ENTRIES.c.reference).where(ENTRIES.c.reference.in_(references[start : start + _MANY]))
        known |= set((await scope.execute(query)).scalars())
    reversed_before: set[int] = set()
    fresh = []
    for id, one, digest in entries:
        if one.reference and one.reference in known:
            continue
        if one.reverses is not None:
            query = select(ENTRIES.c.id).where(ENTRIES.c.reverses == one.reverses)
            if one.reverses in reversed_before or (await scope.execute(query)).first() is not None:
                continue
            reversed_before.add(one.reverses)
        fresh.append(Numbered(id, one, digest))
    return fresh
