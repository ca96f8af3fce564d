"""What is told of an organisation's books, as JSON-able data: balances, trial balance, summaries, reports.

Amounts are decimal text, in the sense in which accounts of their kind grow: revenue and what is owed are positive on
the credit side. Currencies are never added up.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date
from typing import Any

from ledger.chart import Account
from ledger.money import shown
from ledger.records.totals import MonthTotal, Total

__all__ = ["balances", "monthly", "summary", "trial_balance", "yearly"]

Totals = Mapping[tuple[str, str], Total]


def balances(accounts: Sequence[Account], totals: Totals) -> dict[str, Any]:
    """Return the balance of every account, and what was earned and spent in all."""
    return {"accounts": _accounts(accounts, totals, every=True), "currencies": _results(accounts, totals)}


def trial_balance(accounts: Sequence[Account], totals: Totals) -> dict[str, Any]:
    """Return all accounts on their side, and that both sides are equal in each currency."""
    sides: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    rows = []
    names = {account.code: account.name for account in accounts}
    for (code, currency), total in sorted(totals.items()):
        net = total.debit - total.credit
        sides[currency][net < 0] += abs(net)
        rows.append(
            {
                "account": code,
                "name": names.get(code, ""),
                "currency": currency,
                "debit": shown(max(net, 0), currency),
                "credit": shown(max(-net, 0), currency),
            }
        )
    return {
        "accounts": rows,
        "currencies": {
            currency: {
                "debit": shown(debit, currency),
                "credit": shown(credit, currency),
                "difference": shown(debit - credit, currency),
            }
            for currency, (debit, credit) in sorted(sides.items())
        },
        "balanced": all(debit == credit for debit, credit in sides.values()),
    }


def summary(accounts: Sequence[Account], totals: Totals, since: date, until: date) -> dict[str, Any]:
    """Return revenue, expenses and profit of some days, in all and by account."""
    chosen = [account for account in accounts if account.kind in ("revenue", "expense")]
    return {
        "since": since.isoformat(),
        "until": until.isoformat(),
        "currencies": _results(chosen, totals),
        "accounts": _accounts(chosen, totals, every=False),
    }


def monthly(accounts: Sequence[Account], within: Totals, closing: Totals, month: int) -> dict[str, Any]:
    """Return what a month brought, and what balances were at its end.

    :param within: totals of the month. :param closing: of all that was until its end.
    """
    chosen = [account for account in accounts if account.kind in ("revenue", "expense")]
    held = [account for account in accounts if account.kind not in ("revenue", "expense")]
    return {
        "month": _named(month),
        "currencies": _results(chosen, within),
        "accounts": _accounts(chosen, within, every=False),
        "closing": _accounts(held, closing, every=False),
    }


def yearly(accounts: Sequence[Account], totals: Iterable[MonthTotal], year: int) -> dict[str, Any]:
    """Return a year's revenue, expenses and profit, month by month, by account and in all.

    :param totals: of its months.
    """
    by_month: dict[int, dict[tuple[str, str], Total]] = defaultdict(dict)
    whole: dict[tuple[str, str], Total] = {}
    for one in totals:
        _add(by_month[one.month], one)
        _add(whole, one)
    chosen = [account for account in accounts if account.kind in ("revenue", "expense")]
    return {
        "year": year,
        "currencies": _results(chosen, whole),
        "months": [
            {"month": _named(month), "currencies": _results(chosen, by_month[month])}
            for month in range(year * 100 + 1, year * 100 + 13)
            if month in by_month
        ],
        "accounts": _accounts(chosen, whole, every=False),
    }


def _add(found: dict[tuple[str, str], Total], one: MonthTotal) -> None:
    known = found.get((one.account, one.currency), Total(one.account, one.currency, 0, 0))
    found[one.account, one.currency] = known._replace(debit=known.debit + one.debit, credit=known.credit + one.credit)


def _accounts(accounts: Sequence[Account], totals: Totals, *, every: bool) -> list[dict[str, Any]]:
    """Return accounts with their balance in each currency; only those that have one, unless every."""
    found: dict[str, list[Total]] = defaultdict(list)
    for _, total in sorted(totals.items()):
        found[total.account].append(total)
    return [
        {
            "account": account.code,
            "name": account.name,
            "kind": account.kind,
            "balances": {one.currency: shown(_grown(account, one), one.currency) for one in found[account.code]},
        }
        for account in accounts
        if every or account.code in found
    ]


def _results(accounts: Collection[Account], totals: Totals) -> dict[str, Any]:
    """Return revenue, expenses and profit in each currency."""
    kinds = {account.code: account for account in accounts}
    sums: dict[str, dict[str, int]] = defaultdict(lambda: {"revenue": 0, "expense": 0})
    for (code, currency), total in totals.items():
        account = kinds.get(code)
        if account is not None and account.kind in ("revenue", "expense"):
            sums[currency][account.kind] += _grown(account, total)
    return {
        currency: {
            "revenue": shown(found["revenue"], currency),
            "expenses": shown(found["expense"], currency),
            "profit": shown(found["revenue"] - found["expense"], currency),
        }
        for currency, found in sorted(sums.items())
    }


def _grown(account: Account, total: Total) -> int:
    net = total.debit - total.credit
    return net if account.kind in ("asset", "expense") else -net


def _named(month: int) -> str:
    return f"{month // 100:04d}-{month % 100:02d}"
