"""How well it went: one analysis of all trades, in the base currency.

What counts as a trade here is an execution that closes something: its profit is that of all lots that it ended, fees
included, so that the profits of trades add up to the realised profit, by day, by symbol, and in all.

Three returns answer three questions, and are told apart by name:

- ``twr``, time-weighted: how well was it traded, whenever money came or went? Daily returns, linked.
- ``xirr``, money-weighted: at which yearly rate did the money that was put in grow?
- ``roai``, on the average investment: profit over what was on average put into open positions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from tradesense.analytics import ratios
from tradesense.analytics.equity import Equity, equity
from tradesense.analytics.xirr import xirr
from tradesense.lots import Book, Closing, Method, build_book
from tradesense.money import amount, digits, shown, total
from tradesense.portfolio import Portfolio, portfolio
from tradesense.prices import NO_PRICES, Prices
from tradesense.rates import NO_RATES, RateSource
from tradesense.trades import Trade

__all__ = ["Analysis", "ClosedTrade", "Outcomes", "Returns", "analyse", "rate_notes"]


class ClosedTrade(NamedTuple):
    """An execution that closed something; money in minor units of the base currency.

    :ivar pnl: None when a rate is not known. :ivar days: how long what it closed had been held, weighted by what was
        put in.
    """

    trade: Trade
    day: int
    pnl: int | None
    days: float
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Wins and losses of closed trades; money in minor units of the base currency.

    What depends on a profit that is not known, for want of a rate, is None: whoever wins in one currency may lose in
    another.

    :ivar expectancy: profit of an average trade. :ivar profit_factor: what was won over what was lost.
    """

    trades: int
    winners: int | None
    losers: int | None
    won: int | None
    lost: int | None
    best: int | None
    worst: int | None
    days_held: float | None

    @property
    def profit(self) -> int | None:
        """What all of them made."""
        return None if self.won is None or self.lost is None else self.won - self.lost

    @property
    def win_rate(self) -> float | None:
        """Winners over all, those that ended even among them."""
        return self.winners / self.trades if self.trades and self.winners is not None else None

    @property
    def expectancy(self) -> int | None:
        """Profit of an average trade."""
        return round(self.profit / self.trades) if self.trades and self.profit is not None else None

    @property
    def profit_factor(self) -> float | None:
        """Won over lost; None without a loss."""
        return self.won / self.lost if self.lost and self.won is not None else None

    @classmethod
    def of(cls, trades: Sequence[ClosedTrade]) -> Outcomes:
        """Count trades."""
        held = sum(one.days for one in trades) / len(trades) if trades else None
        profits = [one.pnl for one in trades if one.pnl is not None]
        if len(profits) < len(trades):
            return cls(len(trades), None, None, None, None, None, None, held)
        wins = [one for one in profits if one > 0]
        losses = [-one for one in profits if one < 0]
        return cls(
            len(trades), len(wins), len(losses), sum(wins), sum(losses), max(wins, default=0), -max(losses, default=0),
            held,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Returns:
    """The three returns, each a share; None where there is no answer."""

    twr: float | None
    twr_annual: float | None
    xirr: float | None
    roai: float | None
    average_investment: int | None


@dataclass(frozen=True, slots=True)
class Analysis:
    """Everything that one look at all trades gives."""

    book: Book
    prices: Prices
    trades: int
    until: date
    closed: tuple[ClosedTrade, ...]
    outcomes: Outcomes
    portfolio: Portfolio
    equity: Equity
    returns: Returns

    @property
    def complete(self) -> bool:
        """Whether all could be converted to the base currency; what could not be is None."""
        return not self.book.missing

    @property
    def realised(self) -> int | None:
        """Profit of what was closed, in minor units of the base currency."""
        return self.outcomes.profit

    @property
    def earned(self) -> int | None:
        """Dividends, interest and fees that belong to no trade."""
        return total(one.base for one in self.book.earnings)

    @property
    def profit(self) -> int | None:
        """Realised, unrealised and earned together."""
        return total((self.realised, self.portfolio.unrealised, self.earned))

    def document(self) -> dict[str, Any]:
        """Return it as JSON-able data: money as decimal strings, shares and ratios as numbers."""
        base = self.book.base

        def money(units: int | None) -> str | None:
            return None if units is None else shown(amount(units, base))

        returns, fees = self.returns, self.book.fees
        return {
            "base": base,
            "complete": self.complete,
            "method": self.book.method,
            "until": self.until.isoformat(),
            "trades": self.trades,
            "profit": {
                "total": money(self.profit),
                "realised": money(self.realised),
                "unrealised": money(self.portfolio.unrealised),
                "earned": {kind: money(made) for kind, made in self._earned_by_kind().items()},
                "fees": money(None if fees is None else -fees),
            },
            "outcomes": _outcomes(self.outcomes, base),
            "returns": {
                "twr": returns.twr,
                "twr_annual": returns.twr_annual,
                "xirr": returns.xirr,
                "roai": returns.roai,
                "funding": self.equity.funding,
                "contributed": money(int(self.equity.flows.sum()) if self.equity.complete else None),
                "average_investment": money(returns.average_investment),
            },
            "risk": {
                **self._risk(),
                "days": int(self.equity.days.size),
                "days_a_year": self.equity.periods,
            },
            "by_day": [{"day": key, **_outcomes(value, base)} for key, value in self._grouped(_day).items()],
            "by_symbol": [{"symbol": key, **_outcomes(value, base)} for key, value in self._grouped(_symbol).items()],
            "by_tag": [{"tag": key, **_outcomes(value, base)} for key, value in self._grouped(_tags).items()],
            "notes": self._notes(),
        }

    def equity_document(self) -> dict[str, Any]:
        """Return the daily series as JSON-able data."""
        one = 10.0 ** -digits(self.book.base)
        known = self.equity.known
        unknown = [None] * (self.equity.days.size - known)
        worth, flows = self.equity.worth[:known], self.equity.flows[:known]
        return {
            "base": self.book.base,
            "complete": self.equity.complete,
            "funding": self.equity.funding,
            "days": [date.fromordinal(int(day)).isoformat() for day in self.equity.days],
            "worth": [*np.round(worth * one, digits(self.book.base)).tolist(), *unknown],
            "contributed": [*(shown(amount(int(units), self.book.base)) for units in np.cumsum(flows)), *unknown],
            "growth": [*ratios.growth(self.equity.returns[:known]).tolist(), *unknown],
            "notes": rate_notes(self.book),
        }

    def _risk(self) -> dict[str, Any]:
        series, periods = self.equity.returns, self.equity.periods
        if not self.equity.complete:
            return dict.fromkeys(("volatility", "sharpe", "sortino", "calmar", "max_drawdown"))
        return {
            "volatility": ratios.volatility(series, periods),
            "sharpe": ratios.sharpe(series, periods),
            "sortino": ratios.sortino(series, periods),
            "calmar": ratios.calmar(series, periods),
            "max_drawdown": self._drawdown(),
        }

    def _earned_by_kind(self) -> dict[str, int | None]:
        found: dict[str, int | None] = {}
        for one in self.book.earnings:
            found[one.kind] = total((found.get(one.kind, 0), one.base))
        return found

    def _grouped(self, keys: Any) -> dict[str, Outcomes]:
        groups: dict[str, list[ClosedTrade]] = {}
        for one in self.closed:
            for key in keys(one):
                groups.setdefault(key, []).append(one)
        return {key: Outcomes.of(groups[key]) for key in sorted(groups)}

    def _drawdown(self) -> dict[str, Any] | None:
        fall = ratios.drawdown(self.equity.returns)
        if fall is None:
            return None
        days = self.equity.days

        def day(place: int) -> str:
            return date.fromordinal(int(days[max(place, 0)])).isoformat()

        return {
            "depth": fall.depth,
            "from": day(fall.peak),
            "to": day(fall.trough),
            "recovered": None if fall.recovered is None else day(fall.recovered),
        }

    def _notes(self) -> list[str]:
        notes = rate_notes(self.book)
        unpriced = [one.symbol for one in self.portfolio.holdings if one.priced_by == "trade"]
        if unpriced:
            notes.append(f"Valued by their last trade for want of prices: {', '.join(sorted(unpriced)[:20])}.")
        return notes


def rate_notes(book: Book) -> list[str]:
    """Return one sentence on all rates that are missing; none when none is."""
    if not book.missing:
        return []
    currencies = ", ".join(sorted({currency for currency, _ in book.missing}))
    days = [day for _, day in book.missing]
    when = f"on {min(days)}" if min(days) == max(days) else f"from {min(days)} to {max(days)}"
    needed = f"No exchange rate to {book.base} is known for {currencies} {when}."
    return [f"{needed} What would need one is null. Upload rates, or choose another base currency."]


def analyse(
    trades: Iterable[Trade],
    *,
    method: Method = "fifo",
    base: str = "USD",
    rates: RateSource = NO_RATES,
    prices: Prices = NO_PRICES,
    capital: int = 0,
    zone: tzinfo | None = None,
    until: datetime,
) -> Analysis:
    """Analyse trades in any order, up to a moment.

    :param capital: minor units of the base currency that were there at the start.
    :param zone: whose midnight ends a day; UTC by default.
    """
    known = list(trades)
    book = build_book(known, method, base=base, rates=rates, zone=zone, until=until)
    last = until if zone is None else until.astimezone(zone)
    closed = tuple(_closed(book))
    holdings = portfolio(book, prices, day=last.date())
    series = equity(book, prices, until=last.toordinal(), capital=capital)
    outcomes = Outcomes.of(closed)
    profit = total((outcomes.profit, holdings.unrealised, *(one.base for one in book.earnings)))
    return Analysis(book, prices, len(known), last.date(), closed, outcomes, holdings, series, _returns(series, profit))


def _closed(book: Book) -> Iterable[ClosedTrade]:
    for _, group in groupby(book.closings, key=lambda closing: id(closing.closed)):
        yield _one_closed(list(group))


def _one_closed(closings: Sequence[Closing]) -> ClosedTrade:
    first = closings[0]
    trade = first.closed
    if len(closings) == 1:
        held = (trade.at - first.opened.at).total_seconds() / 86_400
        return ClosedTrade(trade, first.day, first.base_pnl, held, first.tags)
    tags, weight, seconds = dict.fromkeys(trade.tags), 0, 0.0
    pnl = total(closing.base_pnl for closing in closings)
    for closing in closings:
        weight += closing.basis
        seconds += (trade.at - closing.opened.at).total_seconds() * closing.basis
        if closing.opened.tags:
            tags.update(dict.fromkeys(closing.opened.tags))
    return ClosedTrade(trade, first.day, pnl, seconds / weight / 86_400 if weight else 0.0, tuple(tags))


def _returns(series: Equity, profit: int | None) -> Returns:
    if not series.complete:
        return Returns(None, None, None, None, None)
    if not series.days.size:
        return Returns(None, None, None, None, 0)
    # What is left at the end is as if it were paid out.
    days = np.concatenate((series.days[series.flows != 0], series.days[-1:]))
    flows = np.concatenate((-series.flows[series.flows != 0], series.worth[-1:]))
    invested = series.invested[series.invested > 0]
    average = round(float(invested.mean())) if invested.size else 0
    return Returns(
        ratios.total_return(series.returns),
        ratios.annual_return(series.returns, series.periods),
        xirr(days, flows),
        profit / average if average and profit is not None else None,
        average,
    )


def _outcomes(one: Outcomes, base: str) -> dict[str, Any]:
    def money(units: int | None) -> str | None:
        return None if units is None else shown(amount(units, base))

    return {
        "trades": one.trades,
        "profit": money(one.profit),
        "winners": one.winners,
        "losers": one.losers,
        "win_rate": one.win_rate,
        "won": money(one.won),
        "lost": money(one.lost),
        "expectancy": money(one.expectancy),
        "profit_factor": one.profit_factor,
        "best": money(one.best),
        "worst": money(one.worst),
        "days_held": one.days_held,
    }


def _day(one: ClosedTrade) -> tuple[str, ...]:
    return (date.fromordinal(one.day).isoformat(),)


def _symbol(one: ClosedTrade) -> tuple[str, ...]:
    return (one.trade.symbol,)


def _tags(one: ClosedTrade) -> tuple[str, ...]:
    return one.tags
