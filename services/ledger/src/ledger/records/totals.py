"""What accounts come to. Sums of whole months are kept as entries are posted; only the days at the edges are added up.

So a balance reads a few hundred short rows, however many entries the organisation, or all of them, have.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Sequence
from datetime import date
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    Integer,
    Select,
    case,
    cast,
    extract,
    func,
    literal,
    or_,
    select,
    text,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.chart import Account
from ledger.scope import Scope
from ledger.tables import LINES, MONTHS

__all__ = ["Difference", "MonthTotal", "Total", "between", "by_month", "differences", "mend_months", "month_of"]


class Total(NamedTuple):
    """Debits and credits of an account in a currency, in minor units."""

    account: str
    currency: str
    debit: int
    credit: int


class MonthTotal(NamedTuple):
    """As :class:`Total`, of a month: 202511."""

    month: int
    account: str
    currency: str
    debit: int
    credit: int


class Difference(NamedTuple):
    """Where books are wrong: a month of an account that is not its lines, or (``*``) lines that do not balance.

    :ivar month: 202511; 0 for lines that do not balance. :ivar amount: minor units by which its debits and its credits
        are off, together. :ivar lines: how many lines more than its total was made of; 0 for none, too.
    """

    organization: int
    month: int
    account: str
    currency: str
    amount: int
    lines: int = 0


def month_of(day: date) -> int:
    """Return the month of a day as it is kept: 202511."""
    return day.year * 100 + day.month


async def by_month(scope: Scope, first: int, last: int) -> list[MonthTotal]:
    """Return the totals of each month, from one to another, of those accounts that had lines in it."""
    columns = (MONTHS.c.month, MONTHS.c.account, MONTHS.c.currency, MONTHS.c.debit, MONTHS.c.credit)
    query = select(*columns).where(MONTHS.c.month.between(first, last)).order_by(*columns[:3])
    return [MonthTotal(*row) for row in await scope.execute(query)]


async def between(
    scope: Scope, since: date | None, until: date | None, accounts: Sequence[Account] | None = None
) -> dict[tuple[str, str], Total]:
    """Return what the accounts came to from the start of a day to the end of another, by account and currency.

    :param since: None for all that was before, too. :param until: None for all that comes after, too.
    :param accounts: which; None for all of them.
    """
    codes = None if accounts is None else [account.code for account in accounts]
    found: dict[tuple[str, str], Total] = {}
    first, last, edges = _cut(since, until)
    parts = [_days(start, end, codes) for start, end in edges]
    if first <= last:
        columns = (MONTHS.c.account, MONTHS.c.currency)
        whole = select(*columns, func.sum(MONTHS.c.debit), func.sum(MONTHS.c.credit)).group_by(*columns)
        whole = whole.where(MONTHS.c.month.between(first, last))
        parts.append(whole if codes is None else whole.where(MONTHS.c.account.in_(codes)))
    if parts:
        for account, currency, debit, credit in await scope.execute(parts[0] if len(parts) == 1 else union_all(*parts)):
            known = found.get((account, currency), Total(account, currency, 0, 0))
            found[account, currency] = known._replace(debit=known.debit + int(debit), credit=known.credit + int(credit))
    return found


def _cut(since: date | None, until: date | None) -> tuple[int, int, list[tuple[date, date]]]:
    """Return the first and last whole month between two days, and the days outside of them."""
    if since is not None and until is not None and since > until:
        return 1, 0, []
    first = 0 if since is None else month_of(since)
    last = 999_999 if until is None else month_of(until)
    begins = since is None or since.day == 1
    ends = until is None or until == _end(until)
    if first == last and not (begins and ends) and since is not None and until is not None:
        return 1, 0, [(since, until)]
    edges = []
    if since is not None and not begins:
        edges.append((since, _end(since)))
        first = _next(first)
    if until is not None and not ends:
        edges.append((until.replace(day=1), until))
        last = _before(last)
    return first, last, edges


def _days(start: date, end: date, codes: Sequence[str] | None) -> Select[Any]:
    columns = (LINES.c.account, LINES.c.currency)
    debit = func.sum(case((LINES.c.amount > 0, LINES.c.amount), else_=0))
    credit = func.sum(case((LINES.c.amount < 0, -LINES.c.amount), else_=0))
    query = select(*columns, debit, credit).where(LINES.c.day.between(start, end)).group_by(*columns)
    return query if codes is None else query.where(LINES.c.account.in_(codes))


def _end(day: date) -> date:
    return day.replace(day=monthrange(day.year, day.month)[1])


def _next(month: int) -> int:
    return month + 1 if month % 100 < 12 else month + 89


def _before(month: int) -> int:
    return month - 1 if month % 100 > 1 else month - 89


async def differences(connection: AsyncConnection, first: int, last: int) -> list[Difference]:
    """Return what is wrong in the books of some organisations, by number; in a transaction of nobody's.

    Each month of each account is compared by its debits, its credits and how many lines it has: of what is too much in
    one and too little in another, neither is overlooked. One statement, so one moment: whoever posts meanwhile is seen
    with all of it or not at all.
    """
    names = ("organization_id", "month", "account", "currency")
    when = cast(extract("year", LINES.c.day) * 100 + extract("month", LINES.c.day), Integer).label("month")
    line = select(
        LINES.c.organization_id, when, LINES.c.account, LINES.c.currency,
        case((LINES.c.amount > 0, LINES.c.amount), else_=0).label("debit"),
        case((LINES.c.amount < 0, -LINES.c.amount), else_=0).label("credit"),
        literal(1, BigInteger).label("lines"),
    ).where(LINES.c.organization_id.between(first, last))  # fmt: skip
    kept = (-MONTHS.c.debit, -MONTHS.c.credit, -MONTHS.c.lines)
    month = select(*(MONTHS.c[name] for name in names), *kept).where(MONTHS.c.organization_id.between(first, last))
    both = line.union_all(month).subquery()
    keys = tuple(both.c[name] for name in names)
    debit, credit, count = (func.sum(both.c[name]) for name in ("debit", "credit", "lines"))
    drifted = select(*keys, func.abs(debit) + func.abs(credit), count).group_by(*keys)
    drifted = drifted.having(or_(debit != 0, credit != 0, count != 0))
    owner = (LINES.c.organization_id, LINES.c.currency)
    total = func.sum(LINES.c.amount)
    uneven = select(owner[0], literal(0), literal("*"), owner[1], total, literal(0))
    uneven = uneven.where(LINES.c.organization_id.between(first, last)).group_by(*owner).having(total != 0)
    rows = await connection.execute(drifted.union_all(uneven))
    return [Difference(int(one[0]), int(one[1]), one[2], one[3], int(one[4]), int(one[5])) for one in rows]


async def mend_months(connection: AsyncConnection, organization: int) -> None:
    """Make the totals of an organisation anew of its lines; in a transaction of the tables' owner."""
    if connection.dialect.name == "postgresql":
        # Whoever posts waits until it is done: a total that is added to what is deleted would be lost.
        await connection.execute(text("LOCK TABLE ledger_months IN SHARE ROW EXCLUSIVE MODE"))
    await connection.execute(MONTHS.delete().where(MONTHS.c.organization_id == organization))
    debit = func.sum(case((LINES.c.amount > 0, LINES.c.amount), else_=0))
    credit = func.sum(case((LINES.c.amount < 0, -LINES.c.amount), else_=0))
    keys = (LINES.c.day, LINES.c.account, LINES.c.currency)
    query = select(*keys, debit, credit, func.count()).where(LINES.c.organization_id == organization).group_by(*keys)
    sums: dict[tuple[int, str, str], list[int]] = {}
    for day, account, currency, *amounts in await connection.execute(query):
        total = sums.setdefault((month_of(day), account, currency), [0, 0, 0])
        for place, amount in enumerate(amounts):
            total[place] += int(amount)
    rows = [
        {"organization_id": organization, "month": month, "account": account, "currency": currency, "debit": debit_sum,
         "credit": credit_sum, "lines": lines}
        for (month, account, currency), (debit_sum, credit_sum, lines) in sums.items()
    ]  # fmt: skip
    if rows:
        await connection.execute(MONTHS.insert(), rows)
