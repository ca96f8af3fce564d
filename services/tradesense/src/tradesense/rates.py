"""Exchange rates: from a CSV file, or from anything with the same method."""

from __future__ import annotations

import csv
import io
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from typing import Final, NamedTuple, Protocol

from bedplate.problems import BedplateError
from tradesense.money import ROUNDED, is_currency, parse

__all__ = ["NO_RATES", "BadRates", "Rate", "RateSource", "Rates", "read_rates"]


class BadRates(BedplateError, ValueError):
    """A file of rates, or a row of it, that cannot be used."""


class Rate(NamedTuple):
    """On this day one ``currency`` was worth ``rate`` of ``base``."""

    day: date
    currency: str
    base: str
    rate: Decimal


class RateSource(Protocol):
    """Where exchange rates come from."""

    def rate(self, currency: str, base: str, day: date) -> Decimal | None:
        """Return what one ``currency`` was worth in ``base`` on a day, or lately before; None when nobody knows."""
        ...


class Rates:
    """Rates by day. A day without one has the latest before it, and the days before the first have the first.

    A pair that is not there is found by its inverse, or through a currency that both have a rate to.
    """

    def __init__(self, rates: Iterable[Rate] = ()) -> None:
        found: dict[tuple[str, str], dict[int, Decimal]] = {}
        for day, currency, base, rate in rates:
            found.setdefault((currency, base), {})[day.toordinal()] = rate
        self._days: dict[tuple[str, str], list[int]] = {pair: sorted(days) for pair, days in found.items()}
        self._rates = {pair: [days[day] for day in self._days[pair]] for pair, days in found.items()}
        neighbours: dict[str, set[str]] = {}
        for one, other in self._days:
            neighbours.setdefault(one, set()).add(other)
            neighbours.setdefault(other, set()).add(one)
        self._neighbours: Mapping[str, frozenset[str]] = {name: frozenset(near) for name, near in neighbours.items()}
        self._cached: dict[tuple[str, str, int], Decimal | None] = {}

    def __len__(self) -> int:
        return sum(map(len, self._days.values()))

    def rate(self, currency: str, base: str, day: date) -> Decimal | None:
        """See :class:`RateSource`."""
        if currency == base:
            return Decimal(1)
        key = (currency, base, day.toordinal())
        try:
            return self._cached[key]
        except KeyError:
            pass
        found = self._direct(*key)
        if found is None:
            between = self._neighbours.get(currency, frozenset()) & self._neighbours.get(base, frozenset())
            for middle in sorted(between):
                first, second = self._direct(currency, middle, key[2]), self._direct(middle, base, key[2])
                if first is not None and second is not None:
                    found = ROUNDED.multiply(first, second)
                    break
        if len(self._cached) > 100_000:
            self._cached.clear()
        self._cached[key] = found
        return found

    def _direct(self, currency: str, base: str, day: int) -> Decimal | None:
        if (days := self._days.get((currency, base))) is not None:
            return self._rates[currency, base][max(0, bisect_right(days, day) - 1)]
        if (days := self._days.get((base, currency))) is not None:
            inverse = self._rates[base, currency][max(0, bisect_right(days, day) - 1)]
            return _FEWER.divide(Decimal(1), inverse)
        return None


#: An inverse has no end; this many digits are more than any amount needs.
_FEWER: Final = ROUNDED.copy()
_FEWER.prec = 28
NO_RATES: Final = Rates()


def read_rates(text: str, base: str = "EUR") -> list[Rate]:
    """Read rates from CSV: the columns ``date, currency, rate`` and perhaps ``base``, or the central bank's wide form.

    In the wide form, ``Date, USD, JPY, …``, a row says what one ``base`` is worth in each currency, as the European
    Central Bank's ``eurofxref-hist.csv`` does.

    :raises BadRates: when it is neither, or a row cannot be read; it names the line.
    """
    rows = csv.reader(io.StringIO(text.lstrip("\ufeff")))
    header = [name.strip().lower() for name in next(rows, [])]
    if {"date", "currency", "rate"} <= set(header):
        place = {name: header.index(name) for name in header}
        return [
            Rate(_day(row[place["date"]], rows.line_num), _code(row[place["currency"]], rows.line_num),
                 _code(row[place["base"]], rows.line_num) if "base" in place else base,
                 _number(row[place["rate"]], rows.line_num))
            for row in rows if any(row)
        ]  # fmt: skip
    codes = [name.strip().upper() for name in header[1:]]
    if header[:1] == ["date"] and any(map(is_currency, codes)):
        return [
            Rate(_day(row[0], rows.line_num), base, code, _number(cell, rows.line_num))
            for row in rows if any(row)
            for code, cell in zip(codes, row[1:], strict=False)
            if is_currency(code) and cell.strip() not in ("", "N/A")
        ]  # fmt: skip
    raise BadRates(
        f"These columns are no exchange rates: {', '.join(header) or 'none'}.",
        "Give date, currency, rate and perhaps base; or date and a column for each currency.",
    )


def _day(text: str, line: int) -> date:
    try:
        return date.fromisoformat(text.strip()[:10])
    except ValueError:
        raise BadRates(f"Line {line}: {text!r} is no day.", "Write 2025-01-31.") from None


def _code(text: str, line: int) -> str:
    code = text.strip().upper()
    if not is_currency(code):
        raise BadRates(f"Line {line}: {text!r} is no currency.", "Write its code, such as USD.")
    return code


def _number(text: str, line: int) -> Decimal:
    try:
        value = parse(text)
    except ValueError as error:
        raise BadRates(f"Line {line}: the rate cannot be read: {error}.", "Write 1.0834.") from None
    if value <= 0:
        raise BadRates(f"Line {line}: a rate of {value} cannot be.", "Give a positive one.")
    return value
