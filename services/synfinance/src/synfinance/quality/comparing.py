"""Which fields of a table are compared with what: with a reference, or its first half in time with its second."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import polars as pl

from synfinance.quality.drift import (
    ALARM,
    MAX_CATEGORIES,
    Binned,
    Comparison,
    Ints,
    binned_categories,
    binned_numbers,
    strength_of,
)
from synfinance.quality.faults import Fault
from synfinance.quality.found import found, percent
from synfinance.quality.kinds import LATER_WORDS, TIME_WORDS, Kind, words_of
from synfinance.quality.outliers import Floats
from synfinance.quality.reading import Column
from synfinance.quality.report import Drift, Finding

MIN_HALVES: Final = 200
"""Rows that a table needs for its halves to be compared."""
_COMPARED: Final = 200_000
"""Rows of each table (or of both halves) that drift is measured on, spread evenly; the bounds allow for it."""
_DAYS_APART: Final = 2 * 86_400.0
"""Seconds that a file must span for its halves to hold the same hours of the day."""
_ORDERED: Final = 0.9
_RANKED: Final = 20_000


def time_column(columns: Sequence[Column]) -> Column | None:
    """The column that says when a row came to be, if one does: a timestamp, mostly known, best named so."""
    candidates = [
        column
        for column in columns
        if column.kind is Kind.TIMESTAMP
        and column.known >= 0.5 * len(column)
        and column.distinct > 1
        and not words_of(column.name) & LATER_WORDS
    ]
    return max(candidates, key=lambda column: bool(words_of(column.name) & TIME_WORDS), default=None)


def drift_from(reference: Sequence[Column], columns: Sequence[Column], seed: int) -> tuple[list[Drift], list[Finding]]:
    """Compare columns with those of the same name in a reference."""
    before = {column.name: column for column in reference}
    pairs = [(before[column.name], column) for column in columns if column.name in before]
    comparison = Comparison(len(pairs), seed)
    drifts: list[Drift] = []
    findings: list[Finding] = []
    for old, new in pairs:
        items = list(comparison.of(_binned(_spread(old), _spread(new))))
        drifts += items
        findings += _told(new, items, Fault.DRIFT, "the reference")
        if new.kind in (Kind.CATEGORY, Kind.CODE, Kind.CURRENCY, Kind.COUNTRY, Kind.BOOLEAN):
            findings += _unseen(old, new, len(pairs))
    return drifts, findings


def drift_within(columns: Sequence[Column], time: Column, seed: int) -> tuple[list[Drift], list[Finding]]:
    """Compare the first half of a table in time with its second half, column by column."""
    when = time.floats
    dated = np.flatnonzero(np.isfinite(when))
    order = dated[np.argsort(when[dated], kind="stable")]
    order = order[:: -(-len(order) // _COMPARED)]
    half = len(order) // 2
    compared = [column for column in columns if column is not time and not _follows(column, order)]
    comparison = Comparison(len(compared), seed, blocks=True)
    drifts: list[Drift] = []
    findings: list[Finding] = []
    begin, end = when[order[len(order) // 100]], when[order[-1 - len(order) // 100]]
    hours_only = bool(end - begin < _DAYS_APART)
    for column in compared:
        items = list(comparison.of(_binned(column.taken(order[:half]), column.taken(order[half:]))))
        drifts += items
        findings += _told(column, items, Fault.TREND, "the earlier half of the file", free=hours_only)
    return drifts, findings


def _spread(column: Column) -> Column:
    """The column, or an even sample of a long one."""
    step = -(-len(column) // _COMPARED)
    return column.taken(np.arange(0, len(column), step)) if step > 1 else column


def _follows(column: Column, order: Ints) -> bool:
    """Whether a number grows or falls with time itself, as a counter does."""
    if not (column.kind.numeric or column.kind is Kind.CODE):
        return False
    values = column.floats[order[:: max(1, len(order) // _RANKED)]]
    values = values[np.isfinite(values)]
    if len(values) < 3 or np.all(values == values[0]):
        return False
    ranks = np.argsort(np.argsort(values, kind="stable"), kind="stable")
    return abs(float(np.corrcoef(ranks, np.arange(len(ranks)))[0, 1])) > _ORDERED


def _binned(old: Column, new: Column) -> Binned:
    """Both columns in common bins, by what their kind makes comparable; ids and times only by what is missing."""
    kind = new.kind
    if kind.numeric:
        return binned_numbers(new.name, old.floats, new.floats)
    if kind.discrete:
        return _binned_texts(new.name, _plain(old.values), _plain(new.values))
    if kind is Kind.TEXT:
        return binned_numbers(new.name, _lengths(old), _lengths(new))
    first, second = (np.where(column.values.is_null().to_numpy(), -1, 0).astype(np.int64) for column in (old, new))
    return Binned(new.name, first, second, 1)


def _binned_texts(name: str, old: pl.Series, new: pl.Series) -> Binned:
    both = pl.concat([old, new])
    counts = both.drop_nulls().value_counts(name="count")
    # Ties must not be broken by who came first, or the first sample would have the rare values of the top to itself.
    counts = counts.sort("count", both.name, descending=True)
    top = counts.head(4 * MAX_CATEGORIES).get_column(both.name)
    others = len(top)
    if not others:
        return Binned(name, np.full(len(old), -1), np.full(len(new), -1), 1)
    codes = both.replace_strict(top, pl.Series(range(others)), default=others, return_dtype=pl.Int64)
    codes = codes.set(both.is_null(), -1)
    rows = codes.to_numpy()
    return binned_categories(name, rows[: len(old)], rows[len(old) :], others + 1)


def _plain(values: pl.Series) -> pl.Series:
    """Discrete values as text that does not depend on how they are stored."""
    if values.dtype.is_float():
        whole = values.cast(pl.Int64, strict=False)
        values = whole if bool((values.drop_nulls() % 1 == 0).all()) else values
    return values.cast(pl.String).alias("value")


def _lengths(column: Column) -> Floats:
    return column.values.cast(pl.String).str.len_chars().cast(pl.Float64).fill_null(float("nan")).to_numpy()


def _told(column: Column, items: list[Drift], fault: Fault, other: str, *, free: bool = False) -> Iterator[Finding]:
    """A finding when something drifted; ``free`` of cost when the halves are just different hours of the day."""
    drifted = [item for item in items if item.drifted]
    if not drifted:
        return
    words: defaultdict[str, str] = defaultdict(str)
    for item in drifted:
        if item.kind == "missing":
            words[item.kind] = f"its missing rate moved by {percent(item.value)}"
        elif item.kind == "psi":
            words[item.kind] = f"PSI {item.value:.2f}, chance stays below {item.bound:.2f}"
        else:
            words[item.kind] = f"it moved by {item.value:.2f} robust standard deviations (chance: {item.bound:.2f})"
    message = f"the distribution differs from {other}: {'; '.join(words.values())}"
    rows = len(column)
    yield found(fault, column.name, rows, rows, message, charged=0.0 if free else strength_of(drifted))


def _unseen(old: Column, new: Column, fields: int) -> Iterator[Finding]:
    """Values that the reference does not have although, were both of one population, it should.

    A value that occurs *k* times in both tables together misses the reference with probability p ** k, when p is the
    share of rows that are new; rare values of an open vocabulary are new every day.
    """
    if not old.known or not new.known:
        return
    before, after = (_plain(column.values).drop_nulls().value_counts(name="count") for column in (old, new))
    absent = after.join(before, on="value", how="anti")
    level = ALARM / (fields * max(1, after.height))
    needed = math.log(level) / math.log(new.known / (new.known + old.known))
    absent = absent.filter(pl.col("count") >= needed).sort("count", "value", descending=True)
    if absent.is_empty():
        return
    count = int(absent["count"].sum())
    what = "1 value" if absent.height == 1 else f"{absent.height:,} values"
    message = f"{what} that the reference does not have, in {count:,} rows"
    yield found(Fault.UNSEEN_VALUE, new.name, count, len(new), message, examples=absent["value"].head(5))
