"""Posting on PostgreSQL: one statement for everything, however many entries there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from ledger.entries import Numbered
from ledger.scope import Scope

__all__ = ["columns", "insert"]

#: $1 organisation, $2 moment; then the columns of entries, of lines, and of transactions, as arrays.
_POST: Final = """
WITH given AS (
  SELECT * FROM unnest($3::bigint[], $4::text[], $5::date[], $6::text[], $7::text[], $8::bigint[], $9::bigint[])
    AS g (id, kind, day, reference, memo, digest, reverses)
), added AS (
  INSERT INTO ledger_entries (organization_id, id, kind, day, reference, memo, digest, reverses, posted_at)
  SELECT $1, id, kind, day, reference, memo, digest, reverses, $2 FROM given
  ON CONFLICT DO NOTHING
  RETURNING id
), booked AS (
  INSERT INTO ledger_lines (organization_id, entry_id, line, account, day, currency, amount)
  SELECT $1, l.entry_id, l.line, l.account, l.day, l.currency, l.amount
  FROM unnest($10::bigint[], $11::smallint[], $12::text[], $13::date[], $14::text[], $15::bigint[])
    AS l (entry_id, line, account, day, currency, amount) JOIN added ON added.id = l.entry_id
  RETURNING account, day, currency, amount
), totals AS (
  INSERT INTO ledger_months AS m (organization_id, month, account, currency, debit, credit, lines)
  SELECT $1, (extract(year FROM day) * 100 + extract(month FROM day))::integer AS month, account, currency,
    sum(greatest(amount, 0)), sum(greatest(-amount, 0)), count(*)
  FROM booked GROUP BY 2, 3, 4 ORDER BY 2, 3, 4
  ON CONFLICT (organization_id, month, account, currency) DO UPDATE
    SET debit = m.debit + excluded.debit, credit = m.credit + excluded.credit, lines = m.lines + excluded.lines
), documents AS (
  SELECT d.* FROM unnest(
    $16::bigint[], $17::text[], $18::date[], $19::text[], $20::text[], $21::bigint[], $22::text[], $23::text[],
    $24::text[], $25::text[], $26::bigint[]
  ) AS d (id, kind, day, account, against, amount, currency, counterparty, memo, reference, reverses)
  JOIN added ON added.id = d.id
), revenue AS (
  INSERT INTO revenue_transactions (organization_id, id, day, account, against, amount, currency, counterparty, memo,
    reference, reverses, posted_at)
  SELECT $1, id, day, account, against, amount, currency, counterparty, memo, reference, reverses, $2
  FROM documents WHERE kind = 'revenue'
), expense AS (
  INSERT INTO expense_transactions (organization_id, id, day, account, against, amount, currency, counterparty, memo,
    reference, reverses, posted_at)
  SELECT $1, id, day, account, against, amount, currency, counterparty, memo, reference, reverses, $2
  FROM documents WHERE kind = 'expense'
)
SELECT id FROM added
"""


def columns(entries: Sequence[Numbered]) -> tuple[list[Any], ...]:
    """Return entries as the columns of the statement; of many, in a thread."""
    heads = [
        (id, one.kind, one.day, one.reference or None, one.memo, digest, one.reverses) for id, one, digest in entries
    ]
    lines = [
        (id, number, line.account, one.day, line.currency, line.amount)
        for id, one, _ in entries
        for number, line in enumerate(one.lines)
    ]
    documents = [
        (id, one.kind, one.day, done.account, done.against, done.amount, done.currency, done.counterparty, one.memo,
         one.reference or None, one.reverses)
        for id, one, _ in entries
        if (done := one.transaction) is not None
    ]  # fmt: skip
    return (*_turned(heads, 7), *_turned(lines, 6), *_turned(documents, 11))


async def insert(scope: Scope, given: tuple[list[Any], ...], now: int) -> set[int]:
    """Insert entries, as :func:`columns` gives them; return the numbers of those that are new."""
    result = await scope.sql(_POST, scope.organization, now, *given)
    return {int(row[0]) for row in result}


def _turned(rows: list[tuple[Any, ...]], count: int) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(count)]
