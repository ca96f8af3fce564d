"""Lots: which purchase a sale ends, and what that made, exactly.

Every opening trade makes a lot, which holds the cash that it moved. A closing trade takes from lots by ``fifo``,
``lifo`` or ``average``, and what it moved itself is shared out over them by quantity. A share is always taken of what
is left, so nothing is lost to rounding: in each currency, and in the base currency,

    cash of all executions = profit of all closings + cash held by open lots

to the last cent. A short is the same with the signs turned. Fees are part of the cash.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, tzinfo
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final, Literal, NamedTuple, get_args

from tradesense.money import EXACT, ROUNDED, converted, digits, minor, share
from tradesense.rates import NO_RATES, RateSource
from tradesense.trades import QUANTITY_DIGITS, Trade, ordered

__all__ = ["METHODS", "Book", "Closing", "Earning", "Lot", "Method", "Position", "build_book"]

Method = Literal["fifo", "lifo", "average"]
METHODS: Final[tuple[Method, ...]] = get_args(Method)

_SCALE: Final = 10**QUANTITY_DIGITS


class Closing(NamedTuple):
    """A part of a lot that a later trade ended.

    :ivar day: on which it was closed. :ivar units: of 10^-10, with the sign of the position: negative where a short
        was bought back. :ivar pnl: in minor units of the trade's currency, fees included. :ivar base_pnl: the same in
        the base currency, each side at the rate of its own day, so what the currency itself did is in it; None when a
        rate is not known. :ivar basis: what had been put in: the cost of a purchase, the proceeds of a short; in minor
        units of the trade's currency, positive.
    """

    symbol: str
    currency: str
    account: str
    day: int
    units: int
    opened: Trade
    closed: Trade
    pnl: int
    base_pnl: int | None
    basis: int

    @property
    def quantity(self) -> Decimal:
        """How many were closed, negative for a short."""
        return Decimal(self.units).scaleb(-QUANTITY_DIGITS, context=ROUNDED)

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags of the trade that closed it and of the one that opened it, each once."""
        if not self.opened.tags:
            return self.closed.tags
        return tuple(dict.fromkeys((*self.closed.tags, *self.opened.tags)))


@dataclass(slots=True)
class Lot:
    """What is left of an opening trade.

    :ivar units: signed, in units of 10^-10. :ivar cash: what is left of the cash that it moved, negative for a
        purchase. :ivar known: whether a rate was known for it; ``base`` says nothing without.
    """

    trade: Trade
    units: int
    cash: int
    base: int
    known: bool = True

    @property
    def quantity(self) -> Decimal:
        """How many are left, negative for a short."""
        return Decimal(self.units).scaleb(-QUANTITY_DIGITS, context=ROUNDED)


class Earning(NamedTuple):
    """What came in or went out beside trades: dividends, interest, fees; in minor units of the base currency.

    :ivar base: None when no rate is known.
    """

    day: int
    kind: str
    symbol: str
    base: int | None


@dataclass(slots=True)
class Position:
    """What is held of one symbol in one account and currency, and how that came to be."""

    account: str
    symbol: str
    currency: str
    multiplier: Decimal
    lots: deque[Lot] = field(default_factory=deque)
    units: int = 0
    cash: int = 0
    base: int = 0
    #: By day, ascending: units held at its end and what is put into them in the base currency; the last price of a
    #: trade. And days with ratios of splits.
    marks: dict[int, tuple[int, int]] = field(default_factory=dict)
    prices: dict[int, Decimal] = field(default_factory=dict)
    splits: list[tuple[int, Decimal]] = field(default_factory=list)

    @property
    def quantity(self) -> Decimal:
        """How many are held, negative for a short."""
        return Decimal(self.units).scaleb(-QUANTITY_DIGITS, context=ROUNDED)

    @property
    def known_base(self) -> int | None:
        """The cash held by open lots in the base currency; None when a rate is not known."""
        return self.base if all(lot.known for lot in self.lots) else None


