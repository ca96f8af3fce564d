"""Money: whole minor units of a currency inside, decimal text at the edges."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Final

__all__ = ["MOST", "digits", "is_currency", "minor", "shown"]

#: Minor units that one line may have, so that sums of a million lines fit 63 bits.
MOST: Final = 10**12
_CURRENCY: Final = re.compile(r"[A-Z]{3}\Z")
#: ISO 4217, where there are not two digits after the point.
_DIGITS: Final = {
    **dict.fromkeys("BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF".split(), 0),
    **dict.fromkeys("BHD IQD JOD KWD LYD OMR TND".split(), 3),
}
_PLAIN: Final = re.compile(r"[+-]?\d{1,13}(?:\.\d{1,4})?\Z", re.ASCII)
_GROUPED: Final = re.compile(r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d{1,4})?\Z", re.ASCII)


def is_currency(code: str) -> bool:
    """Whether it looks like a currency's code of ISO 4217: ``EUR``."""
    return bool(_CURRENCY.match(code))


def digits(currency: str) -> int:
    """Return how many digits after the point amounts of the currency have."""
    return _DIGITS.get(currency, 2)


def minor(text: str, currency: str) -> int:
    """Return an amount in whole minor units: ``minor("12.34", "EUR")`` is 1234. Nothing is ever rounded.

    :raises ValueError: when it is no amount of the currency, with what is wrong in words.
    """
    plain = text.strip()
    if _GROUPED.match(plain):
        plain = plain.replace(",", "")
    if not _PLAIN.match(plain):
        raise ValueError(f"{text.strip()[:40]!r} is no amount such as 1234.50" if plain else "it is empty")
    try:
        units = Decimal(plain).scaleb(digits(currency))
    except InvalidOperation:  # pragma: no cover - the pattern lets none through
        raise ValueError(f"{plain!r} is no amount") from None
    if units != units.to_integral_value():
        raise ValueError(f"{plain} has more than the {digits(currency)} digits after the point that {currency} has")
    if abs(units) > MOST:
        raise ValueError(f"{plain} is more than one line may have")
    return int(units)


def shown(units: int, currency: str) -> str:
    """Return minor units as text: ``shown(-5, "EUR")`` is ``"-0.05"``."""
    places = digits(currency)
    if not places:
        return str(units)
    whole, rest = divmod(abs(units), 10**places)
    return f"{'-' if units < 0 else ''}{whole}.{rest:0{places}d}"
