"""Prices by day: from a CSV file, or from anything with the same method."""

from __future__ import annotations

import csv
import io
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Final, NamedTuple

from bedplate.problems import BedplateError
from tradesense.money import is_currency, parse

__all__ = ["NO_PRICES", "BadPrices", "Price", "Prices", "read_prices"]

#: What the files of the usual sources call their columns.
_DAY: Final = ("date", "day", "timestamp", "time")
_CLOSE: Final = ("close", "price", "last", "close/last", "nav")
_SYMBOL: Final = ("symbol", "ticker", "isin")


class BadPrices(BedplateError, ValueError):
    """A file of prices, or a row of it, that cannot be used."""


class Price(NamedTuple):
    """What one of a symbol cost at the end of a day, as it was then: not adjusted for splits that came later."""

    symbol: str
    day: date
    close: Decimal
    currency: str


class Prices:
    """Closing prices of symbols, each in its currency."""

    def __init__(self, prices: Iterable[Price] = ()) -> None:
        found: dict[tuple[str, str], dict[int, Decimal]] = {}
        for symbol, day, close, currency in prices:
            found.setdefault((symbol, currency), {})[day.toordinal()] = close
        self._series: Mapping[tuple[str, str], tuple[Sequence[int], Sequence[Decimal]]] = {
            key: (days := sorted(closes), [closes[day] for day in days]) for key, closes in found.items()
        }

    def __len__(self) -> int:
        return sum(len(days) for days, _ in self._series.values())

    @property
    def symbols(self) -> frozenset[tuple[str, str]]:
        """Pairs of symbol and currency."""
        return frozenset(self._series)

    def series(self, symbol: str, currency: str) -> tuple[Sequence[int], Sequence[Decimal]]:
        """Return days as ordinals, ascending, and the closes on them; both empty when there are none."""
        return self._series.get((symbol, currency), ((), ()))

    def close(self, symbol: str, currency: str, day: int) -> tuple[int, Decimal] | None:
        """Return the last close until a day, with the day that it is of."""
        days, closes = self.series(symbol, currency)
        place = bisect_right(days, day)
        return (days[place - 1], closes[place - 1]) if place else None


NO_PRICES: Final = Prices()


def read_prices(text: str, *, symbol: str = "", currency: str = "USD") -> list[Price]:
    """Read closing prices from CSV: ``date, symbol, close`` and perhaps ``currency``; or one symbol's open, high, low.

    :param symbol: whose they are where no column says so. :param currency: the same.
    :raises BadPrices: when columns are missing, or a row cannot be read; it names the line.
    """
    rows = csv.reader(io.StringIO(text.lstrip("\ufeff")))
    header = [name.strip().lower() for name in next(rows, [])]
    day, close, whose = (next((header.index(n) for n in names if n in header), -1) for names in (_DAY, _CLOSE, _SYMBOL))
    money = header.index("currency") if "currency" in header else -1
    if day < 0 or close < 0 or (whose < 0 and not symbol):
        raise BadPrices(
            f"These columns are no prices: {', '.join(header) or 'none'}.",
            "Give date, symbol and close; or name the symbol in the request and give date and close.",
        )
    return [
        _price(row, rows.line_num, day, close, symbol if whose < 0 else row[whose].strip(),
               currency if money < 0 else row[money].strip().upper())
        for row in rows if any(row)
    ]  # fmt: skip


def _price(row: Sequence[str], line: int, day: int, close: int, symbol: str, currency: str) -> Price:
    try:
        when, value = date.fromisoformat(row[day].strip()[:10]), parse(row[close])
    except (ValueError, IndexError) as error:
        raise BadPrices(f"Line {line} cannot be read: {error}.", "Write days as 2025-01-31, prices as 12.50.") from None
    if value <= 0 or not is_currency(currency) or not symbol or len(symbol) > 64:
        raise BadPrices(f"Line {line}: {symbol!r} at {value} {currency!r} cannot be.", "Give symbol, price, currency.")
    return Price(symbol, when, value, currency)
