"""What the account was worth, day by day.

Whose money it is decides what a return is a share of. Deposits and withdrawals that were recorded say so; else a stated
capital does; else it is implied: whatever had to be there to pay for what was bought, and as much as was received as
the margin of what was sold short.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tradesense.lots import Book, Position
from tradesense.money import digits
from tradesense.prices import NO_PRICES, Prices
from tradesense.trades import QUANTITY_DIGITS

__all__ = ["Equity", "equity"]

Funding = Literal["recorded", "stated", "implied"]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Equity:
    """Daily series; money in minor units of the base currency.

    :ivar known: how many of the days say something: what is not known of a day, for want of a rate, is not known of any
        later one, and the series have no meaning there.
    :ivar days: ordinals; weekdays alone unless something was traded at a weekend. :ivar periods: days a year has then.
    :ivar flows: what came from outside on each day. :ivar worth: of cash and positions together at the end of it.
    :ivar invested: what was put into the positions that were open. :ivar returns: of each day, time-weighted: what came
        on a day is there from its start.
    """

    days: Ints
    periods: float
    funding: Funding
    flows: Ints
    worth: Floats
    invested: Ints
    returns: Floats
    known: int

    @property
    def complete(self) -> bool:
        """Whether all days are known."""
        return self.known == self.days.size


def equity(book: Book, prices: Prices = NO_PRICES, *, until: int, capital: int = 0) -> Equity:
    """Return the series of a book up to a day.

    :param until: an ordinal. :param capital: minor units that were there at the start, besides recorded deposits.
    """
    days, periods = _grid(book, until)
    count = days.size
    flows, cash = np.zeros(count, np.int64), np.zeros(count, np.int64)
    last = count - 1
    for moved, into in ((book.transferred, flows), (book.paid, cash)):
        if moved and count:
            np.add.at(into, np.minimum(np.searchsorted(days, list(moved)), last), list(moved.values()))
    cash = np.cumsum(cash)
    value, invested, short = np.zeros(count), np.zeros(count, np.int64), np.zeros(count, np.int64)
    factors: dict[str, Floats] = {}
    for position in book.positions.values():
        if position.marks and count:
            _add_position(book, position, prices, days, factors, value, invested, short)
    deposited = flows.any() or (book.missing and book.transferred)
    funding: Funding = "recorded" if deposited else "stated" if capital else "implied"
    if count:
        flows[0] += capital
    if funding == "implied":
        needed = np.maximum.accumulate(np.maximum(2 * short - cash, 0)) if count else cash
        flows = np.diff(needed, prepend=0)
    worth = np.cumsum(flows) + cash + value
    unknown = min((day.toordinal() for _, day in book.missing), default=until + 1)
    known = int(np.searchsorted(days, unknown))
    return Equity(days, periods, funding, flows, worth, invested, _returns(worth, flows), known)


def _grid(book: Book, until: int) -> tuple[Ints, float]:
    seen = [*book.days, *book.paid, *book.transferred]
    if not seen or min(seen) > until:
        return np.zeros(0, np.int64), 252.0
    days = np.arange(min(seen), until + 1, dtype=np.int64)
    # The ordinal 1 was a Monday.
    if any(day % 7 in (6, 0) for day in book.days):
        return days, 365.0
    weekdays = days[(days % 7 != 6) & (days % 7 != 0)]
    return (weekdays, 252.0) if weekdays.size else (days, 365.0)


def _add_position(
    book: Book, position: Position, prices: Prices, days: Ints, factors: dict[str, Floats],
    value: Floats, invested: Ints, short: Ints,
) -> None:  # fmt: skip
    """Add a position to the sums, from its first day on."""
    start = int(np.searchsorted(days, next(iter(position.marks))))
    if start >= days.size:
        return
    mine = days[start:]
    at = np.searchsorted(list(position.marks), mine, "right")
    marked = np.array([(0, 0), *position.marks.values()], dtype=np.int64)[at]
    units, held = marked[:, 0].astype(np.float64), marked[:, 1]
    known, observed = _observed(position, prices)
    price = observed[np.maximum(np.searchsorted(known, mine, "right") - 1, 0)]
    each = float(position.multiplier) * 10.0 ** (digits(position.currency) - QUANTITY_DIGITS)
    worth = units * price * each
    if position.currency != book.base:
        factor = _factor(book, position.currency, days, factors)[start:]
        for day in mine[np.isnan(factor) & (units != 0)]:
            book.factor(position.currency, int(day))  # which notes that it is missing
        worth *= np.nan_to_num(factor)
    value[start:] += worth
    invested[start:] += held
    short[start:] += np.where(units < 0, held, 0)


def _observed(position: Position, prices: Prices) -> tuple[Ints, Floats]:
    """Return days and the prices known on them: of trades, of closes, which go before, and after splits."""
    days, closes = prices.series(position.symbol, position.currency)
    known = np.array([*position.prices, *days], dtype=np.int64)
    observed = np.array([float(price) for price in (*position.prices.values(), *closes)])
    order = np.argsort(known, kind="stable")
    known, observed = known[order], observed[order]
    return _split(position, known, observed) if position.splits else (known, observed)


def _split(position: Position, known: Ints, observed: Floats) -> tuple[Ints, Floats]:
    """Add what the last price from before each split is after it."""
    for day, ratio in position.splits:
        place = int(np.searchsorted(known, day))
        if place:
            known = np.insert(known, place, day)
            observed = np.insert(observed, place, observed[place - 1] / float(ratio))
    return known, observed


def _factor(book: Book, currency: str, days: Ints, factors: dict[str, Floats]) -> Floats:
    if currency not in factors:
        factors[currency] = np.array(
            [math.nan if (found := book.look_up(currency, int(day))) is None else float(found) for day in days]
        )
    return factors[currency]


def _returns(worth: Floats, flows: Ints) -> Floats:
    before = np.concatenate(([0.0], worth[:-1])) + flows
    # What is left after days without any money in the account is noise of sums.
    return np.divide(worth - before, before, out=np.zeros_like(worth), where=before > 0.5)
