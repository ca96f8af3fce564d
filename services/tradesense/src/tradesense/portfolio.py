"""What is held now, and what it is worth: at the end of a day by closing prices and trades, now by quotes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final, Literal, NamedTuple

from tradesense.lots import Book, Position
from tradesense.money import EXACT, amount, converted, minor, total
from tradesense.prices import NO_PRICES, Prices

__all__ = ["Holding", "Portfolio", "from_text", "last_price", "portfolio", "quoted", "to_text"]

PricedBy = Literal["quote", "close", "trade"]
_PLACES: Final = Decimal("0.000001")


class Holding(NamedTuple):
    """A position and its worth; amounts are minor units of its currency, those of ``base_`` of the base currency.

    :ivar cost: what was put in: paid for a purchase, received for a short. :ivar value: what it would bring now,
        negative for a short. :ivar priced_by: a live quote, a closing price, or for want of both the last trade.
        :ivar multiplier: of a contract. :ivar factor: what turns minor units of its currency into those of the base;
        None when no rate is known. :ivar base_value: None, as all that is in the base currency, without a rate.
    """

    account: str
    symbol: str
    currency: str
    quantity: Decimal
    multiplier: Decimal
    factor: Decimal | None
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
    holdings = tuple(_holding(book, position, prices, ordinal) for position in _open(book.positions.values()))
    if quotes:
        return quoted(_summed(book.base, holdings), quotes, day)
    return _summed(book.base, holdings)


def quoted(held: Portfolio, quotes: Mapping[tuple[str, str], Decimal], day: date) -> Portfolio:
    """Value a portfolio by the quotes of what is in it; what has none stays as it is.

    :param day: which quotes are of.
    """
    return _summed(
        held.base,
        tuple(
            one if (price := quotes.get((one.symbol, one.currency))) is None else _quoted(one, price, day)
            for one in held.holdings
        ),
    )


def to_text(held: Portfolio) -> str:
    """Return a portfolio as JSON, for :func:`from_text`."""
    return json.dumps({"base": held.base, "holdings": [[*one] for one in held.holdings]}, default=str)


def from_text(text: str) -> Portfolio:
    """Return what :func:`to_text` was given."""
    found = json.loads(text)
    return _summed(found["base"], tuple(_read(one) for one in found["holdings"]))


def _read(values: list[Any]) -> Holding:
    one = Holding(*values)
    return one._replace(
        quantity=Decimal(one.quantity), multiplier=Decimal(one.multiplier),
        factor=None if one.factor is None else Decimal(one.factor), average_price=Decimal(one.average_price),
        price=Decimal(one.price), priced_on=date.fromisoformat(str(one.priced_on)),
    )  # fmt: skip


def _summed(base: str, holdings: tuple[Holding, ...]) -> Portfolio:
    return Portfolio(
        base,
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


def _quoted(one: Holding, price: Decimal, day: date) -> Holding:
    value = minor(EXACT.multiply(EXACT.multiply(one.quantity, one.multiplier), price), one.currency)
    base_value = None if one.factor is None else converted(value, one.factor)
    base = None if one.base_unrealised is None or one.base_value is None else one.base_unrealised - one.base_value
    return one._replace(
        price=price, priced_by="quote", priced_on=day, value=value, unrealised=one.unrealised - one.value + value,
        base_value=base_value, base_unrealised=None if base is None or base_value is None else base_value + base,
    )  # fmt: skip


def _open(positions: Iterable[Position]) -> Iterable[Position]:
    return (position for position in positions if position.units)


def _holding(book: Book, position: Position, prices: Prices, day: int) -> Holding:
    when, price, by = last_price(position, prices, day)
    quantity = position.quantity
    each = EXACT.multiply(quantity, position.multiplier)
    value = minor(EXACT.multiply(each, price), position.currency)
    base_value = book.convert(value, position.currency, day)
    factor = Decimal(1) if position.currency == book.base else book.factor(position.currency, day)
    base = position.known_base
    average = -amount(position.cash, position.currency) / each
    return Holding(
        position.account, position.symbol, position.currency, quantity, position.multiplier, factor,
        average.quantize(_PLACES).normalize(),
        abs(position.cash), price, by, date.fromordinal(when), value, value + position.cash,
        None if base is None else abs(base), base_value,
        None if base is None or base_value is None else base_value + base,
    )  # fmt: skip