class Book:
    """All positions, closings and cash; feed it trades in order.

    :param method: which lot goes first. :param base: the currency of totals.
    :param rates: what other currencies are worth. :param zone: whose midnight ends a day; UTC by default.

    :ivar paid: what came in and went out by day, in minor units of the base currency.
    :ivar transferred: deposits and withdrawals likewise. :ivar days: on which something was traded.
    :ivar fees: of all trades in the base currency; None when a rate is not known.
    :ivar missing: pairs of currency and day that no rate was known for. What was in them is in no sum in the base
        currency, so from the first of these days on such sums say nothing.
    """

    def __init__(
        self, method: Method = "fifo", *, base: str = "USD", rates: RateSource = NO_RATES, zone: tzinfo | None = None
    ) -> None:
        self.method = method
        self.base = base
        self.zone = zone
        self.closings: list[Closing] = []
        self.positions: dict[tuple[str, str, str], Position] = {}
        self.paid: dict[int, int] = {}
        self.transferred: dict[int, int] = {}
        self.cash: dict[str, int] = {}
        self.earnings: list[Earning] = []
        self.days: set[int] = set()
        self.fees: int | None = 0
        self.missing: set[tuple[str, date]] = set()
        self._rates = rates
        self._factors: dict[tuple[str, int], Decimal | None] = {}
        self._base_digits = digits(base)

    def add(self, trade: Trade) -> None:
        """Book a trade; it must not be earlier than those before."""
        at = trade.at if self.zone is None else trade.at.astimezone(self.zone)
        day, currency, kind = at.toordinal(), trade.currency, trade.kind
        fee = minor(trade.fee, currency) if trade.fee else 0
        cash = -fee if kind == "split" else trade.cash_before_fee - fee
        same = currency == self.base
        base = cash if same else self.convert(cash, currency, day)
        if cash:
            self.cash[currency] = self.cash.get(currency, 0) + cash
            moved = self.transferred if kind in ("deposit", "withdrawal") else self.paid
            moved[day] = moved.get(day, 0) + (base or 0)
        if fee and kind != "split":
            paid = fee if same else self.convert(fee, currency, day)
            self.fees = None if self.fees is None or paid is None else self.fees - paid
        if kind in ("buy", "sell"):
            self._execute(trade, day, cash, base)
        elif kind in ("deposit", "withdrawal"):
            if fee:
                # What the transfer cost is no transfer.
                self._earn(trade, day, self._fee_of_transfer(fee, currency, day))
        else:
            if kind == "split":
                self._split(trade, day)
            self._earn(trade, day, base)

    def convert(self, units: int, currency: str, day: int) -> int | None:
        """Return minor units of a currency as minor units of the base, at the rate of a day; None without a rate."""
        if currency == self.base or not units:
            return units
        factor = self.factor(currency, day)
        if factor is None:
            return None
        return converted(units, factor)

    def factor(self, currency: str, day: int) -> Decimal | None:
        """Return what turns minor units of a currency into those of the base on a day; None when no rate is known."""
        factor = self.look_up(currency, day)
        if factor is None:
            self.missing.add((currency, date.fromordinal(day)))
        return factor

    def look_up(self, currency: str, day: int) -> Decimal | None:
        """Return the same for who may not need it: where there is none, nothing is missing yet."""
        key = (currency, day)
        if key not in self._factors:
            rate = self._rates.rate(currency, self.base, date.fromordinal(day))
            if rate is not None:
                rate = rate.scaleb(self._base_digits - digits(currency), context=ROUNDED)
            self._factors[key] = rate
        return self._factors[key]

    def _fee_of_transfer(self, fee: int, currency: str, day: int) -> int | None:
        """Book the fee of a transfer, which is in the move already, apart from it; return it as it is earned."""
        paid = self.convert(-fee, currency, day)
        if paid is None:
            return None
        self.transferred[day] -= paid
        self.paid[day] = self.paid.get(day, 0) + paid
        return paid

    def _earn(self, trade: Trade, day: int, base: int | None) -> None:
        if base != 0:
            kind = trade.kind if trade.kind in ("dividend", "interest") else "fee"
            self.earnings.append(Earning(day, kind, trade.symbol, base))

    def _position(self, trade: Trade) -> Position:
        key = (trade.account, trade.symbol, trade.currency)
        position = self.positions.get(key)
        if position is None:
            position = self.positions[key] = Position(trade.account, trade.symbol, trade.currency, trade.multiplier)
        return position

    def _execute(self, trade: Trade, day: int, cash: int, in_base: int | None) -> None:
        self.days.add(day)
        position = self._position(trade)
        units = int(trade.quantity.scaleb(QUANTITY_DIGITS, context=EXACT))
        signed = units if trade.kind == "buy" else -units
        left = signed
        known, base = in_base is not None, in_base or 0
        if position.units and (position.units > 0) != (signed > 0):
            left, cash, base = self._close(position, trade, day, signed, cash, base, known)
        if left:
            self._open(position, Lot(trade, left, cash, base, known))
        position.prices[day] = trade.price
        position.marks[day] = (position.units, abs(position.base))

    def _open(self, position: Position, lot: Lot) -> None:
        position.units += lot.units
        position.cash += lot.cash
        position.base += lot.base
        if self.method == "average" and position.lots:
            pool = position.lots[0]
            pool.units += lot.units
            pool.cash += lot.cash
            pool.base += lot.base
            pool.known = pool.known and lot.known
        else:
            position.lots.append(lot)

    def _close(
        self, position: Position, trade: Trade, day: int, signed: int, cash: int, base: int, known: bool
    ) -> tuple[int, int, int]:
        """End lots with a trade; return what is left of its units and its cash, to open a position the other way."""
        lots, last = position.lots, -1 if self.method == "lifo" else 0
        same = position.currency == self.base
        left = abs(signed)
        while left and lots:
            lot = lots[last]
            held = abs(lot.units)
            part = min(held, left)
            own, its = share(cash, part, left), share(lot.cash, part, held)
            own_base, its_base = (own, its) if same else (share(base, part, left), share(lot.base, part, held))
            taken = part if lot.units > 0 else -part
            self.closings.append(
                Closing(trade.symbol, trade.currency, trade.account, day, taken, lot.trade, trade,
                        own + its, own_base + its_base if known and lot.known else None, abs(its))
            )  # fmt: skip
            left -= part
            cash -= own
            base -= own_base
            lot.units -= taken
            lot.cash -= its
            lot.base -= its_base
            position.units -= taken
            position.cash -= its
            position.base -= its_base
            if not lot.units:
                lots.pop() if last else lots.popleft()
        return (left if signed > 0 else -left), cash, base

    def _split(self, trade: Trade, day: int) -> None:
        """Turn each old share into ``quantity`` new ones, in the trade's account, or in all when it names none."""
        for position in self.positions.values():
            if position.symbol != trade.symbol or trade.account not in ("", position.account):
                continue
            position.splits.append((day, trade.quantity))
            if not position.units:
                continue
            # Shares of the rounded total, so that the lots are what is held.
            whole, total = position.units, _scaled(position.units, trade.quantity)
            for lot in position.lots:
                part = share(total, lot.units, whole)
                whole -= lot.units
                total -= part
                lot.units = part
            position.units = sum(lot.units for lot in position.lots)
            position.marks[day] = (position.units, abs(position.base))


def build_book(
    trades: Iterable[Trade],
    method: Method = "fifo",
    *,
    base: str = "USD",
    rates: RateSource = NO_RATES,
    zone: tzinfo | None = None,
    until: datetime | None = None,
) -> Book:
    """Return the book of trades in any order, up to a moment."""
    book = Book(method, base=base, rates=rates, zone=zone)
    for trade in ordered(trades):
        if until is not None and trade.at > until:
            break
        book.add(trade)
    return book


def _scaled(units: int, ratio: Decimal) -> int:
    return int(ROUNDED.multiply(Decimal(units), ratio).to_integral_value(ROUND_HALF_EVEN, ROUNDED))
