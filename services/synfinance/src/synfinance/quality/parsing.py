"""Texts read as numbers or dates, one bad value spoiling nothing: what does not parse becomes null."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from synfinance.text_types import temporal

PLAIN: Final = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_DRESSED: Final = r"^\(?[+-]?\s?[£$€¥₹]?\s?[+-]?(\d{1,3}(,\d{3})+|\d+)?(\.\d+)?\s?([£$€¥₹%]|[A-Z]{3})?\)?$"
_COMMA: Final = r"^\(?[+-]?\s?[£$€¥₹]?\s?[+-]?(\d{1,3}([. ]\d{3})+|\d+)(,\d+)?\s?([£$€¥₹%]|[A-Z]{3})?\)?$"
_LEADING_ZERO: Final = r"^[+-]?0\d"
_COMPACT_DATE: Final = r"^(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])$"
_AGREEMENT: Final = 0.2
_FORMATS: Final = 4
_SECOND: Final = 1_000_000

SAMPLE: Final = 20_000


def sample_of(values: pl.Series, size: int = SAMPLE) -> pl.Series:
    """At most about ``size`` values, evenly spread."""
    return values.gather_every(max(1, len(values) // size))


def share_of(mask: pl.Series) -> float:
    """Share of the entries of a boolean series that are true, of those that are not null."""
    return int(mask.sum() or 0) / max(1, len(mask) - mask.null_count())


def share_matching(values: pl.Series, pattern: str) -> float:
    """Share of the texts that contain the pattern."""
    return share_of(values.str.contains(pattern))


def numeric_share(values: pl.Series) -> float:
    """Share of the trimmed texts that are numbers in some notation; 0 when leading zeros say that they are codes."""
    if share_matching(values, _LEADING_ZERO) > 0.005:
        return 0.0
    digits = values.str.contains(r"\d")
    return max(share_of(values.str.contains(form) & digits) for form in (PLAIN, _DRESSED, _COMMA))


def numbers(values: pl.Series) -> pl.Series:
    """Trimmed texts as Float64: plain, with thousands separators, currency signs, a decimal comma, or (negative)."""
    plain = values.cast(pl.Float64, strict=False)
    rest = values.filter(plain.is_null() & values.is_not_null())
    if rest.is_empty():
        return plain
    probe = sample_of(rest)
    comma = share_matching(probe, _COMMA) > share_matching(probe, _DRESSED)
    digits = values.str.contains(r"\d") & values.str.contains(_COMMA if comma else _DRESSED)
    bare = values.str.replace_all(r"[^\d.,+-]", "").str.replace_all(r"[. ]" if comma else ",", "")
    number = bare.str.replace(",", ".", literal=True).cast(pl.Float64, strict=False)
    number = pl.select(pl.when(values.str.starts_with("(")).then(-number.abs()).otherwise(number)).to_series()
    dressed = pl.select(pl.when(digits).then(number)).to_series()
    return plain.fill_null(dressed).alias(values.name)


@dataclass(frozen=True, slots=True)
class Dates:
    """Texts read as timestamps, by the formats that occur."""

    values: pl.Series
    """Datetime in microseconds without zone; null where nothing fits."""
    minority: int
    """How many are not in the commonest format."""


def dates(values: pl.Series) -> Dates | None:
    """Trimmed texts as timestamps, or None when fewer than a fifth are, in at most four formats, commonest first."""
    count = len(values) - values.null_count()
    # Formats are judged by the first values of a column, so they are dealt out of order first.
    order = _dealt(len(values))
    rest = values.gather(order)
    result: pl.Series | None = None
    parsed = [0]
    while len(parsed) <= _FORMATS and rest.null_count() < len(rest):
        found = _moments(temporal(rest.drop_nulls(), agreement=_AGREEMENT))
        if found is None or not (fitting := len(found) - found.null_count()):
            break
        there = rest.is_not_null()
        spread = np.full(len(rest), np.iinfo(np.int64).min)
        spread[there.to_numpy()] = found.to_physical().fill_null(np.iinfo(np.int64).min).to_numpy()
        read = pl.Series(spread)
        read = read.set(read == np.iinfo(np.int64).min, None).cast(pl.Datetime("us"))
        result = read if result is None else result.fill_null(read)
        rest = rest.set(read.is_not_null(), None)
        parsed.append(fitting)
    if result is None or sum(parsed) < _AGREEMENT * count:
        return None
    back = np.empty(len(order), dtype=np.int64)
    back[order] = np.arange(len(order))
    return Dates(result.gather(back).alias(values.name), sum(parsed) - max(parsed))


def compact_dates(values: pl.Series) -> pl.Series | None:
    """Integers like 20140331 as timestamps, or None when fewer than 95 % of them are dates."""
    text = values.cast(pl.Int64, strict=False).cast(pl.String)
    known = text.drop_nulls()
    if known.is_empty() or share_matching(sample_of(known), _COMPACT_DATE) < 0.95:
        return None
    return text.str.to_date("%Y%m%d", strict=False).cast(pl.Datetime("us"))


def epochs(values: pl.Series) -> pl.Series | None:
    """Numbers as seconds, milli-, micro- or nanoseconds since 1970, or None unless all lie between 1990 and 2100."""
    known = values.drop_nulls().cast(pl.Float64).drop_nans()
    if known.is_empty():
        return None
    low, high = float(known.min()), float(known.max())  # type: ignore[arg-type]  # not empty, all floats
    for unit in (1, 1_000, _SECOND, 1_000 * _SECOND):
        if 631_152_000 * unit <= low and high <= 4_102_444_800 * unit:
            return (values.cast(pl.Float64) * (_SECOND / unit)).round().cast(pl.Int64).cast(pl.Datetime("us"))
    return None


def _moments(values: pl.Series | None) -> pl.Series | None:
    return None if values is None else moments(values)


def moments(values: pl.Series) -> pl.Series:
    """Dates or times of any unit and zone as Datetime in microseconds, in UTC and without zone."""
    if isinstance(values.dtype, pl.Datetime) and values.dtype.time_zone is not None:
        values = values.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    return values.cast(pl.Datetime("us"), strict=False)


def _dealt(count: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """A fixed order of ``count`` positions in which every stretch is spread over the whole."""
    stride = max(1, count // 200)
    return np.argsort(np.arange(count) % stride, kind="stable")
