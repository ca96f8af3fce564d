"""Writing what is made up: organisation by organisation, so that rows of one lie together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.chart import BANK, CHART
from ledger.generating.plan import CURRENCIES, EXPENSE, NAMES, REVENUE, Made, Plan, day_of
from ledger.generating.writing import Rows, write
from ledger.numbers import BLOCK, span

__all__ = ["generate"]

#: Transactions that are in memory at once.
PORTION: Final = 10_000
_CODES: Final = tuple(code for code, _ in (*REVENUE, *EXPENSE))


@dataclass(slots=True)
class _Months:
    """What the lines of an organisation in one portion come to; ``begun`` when earlier ones have some of its lines."""

    organization: int
    begun: bool
    totals: dict[tuple[int, str], list[int]] = field(default_factory=dict)

    def add(self, month: int, account: str, amount: int) -> None:
        total = self.totals.setdefault((month, account), [0, 0, 0])
        total[amount < 0] += abs(amount)
        total[2] += 1


async def generate(plan: Plan, begin: Any, now: int, *, portion: int = PORTION) -> AsyncIterator[int]:
    """Write everything; yield how many transactions have been written since the last time, after each commit.

    Rows have references and cannot be posted anew: they have no digest, so that a reference of theirs is taken.

    :param begin: opens a connection with a transaction, as ``database.begin``; its user owns the tables.
    :param now: when all is posted, in microseconds since 1970. :param portion: transactions in memory at once.
    """
    async with begin() as connection:
        first = (await span(connection, "organizations", plan.organizations)).start
    for made in _portions(plan, portion):
        # One more for each organisation that begins, which is its capital.
        wanted = len(made.number) + int((made.number == 0).sum())
        async with begin() as connection:
            ids = await _ids(connection, wanted)
            # Whoever looks between two portions finds books that balance.
            await write(connection, await asyncio.to_thread(_rows, plan, made, first, ids, now))
        yield len(made.number)


async def _ids(connection: AsyncConnection, count: int) -> list[int]:
    if connection.dialect.name == "sqlite":
        return list(await span(connection, "entries", count))
    query = "SELECT nextval('ledger_entries_numbers') FROM generate_series(1, $1::integer)"
    firsts = [int(row[0]) for row in await connection.exec_driver_sql(query, (-(-count // BLOCK),))]
    return [id for first in firsts for id in range(first, first + BLOCK)][:count]


def _portions(plan: Plan, portion: int) -> Iterator[Made]:
    """Yield all transactions in order of their organisations, so many at once."""
    ends = np.cumsum(plan.sizes)
    for start in range(0, int(ends[-1]), portion):
        place = np.arange(start, min(start + portion, int(ends[-1])))
        organization = np.searchsorted(ends, place, side="right")
        sizes = plan.sizes[organization]
        yield plan.make(organization, place - (ends[organization] - sizes), sizes)


def _rows(plan: Plan, made: Made, first: int, ids: list[int], now: int) -> Rows:
    rows = Rows()
    months = _Months(first + int(made.organization[0]), begun=True)
    currencies = plan.currency(made.organization).tolist()
    capitals = plan.capital(made.organization).tolist()
    columns = zip(
        made.organization.tolist(), made.number.tolist(), made.days.tolist(), made.accounts.tolist(),
        made.amounts.tolist(), made.names.tolist(), currencies, capitals, strict=True,
    )  # fmt: skip
    opened = plan.until.toordinal() - plan.days + 1
    id = iter(ids)
    for place, number, day, which, amount, name, kept, capital in columns:
        organization, currency = first + place, CURRENCIES[kept]
        if number == 0:
            _close(rows, months, plan, first)
            months = _Months(organization, begun=False)
            _open(rows, months, organization, place, currency, capital, day_of(opened - 719163), next(id), now)
        one, on, account = next(id), day_of(day), _CODES[which]
        month = on.year * 100 + on.month
        earns = which < len(REVENUE)
        reference = f"{'INV' if earns else 'BILL'}-{number + 1:07d}"
        signed = amount if earns else -amount
        rows.entries.append((organization, one, "revenue" if earns else "expense", on, reference, "", 0, None, now))
        rows.lines.append((organization, one, 0, BANK, on, currency, signed))
        rows.lines.append((organization, one, 1, account, on, currency, -signed))
        document = (organization, one, on, account, BANK, amount, currency, NAMES[name], "", reference, None, now)
        (rows.revenue if earns else rows.expense).append(document)
        months.add(month, BANK, signed)
        months.add(month, account, -signed)
    _close(rows, months, plan, first)
    return rows


def _open(
    rows: Rows, months: _Months, organization: int, place: int, currency: str, capital: int, day: Any, id: int, now: int
) -> None:
    rows.organizations.append((organization, f"{NAMES[place % len(NAMES)]} {place + 1}", currency, now))
    rows.accounts += [(organization, *account) for account in CHART]
    rows.entries.append((organization, id, "journal", day, "CAPITAL", "Capital", 0, None, now))
    rows.lines.append((organization, id, 0, BANK, day, currency, capital))
    rows.lines.append((organization, id, 1, "3000", day, currency, -capital))
    months.add(day.year * 100 + day.month, BANK, capital)
    months.add(day.year * 100 + day.month, "3000", -capital)


def _close(rows: Rows, months: _Months, plan: Plan, first: int) -> None:
    if not months.totals:
        return
    kept = int(plan.currency(np.array([months.organization - first]))[0])
    (rows.further if months.begun else rows.months).extend(
        (months.organization, month, account, CURRENCIES[kept], debit, credit, lines)
        for (month, account), (debit, credit, lines) in sorted(months.totals.items())
    )
