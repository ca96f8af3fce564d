"""Money: exact decimals at the edges, whole minor units inside.

A price or a quantity is a :class:`~decimal.Decimal`. An amount of money that was paid is rounded once, to the minor
unit of its currency, as brokers do; from there on it is an ``int`` of cents (or yen, or satoshis), so that sums are
exact and what is shown adds up.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, Context, Decimal, Inexact, InvalidOperation, Overflow
from typing import Final

__all__ = [
    "EXACT",
    "amount",
    "converted",
    "digits",
    "is_currency",
    "is_in_use",
    "minor",
    "parse",
    "share",
    "shown",
    "total",
]

#: Sums and products in it are exact, or fail: what a user can enter has far fewer digits.
EXACT: Final = Context(prec=120, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation, Overflow, Inexact])
ROUNDED: Final = Context(prec=120, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation, Overflow])

_COINS: Final = tuple("BTC ETH SOL XRP ADA DOT DOGE LTC BNB USDT USDC DAI".split())
#: ISO 4217, what is money somewhere today: without metals, bonds, units of account, tests and "none".
_IN_USE: Final = frozenset(
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CLP CNY "
    "COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR "
    "ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK "
    "MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF "
    "SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU "
    "UZS VED VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG".split()
)
#: Digits after the point where they are not two: ISO 4217, and the usual crypto-currencies.
_DIGITS: Final = {
    **dict.fromkeys("BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF".split(), 0),
    **dict.fromkeys("BHD IQD JOD KWD LYD OMR TND".split(), 3),
    **dict.fromkeys(_COINS, 8),
}
_CURRENCY: Final = re.compile(r"[A-Z][A-Z0-9]{2,4}\Z")

_SIGNS: Final = str.maketrans({"\N{MINUS SIGN}": "-", "\N{EN DASH}": "-", "\N{FULLWIDTH PLUS SIGN}": "+"})
_NOISE: Final = re.compile(r"[\s\u00a0\u202f'’_$€£¥₿]|^[A-Z]{3}(?=[\s\d.,+-])|(?<=[\d\s])[A-Z]{3}$")
_NUMBER: Final = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,2})?\Z")
_GROUPED: Final = {".": re.compile(r"[+-]?\d{1,3}(?:,\d{2,3})+(?:\.\d*)?\Z"),
                   ",": re.compile(r"[+-]?\d{1,3}(?:\.\d{2,3})+(?:,\d*)?\Z")}  # fmt: skip


def is_currency(code: str) -> bool:
    """Whether it looks like the code of a currency: ``EUR``, ``USDT``."""
    return bool(_CURRENCY.match(code))


def is_in_use(code: str) -> bool:
    """Whether it is a currency that totals can be in: one of ISO 4217 that is in use, or a usual crypto-currency."""
    return code in _IN_USE or code in _COINS


def digits(currency: str) -> int:
    """Return how many digits after the point the currency's amounts have."""
    return _DIGITS.get(currency, 2)


def minor(value: Decimal, currency: str) -> int:
    """Return an amount in whole minor units, rounded half to even."""
    return round(value.scaleb(_DIGITS.get(currency, 2), ROUNDED))


def amount(units: int, currency: str) -> Decimal:
    """Return whole minor units as an amount: ``amount(-1234, "EUR")`` is ``Decimal("-12.34")``."""
    return Decimal(units).scaleb(-_DIGITS.get(currency, 2), context=ROUNDED)


def converted(units: int, factor: Decimal) -> int:
    """Return minor units of a currency as those of another, rounded half to even.

    :param factor: the rate, of minor units.
    """
    return int(ROUNDED.multiply(Decimal(units), factor).to_integral_value(ROUND_HALF_EVEN, ROUNDED))


def shown(value: Decimal) -> str:
    """Return the shortest plain text of a decimal, without exponent: ``"0.5"``, ``"100"``."""
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def share(total: int, part: int, whole: int) -> int:
    """Return ``total * part / whole``, rounded half up.

    Whoever takes shares one after the other from what is left, of what is left, gives out exactly the total.
    """
    return total if part == whole else (2 * total * part + whole) // (2 * whole)


def total(parts: Iterable[int | None]) -> int | None:
    """Return the sum; None when one of them is not known."""
    found = 0
    for part in parts:
        if part is None:
            return None
        found += part
    return found


def parse(text: str, point: str = ".") -> Decimal:
    """Read a number as people and brokers write it: ``$1,234.56``, ``(12.30)``, ``1.234,56 EUR`` with ``point=","``.

    :param point: the decimal mark, ``.`` or ``,``.
    :raises ValueError: when it is none, with what is wrong in words.
    """
    raw = text.strip()
    plain = _NOISE.sub("", raw.translate(_SIGNS))
    if plain.startswith("(") and plain.endswith(")"):
        plain = f"-{plain[1:-1]}"
    if plain.endswith("-"):
        plain = f"-{plain[:-1]}"
    if plain[:2] in ("+-", "-+"):
        plain = f"-{plain[2:]}"
    other = "," if point == "." else "."
    if other in plain:
        if not _GROUPED[point].match(plain):
            raise ValueError(f"{raw!r} is no number with {point!r} as its decimal mark")
        plain = plain.replace(other, "")
    if point == ",":
        plain = plain.replace(",", ".")
    if not _NUMBER.match(plain) or len(plain) > 40:
        raise ValueError(f"{raw!r} is no number" if raw else "it is empty")
    return Decimal(plain)
