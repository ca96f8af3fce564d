"""One column read: what kind it is, its values in that kind, and which of them are missing or do not fit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from synfinance.quality import kinds, parsing
from synfinance.quality.kinds import Kind, words_of
from synfinance.quality.masking import luhn
from synfinance.quality.missing import missing_dates, missing_numbers, missing_words
from synfinance.quality.outliers import Floats

BOOLEANS: Final = frozenset(["true", "false", "yes", "no", "y", "n", "t", "f", "1", "0", "on", "off"])
EMAIL: Final = r"^[\w.+'-]+@[\w-]+(\.[\w-]+)+$"
PHONE: Final = r"^\+?\(?\d[\d ().\-/]{5,18}\d$"
CODE_SHAPED: Final = r"^[A-Za-z0-9_.:/#-]*\d[A-Za-z0-9_.:/#-]*$"
_INTERNATIONAL_PHONE: Final = r"^\+\d[\d ().\-/]{6,18}$"
_UUID: Final = r"^\{?[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}\}?$"
_CARD: Final = r"^\d{4}([ -]?\d){9,15}$"

_MAX_CATEGORIES: Final = 2_000
_VOCABULARY: Final = 200_000
_CONSTANT_ROWS: Final = 20


@dataclass(frozen=True)
class Column:
    """A column as the checks see it."""

    name: str
    kind: Kind
    raw: pl.Series
    values: pl.Series
    """Float64 for numbers, Datetime in microseconds for timestamps, trimmed text for the rest that has text; null where
    the value is missing or does not fit the kind."""
    disguised: pl.Series
    """Values that are there but stand for a missing one."""
    invalid: pl.Series
    """Values that are there and do not fit the kind."""
    as_text: bool = False
    """Whether numbers or dates are stored as text."""
    minority_formats: int = 0
    """Dates that are not written in the commonest format."""

    def __len__(self) -> int:
        return len(self.raw)

    @property
    def nulls(self) -> int:
        """Values that are null or not a number."""
        floats = self.raw.dtype in (pl.Float32, pl.Float64)
        return self.raw.null_count() + (int(self.raw.is_nan().sum() or 0) if floats else 0)

    @cached_property
    def known(self) -> int:
        """Values that are there and fit."""
        return len(self.values) - self.values.null_count()

    @cached_property
    def distinct(self) -> int:
        """Different values among those."""
        if self.kind is Kind.OTHER:
            return 0
        return self.values.n_unique() - (self.values.null_count() > 0)

    @cached_property
    def floats(self) -> Floats:
        """Numbers or timestamps (in seconds) as floats, NaN where there is none."""
        if self.kind is Kind.TIMESTAMP:
            return (self.values.to_physical().cast(pl.Float64) / 1e6).fill_null(float("nan")).to_numpy()
        return self.values.cast(pl.Float64, strict=False).fill_null(float("nan")).to_numpy()

    @cached_property
    def vocabulary(self) -> pl.DataFrame:
        """Different texts as they are stored (``value``) and how often they occur (``count``), commonest first.

        At most 200,000 of them, evenly spread over the order of first occurrence.
        """
        texts = self.raw.cast(pl.String, strict=False).filter(self.values.is_not_null())
        counts = texts.alias("value").value_counts(name="count")
        return counts.gather_every(max(1, -(-counts.height // _VOCABULARY))).sort("count", "value", descending=True)

    def taken(self, rows: NDArray[np.int64]) -> Column:
        """The same column of these rows, in their order."""
        raw, values = self.raw.gather(rows), self.values.gather(rows)
        return replace(
            self, raw=raw, values=values, disguised=self.disguised.gather(rows), invalid=self.invalid.gather(rows)
        )

    def finite(self) -> tuple[Floats, NDArray[np.bool_]]:
        """The numbers that are known and finite, and the mask that picks them from the rows."""
        mask = np.isfinite(self.floats)
        return self.floats[mask], mask

    def instances(self, mask: pl.Series, limit: int = 50) -> list[object]:
        """Some of the stored values that a mask picks."""
        return self.raw.filter(mask).head(limit).to_list()


def read_column(raw: pl.Series, wanted: Kind | None = None) -> Column:
    """Read a column as the kind that is ``wanted`` or, without one, as what its name and its values say."""
    nothing = pl.repeat(False, len(raw), eager=True)
    plain = Column(raw.name, Kind.OTHER, raw, raw, nothing, nothing)
    dtype = raw.dtype
    if dtype in (pl.Categorical, pl.Enum) or dtype == pl.String:
        column = _read_text(replace(plain, raw=raw.cast(pl.String)), wanted)
    elif wanted is not None and _unfit(dtype, wanted):
        column = replace(_read_text(replace(plain, raw=raw.cast(pl.String)), wanted), raw=raw)
    elif dtype == pl.Boolean:
        column = replace(plain, kind=Kind.BOOLEAN)
    elif dtype in (pl.Date, pl.Datetime):
        column = _with_dates(plain, parsing.moments(raw))
    elif dtype.is_numeric() or dtype == pl.Duration:
        numeric = raw.dt.total_seconds() if dtype == pl.Duration else raw
        column = _read_numbers(plain, numeric.cast(pl.Float64, strict=False), wanted, integers=dtype.is_integer())
    elif dtype == pl.Null:
        column = replace(plain, kind=wanted or Kind.EMPTY)
    else:
        return plain
    if wanted is None and column.known == 0 and not column.invalid.any():
        return replace(column, kind=Kind.EMPTY)
    if (
        wanted is None
        and column.known >= _CONSTANT_ROWS
        and column.distinct == 1
        and (column.kind.numeric or column.kind.wordy or column.kind in (Kind.ID, Kind.CODE))
    ):
        return replace(column, kind=Kind.CONSTANT)
    return column


def _unfit(dtype: pl.DataType, wanted: Kind) -> bool:
    """Whether a column is stored as something else than its kind, so that its values must be judged as text."""
    if dtype == pl.Boolean:
        return wanted is not Kind.BOOLEAN
    return dtype in (pl.Date, pl.Datetime) and wanted is not Kind.TIMESTAMP


def _read_text(plain: Column, wanted: Kind | None) -> Column:
    text = plain.raw.str.strip_chars()
    lowered = text.str.to_lowercase()
    missing = missing_words(lowered, placeholders=True)
    known = text.set(missing, None).drop_nulls()
    kind = wanted or (_kind_of_text(plain.name, known) if len(known) else Kind.EMPTY)
    if kind in (Kind.CATEGORY, Kind.TEXT, Kind.BOOLEAN, Kind.COUNTRY):
        missing = missing_words(lowered, placeholders=False, namibia=kind is Kind.COUNTRY)
    values = text.set(missing, None)
    column = replace(plain, kind=kind, values=values, disguised=missing)
    if kind is Kind.TIMESTAMP:
        read = parsing.dates(values)
        moments = read.values if read else None
        if moments is None:
            moments = parsing.compact_dates(values.cast(pl.Int64, strict=False))
        if moments is None:
            moments = pl.repeat(None, len(values), dtype=pl.Datetime("us"), eager=True)
        column = _with_dates(replace(column, as_text=True, minority_formats=read.minority if read else 0), moments)
    elif kind.numeric or (kind in (Kind.CODE, Kind.ID) and wanted is None and parsing.numeric_share(known) > 0.5):
        numbers = parsing.numbers(values)
        if wanted is None:
            integers = bool((numbers.drop_nulls() % 1 == 0).all())
            kind = kind_of_numbers(plain.name, numbers.drop_nulls(), integers=integers)
            if kind is Kind.TIMESTAMP or not kind.numeric:
                return replace(column, kind=Kind.CODE if kind is Kind.TIMESTAMP else kind)
        column = _with_numbers(replace(column, kind=kind, as_text=True), numbers)
    else:
        misfits = _misfits(kind, values, lowered)
        if misfits is not None:
            column = replace(column, invalid=misfits, values=values.set(misfits, None))
    return column


def _misfits(kind: Kind, values: pl.Series, lowered: pl.Series) -> pl.Series | None:
    """Which texts do not fit a kind with a closed form, or None when anything fits."""
    match kind:
        case Kind.EMAIL:
            fits = values.str.contains(EMAIL)
        case Kind.PHONE:
            fits = values.str.contains(PHONE)
        case Kind.CARD:
            fits = values.str.contains(_CARD)
        case Kind.BOOLEAN:
            fits = lowered.is_in(sorted(BOOLEANS))
        case Kind.CURRENCY:
            fits = values.str.to_uppercase().is_in(sorted(kinds.CURRENCIES))
        case Kind.COUNTRY:
            fits = values.str.to_uppercase().is_in(sorted(kinds.COUNTRIES))
        case _:
            return None
    return (~fits & values.is_not_null()).fill_null(False)


def _kind_of_text(name: str, known: pl.Series) -> Kind:
    """The kind of a column of trimmed texts, none of them missing."""
    words = words_of(name)
    sample = parsing.sample_of(known)

    def matching(pattern: str) -> float:
        return parsing.share_matching(sample, pattern)

    if matching(EMAIL) >= 0.5:
        return Kind.EMAIL
    if matching(_CARD) >= 0.8 and _pass_luhn(sample):
        return Kind.CARD
    if (words & kinds.PHONE_WORDS and matching(PHONE) >= 0.5) or matching(_INTERNATIONAL_PHONE) >= 0.8:
        return Kind.PHONE
    if parsing.share_of(sample.str.to_lowercase().is_in(sorted(BOOLEANS))) >= 0.9 and (
        words & {"is", "has"} or sample.n_unique() > 1
    ):
        return Kind.BOOLEAN
    if matching(r"\d") >= 0.1:
        if parsing.dates(sample) is not None:
            return Kind.TIMESTAMP
        numeric = parsing.numeric_share(sample)
        # Words among numbers are wrong numbers; digits among words are names.
        stray = sample.filter(~sample.str.contains(r"^[^A-Za-z]*$"))
        if numeric >= 0.9 or (numeric >= 0.1 and parsing.share_matching(stray, r"\d") <= 0.1):
            return Kind.NUMBER
    upper = sample.str.to_uppercase()
    for kind, hints, codes in (
        (Kind.CURRENCY, kinds.CURRENCY_WORDS, kinds.CURRENCIES),
        (Kind.COUNTRY, kinds.COUNTRY_WORDS, kinds.COUNTRIES),
    ):
        if parsing.share_of(upper.is_in(sorted(codes))) >= (0.2 if words & hints else 0.98):
            return kind
    distinct, count = known.n_unique(), len(known)
    few = distinct <= min(_MAX_CATEGORIES, max(20, count // 4))
    coded = matching(CODE_SHAPED) >= 0.9
    if matching(_UUID) >= 0.8 or (coded and words & kinds.ID_WORDS) or (coded and not few and distinct > 0.95 * count):
        return Kind.ID
    if words & kinds.CODE_WORDS and matching(r"^\d+$") >= 0.9:
        return Kind.CODE
    return Kind.CATEGORY if few else Kind.TEXT


def kind_of_numbers(name: str, values: pl.Series, *, integers: bool) -> Kind:
    """The kind of a column of numbers, none of them missing."""
    words = words_of(name)
    money = bool(words & kinds.AMOUNT_WORDS)
    if not integers:
        cents = parsing.sample_of(values) * 100
        to_the_cent = parsing.share_of((cents - cents.round()).abs() < 1e-6)
        return Kind.AMOUNT if money or (to_the_cent >= 0.98 and values.n_unique() > 20) else Kind.NUMBER
    distinct, count = values.n_unique(), len(values)
    low, high = (float(values.min() or 0), float(values.max() or 0))  # type: ignore[arg-type]  # floats
    if distinct == 2 and low == 0 and high == 1:
        return Kind.BOOLEAN
    if words & kinds.TIME_WORDS and (parsing.epochs(values) is not None or parsing.compact_dates(values) is not None):
        return Kind.TIMESTAMP
    if words & kinds.ID_WORDS:
        return Kind.ID
    if money:
        return Kind.AMOUNT
    if words & kinds.CODE_WORDS:
        return Kind.CODE
    sequential = distinct == count >= _CONSTANT_ROWS and high - low < 2 * count
    if sequential or (words & kinds.SEQUENCE_WORDS and distinct > 0.95 * count):
        return Kind.ID
    sparse = distinct <= 50 and count >= 20 * distinct and low >= 0 and high - low > 20 * distinct
    return Kind.CODE if sparse else Kind.NUMBER


def _read_numbers(plain: Column, numbers: pl.Series, wanted: Kind | None, *, integers: bool) -> Column:
    known = numbers.drop_nulls().drop_nans()
    if known.is_empty():
        return replace(plain, kind=wanted or Kind.EMPTY, values=numbers.set(numbers.is_nan(), None))
    finite = known.filter(known.is_finite())
    whole = integers or bool((parsing.sample_of(finite) % 1 == 0).all() and (finite % 1 == 0).all())
    kind = wanted or kind_of_numbers(plain.name, finite, integers=whole)
    if kind is Kind.TIMESTAMP:
        moments = parsing.compact_dates(numbers)
        if moments is None:
            moments = parsing.epochs(numbers)
        if moments is not None:
            return _with_dates(plain, moments)
        nothing = pl.repeat(None, len(numbers), dtype=pl.Datetime("us"), eager=True)
        return _with_dates(plain, nothing)
    if wanted is not None and not kind.numeric and kind not in (Kind.CODE, Kind.ID):
        text = (numbers.cast(pl.Int64, strict=False) if whole else plain.raw).cast(pl.String)
        return replace(_read_text(replace(plain, raw=text), wanted), raw=plain.raw)
    return _with_numbers(replace(plain, kind=kind), numbers)


def _with_numbers(column: Column, numbers: pl.Series) -> Column:
    """The column with numeric values; what is not finite is invalid, sentinels are missing."""
    floats = numbers.fill_null(float("nan")).to_numpy()
    there = column.raw.is_not_null() & ~column.disguised
    if column.raw.dtype in (pl.Float32, pl.Float64):
        there &= ~column.raw.is_nan()
    sentinel = np.zeros(len(floats), dtype=bool)
    if column.kind.numeric or column.kind is Kind.CODE:
        sentinel = missing_numbers(floats)
        if column.kind is Kind.CODE:
            sentinel &= floats != -1
    marked = pl.Series(sentinel)
    fits = pl.Series(np.isfinite(floats))
    values = numbers.set(~fits | marked, None)
    return replace(column, values=values, disguised=column.disguised | marked, invalid=there & ~fits & ~marked)


def _with_dates(column: Column, moments: pl.Series) -> Column:
    there = (column.raw.is_not_null() & ~column.disguised).fill_null(False)
    marked = missing_dates(moments)
    return replace(
        column,
        kind=Kind.TIMESTAMP,
        values=moments.set(marked, None),
        disguised=column.disguised | marked,
        invalid=there & moments.is_null(),
    )


def _pass_luhn(sample: pl.Series) -> bool:
    digits = sample.head(200).str.replace_all(r"\D", "").to_list()
    return sum(map(luhn, digits)) >= 0.8 * len(digits)
