"""What is held now, and what it is worth."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final, Literal, NamedTuple

from tradesense.lots import Book, Position
from tradesense.money import EXACT, amount, minor, total
from tradesense.prices import NO_PRICES, Prices

__all__ = ["Holding", "Portfolio", "Quote", "last_price", "portfolio"]

PricedBy = Literal["quote", "close", "trade"]
_PLACES: Final = Decimal("0.000001")


class Quote(NamedTuple):
    """A live price."""

    symbol: str
    currency: str
    price: Decimal


class Holding(NamedTuple):
    """A position and its worth; amounts are minor units of its currency, those of ``base_`` of the base currency.

    :ivar cost: what was put in: paid for a purchase, received for a short. :ivar value: what it would bring now,
        negative for a short. :ivar priced_by: a live quote, a closing price, or for want of both the last trade.
        :ivar base_value: None, as all that is in the base currency, when a rate is not known.
    """

    account: str
    symbol: str
    currency: str
    quantity: Decimal
    average_price: Decimal
    cost: int
    price: Decimal
    priced_by: PricedBy
    priced_on: date
    value: int
    unrealised: int
    base_cost: int | None
    base_value: int | None
    base_unrealised: int | None


@dataclass(frozen=True, slots=True)
class Portfolio:
    """All that is held, and sums in minor units of the base currency; None when one of a sum is not known."""

    base: str
    holdings: tuple[Holding, ...]
    cost: int | None
    value: int | None
    unrealised: int | None

    @property
    def complete(self) -> bool:
        """Whether all that is held could be converted to the base currency."""
        return None not in (self.cost, self.value, self.unrealised)

    @property
    def unconverted(self) -> frozenset[str]:
        """The currencies of what could not be."""
        return frozenset(one.currency for one in self.holdings if one.base_unrealised is None)


def portfolio(
    book: Book, prices: Prices = NO_PRICES, *, day: date, quotes: Mapping[tuple[str, str], Decimal] | None = None
) -> Portfolio:
    """Value the open positions of a book at the end of a day, or now by quotes.

    :param quotes: live prices by symbol and currency; they go before closing prices.
    """
    ordinal = day.toordinal()
    holdings = tuple(
        _holding(book, position, prices, ordinal, quotes or {}) for position in _open(book.positions.values())
    )
    return Portfolio(
        book.base,
        holdings,
        total(one.base_cost for one in holdings),
        total(one.base_value for one in holdings),
        total(one.base_unrealised for one in holdings),
    )


def last_price(position: Position, prices: Prices, day: int) -> tuple[int, Decimal, PricedBy]:
    """Return the latest known price of a position until a day, as shares are now: splits since then are in it."""
    traded = next(
        ((when, price) for when, price in reversed(position.prices.items()) if when <= day), (day, Decimal(0))
    )
    found = traded
    by: PricedBy = "trade"
    close = prices.close(position.symbol, position.currency, day)
    if close is not None and close[0] >= traded[0]:
        found, by = close, "close"
    when, price = found
    for split_day, ratio in position.splits:
        if when < split_day <= day:
            price = price / ratio
    return when, price, by


def _open(positions: Iterable[Position]) -> Iterable[Position]:
    return (position for position in positions if position.units)


def _holding(
    book: Book, position: Position, prices: Prices, day: int, quotes: Mapping[tuple[str, str], Decimal]
) -> Holding:
    when, price, by = last_price(position, prices, day)
    if (quote := quotes.get((position.symbol, position.currency))) is not None:
        when, price, by = day, quote, "quote"
    quantity = position.quantity
    each = EXACT.multiply(quantity, position.multiplier)
    value = minor(EXACT.multiply(each, price), position.currency)
    base_value = book.convert(value, position.currency, day)
    base = position.known_base
    average = -amount(position.cash, position.currency) / each
    return Holding(
        position.account, position.symbol, position.currency, quantity, average.quantize(_PLACES).normalize(),
        abs(position.cash), price, by, date.fromordinal(when), value, value + position.cash,
        None if base is None else abs(base), base_value,
        None if base is None or base_value is None else base_value + base,
    )  # fmt: skip
