"""Values that stand for a missing one without being null: words, extreme codes, impossible dates."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from synfinance.quality.outliers import Floats

TOKENS: Final = frozenset(
    (
        *("", "-", "--", "---", ".", "_", "__", "?", "??", "???", "na", "n/a", "#n/a", "n.a.", "<na>", "nan", "nil"),
        *("null", "<null>", "(null)", "[null]", "\\n", "(blank)", "missing", "undefined", "tbd", "tbc", "no data"),
        *("not available", "#ref!", "#value!", "#div/0!", "0000-00-00", "0000-00-00 00:00:00"),
    )
)
"""Texts, in lower case, that never name anything."""
PLACEHOLDERS: Final = frozenset(
    ["none", "unknown", "not known", "n/k", "unspecified", "not specified", "not applicable"]
)
"""Texts that may be an honest category of their own; among other kinds of values they stand for a missing one."""

_NEGATIVE: Final = (-1.0, -9.0, *(-(10.0**digits - 1) for digits in range(2, 10)))
_POSITIVE: Final = tuple(10.0**digits - 1 for digits in range(3, 13))
_FAR: Final = 3.0
_HEAP: Final = 5
_DATES: Final = tuple(
    datetime(*day)  # noqa: DTZ001  # calendar days of no zone
    for day in [
        (1, 1, 1),
        (1600, 1, 1),
        (1753, 1, 1),
        (1899, 12, 30),
        (1899, 12, 31),
        (1900, 1, 1),
        (1901, 1, 1),
        (1970, 1, 1),
        (2099, 12, 31),
        (2999, 12, 31),
        (9999, 12, 31),
    ]
)
_YEAR: Final = 365.25 * 86400 * 1e6


def missing_words(lowered: pl.Series, *, placeholders: bool, namibia: bool = False) -> pl.Series:
    """Which of these trimmed lower-case texts stand for a missing value; ``namibia`` lets the country code NA stand."""
    words = (TOKENS | PLACEHOLDERS) if placeholders else TOKENS
    return lowered.is_in(sorted(words - {"na"} if namibia else words)).fill_null(False)


def missing_numbers(values: Floats) -> NDArray[np.bool_]:
    """Which numbers stand for a missing value: nines far outside of the rest, or a negative code among positive ones.

    Where other values are negative too, a code must be far below them or far more frequent than any of them. ``values``
    may hold NaN, which are never marked. -1 must be frequent, because it is a number that people mean.
    """
    marked = np.zeros(len(values), dtype=bool)
    suspects = [code for code in (*_NEGATIVE, *_POSITIVE) if np.any(values == code)]
    if not suspects:
        return marked
    rest = values[np.isfinite(values) & ~np.isin(values, suspects)]
    if len(rest) < 10:
        return marked
    least = float(rest.min())
    far = _FAR * float(np.abs(np.quantile(rest, (0.001, 0.999))).max())
    for code in suspects:
        equal = values == code
        count = int(equal.sum())
        if code > 0:
            stands_for_missing = count >= 2 and code > far
        elif least >= 0:
            stands_for_missing = code <= -9 or count >= max(5, len(values) // 1000)
        else:
            heaped = code <= -99 and count >= max(5, _HEAP * _commonest(rest[rest < 0]))
            stands_for_missing = heaped or (count >= 2 and code < -far)
        if stands_for_missing:
            marked |= equal
    return marked


def _commonest(values: Floats) -> int:
    """How often the commonest value occurs."""
    return int(np.unique(values, return_counts=True)[1].max(initial=0))


def missing_dates(values: pl.Series) -> pl.Series:
    """Which timestamps (Datetime in microseconds) are some system's default, more than a year outside of the rest."""
    suspect = values.is_in(list(_DATES)).fill_null(False)
    if not suspect.any():
        return suspect
    rest = values.filter(~suspect).drop_nulls().to_physical()
    if rest.is_empty():
        return suspect
    low, high = float(rest.quantile(0.01) or 0), float(rest.quantile(0.99) or 0)
    moment = values.to_physical()
    return suspect & ((moment < low - _YEAR) | (moment > high + _YEAR)).fill_null(False)
