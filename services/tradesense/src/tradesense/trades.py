"""Trades: what was bought and sold, and the cash that came and went otherwise."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final, Literal, NamedTuple, get_args

from bedplate.problems import BedplateError
from tradesense.money import EXACT, is_currency, minor, shown

__all__ = ["CASH_KINDS", "KINDS", "BadTrade", "Kind", "Trade", "check", "ordered"]

Kind = Literal["buy", "sell", "split", "dividend", "interest", "fee", "deposit", "withdrawal"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
#: Kinds whose amount is price times quantity and which move no position.
CASH_KINDS: Final = frozenset({"dividend", "interest", "fee", "deposit", "withdrawal"})
#: What comes in; interest may be negative.
_INCOMING: Final = frozenset({"sell", "dividend", "interest", "deposit"})

_ONE: Final = Decimal(1)
_ZERO: Final = Decimal(0)
#: Digits after the point that a quantity may have.
QUANTITY_DIGITS: Final = 10
_MOST: Final = Decimal(10) ** 15


class BadTrade(BedplateError, ValueError):
    """A trade that cannot be, with its mend.

    :ivar field: the member of :class:`Trade` that is wrong.
    """

    def __init__(self, field: str, what: str, mend: str) -> None:
        super().__init__(what, mend)
        self.field = field


class Trade(NamedTuple):
    """One line of a broker's statement.

    :param kind: what happened. ``buy`` also covers a short, ``sell`` also opens one.
    :param quantity: shares, contracts, coins; positive. Of a split, how many new ones there are for one old one.
    :param price: of one, in ``currency``. Of kinds that are cash alone, the amount, with a quantity of 1.
    :param fee: commissions, fees and taxes in the same currency; negative for a rebate.
    :param multiplier: of a contract: 100 for most options.
    :param broker_id: what the broker calls it, if it is unique there; see :mod:`tradesense.importing.twins`.
    """

    kind: Kind
    at: datetime
    symbol: str = ""
    quantity: Decimal = _ONE
    price: Decimal = _ZERO
    fee: Decimal = _ZERO
    currency: str = "USD"
    multiplier: Decimal = _ONE
    account: str = ""
    broker_id: str = ""
    tags: tuple[str, ...] = ()
    note: str = ""
    id: str = ""

    @property
    def is_execution(self) -> bool:
        """Whether it is a purchase or a sale."""
        return self.kind in ("buy", "sell")

    @property
    def cash_before_fee(self) -> int:
        """What it did to the cash account without its fee, in minor units: negative where money went out."""
        if self.kind == "split":
            return 0
        product = EXACT.multiply(self.quantity, self.price)
        if self.multiplier != _ONE:
            product = EXACT.multiply(product, self.multiplier)
        gross = minor(product, self.currency)
        return gross if self.kind in _INCOMING else -gross

    @property
    def cash(self) -> int:
        """What it did to the cash account, fee included."""
        return self.cash_before_fee - minor(self.fee, self.currency)

    def fingerprint(self) -> str:
        """Return what two reports of the same trade have in common, as 32 hexadecimal digits.

        Genuine twins have the same one, too. The fee is not in it: brokers settle it later.
        """
        told = (self.account, self.kind, self.symbol, self.at.astimezone(UTC).isoformat(), shown(self.quantity),
                shown(self.price), self.currency)  # fmt: skip
        return hashlib.blake2b("\x1f".join(told).encode(), digest_size=16).hexdigest()


def ordered(trades: Iterable[Trade]) -> list[Trade]:
    """Return trades as they happened; those of one moment in the order given, splits first."""
    return sorted(trades, key=lambda trade: (trade.at, trade.kind != "split"))


def check(trade: Trade) -> Trade:
    """Return the trade if it can be.

    :raises BadTrade: when a member is not possible, with what to do.
    """
    if trade.kind not in KINDS:
        raise BadTrade("kind", f"{trade.kind!r} is no kind of trade.", f"It is one of {', '.join(KINDS)}.")
    if trade.at.tzinfo is None or not 1970 <= trade.at.year <= 2200:
        raise BadTrade("at", f"The time {trade.at} cannot be.", "Give one with a zone, from 1970 on.")
    if not is_currency(trade.currency):
        raise BadTrade("currency", f"{trade.currency!r} is no currency.", "Give its code, such as EUR.")
    if trade.kind not in CASH_KINDS and not trade.symbol:
        raise BadTrade("symbol", f"A {trade.kind} without a symbol.", "Say what was traded.")
    if len(trade.symbol) > 64 or len(trade.account) > 64 or len(trade.broker_id) > 128:
        raise BadTrade("symbol", "A symbol, account or id is too long.", "Use at most 64 letters (ids: 128).")
    _check_number("quantity", trade.quantity, QUANTITY_DIGITS)
    for name, value in (("price", trade.price), ("fee", trade.fee), ("multiplier", trade.multiplier)):
        _check_number(name, value, 12)
    if trade.quantity <= 0 or trade.multiplier <= 0:
        raise BadTrade(
            "quantity", f"A quantity of {trade.quantity} cannot be.", "Give a positive one; say buy or sell."
        )
    if trade.price < 0 and trade.kind not in ("interest", "buy", "sell"):
        raise BadTrade("price", f"A {trade.kind} of {trade.price} cannot be.", "Give a positive amount.")
    return trade


def _check_number(name: str, value: Decimal, places: int) -> None:
    if not value.is_finite() or abs(value) >= _MOST:
        raise BadTrade(name, f"The {name} {value} cannot be.", "Give a number below 10^15.")
    exponent = value.normalize().as_tuple().exponent
    if isinstance(exponent, int) and exponent < -places:
        raise BadTrade(name, f"The {name} {value} has too many digits.", f"Give at most {places} after the point.")
