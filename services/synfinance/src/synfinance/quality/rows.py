"""Faults of rows: copies, a stretch that was loaded twice, gaps in time.

Two equal rows are not yet an error: people do buy the same thing twice on a day. What tells copies from twins is
whether something in the row should have told them apart (a key, a time to the second), and whether they come in bulk.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from synfinance.quality.faults import Fault
from synfinance.quality.found import counted, found, percent
from synfinance.quality.reading import Column
from synfinance.quality.report import Finding

_TWIN_SHARE: Final = 0.10
_KEYED: Final = 0.999
_DAY: Final = 86_400.0
_DAY_ROWS: Final = 20
_DAY_COPIES: Final = 0.4
_GAP: Final = 0.1
_GAP_ROWS: Final = 50
_SPAN_WEEKS: Final = 7 * 12 * _DAY
_SPAN_MONTHS: Final = 330 * _DAY


def check_rows(frame: pl.DataFrame, columns: Sequence[Column], time: Column | None) -> Iterator[Finding]:
    """What is wrong with the rows of a table; ``columns`` are those of ``frame`` in full."""
    if time is not None:
        yield from _gaps(time)
    comparable = [
        column.name for column in columns if not (column.raw.dtype.is_nested() or column.raw.dtype == pl.Object)
    ]
    if not comparable or frame.height < 2:
        return
    hashes = frame.select(comparable).hash_rows(seed=0)
    first = hashes.is_first_distinct()
    # Rows without any value are missing, not copied.
    copies = ~first & ~frame.select(pl.all_horizontal(pl.col(comparable).is_null())).to_series()
    count = int(copies.sum())
    if not count:
        return
    rows = frame.height
    if time is not None:
        bulk = _loaded_twice(time, copies.to_numpy())
        if bulk is not None:
            days, among = bulk
            surplus = int(among.sum())
            span = f"{days[0]} to {days[-1]}" if len(days) > 1 else days[0]
            yield found(
                Fault.LOADED_TWICE,
                None,
                surplus,
                rows,
                f"{len(days)} {'day' if len(days) == 1 else 'days'} from {span} seem loaded twice: "
                f"{surplus:,} of their rows repeat another one exactly",
                examples=[_row(frame, int(np.flatnonzero(among)[0]))],
            )
            copies &= pl.Series(~among)
            count = int(copies.sum())
    if not count:
        return
    example = [_row(frame, int(copies.arg_max() or 0))]
    share = count / rows
    keyed = _keyed(columns, first)
    if keyed:
        message = f"{counted(count, 'row')} ({percent(share)}) are exact copies, although {keyed!r} tells rows apart"
        yield found(Fault.DUPLICATE_ROWS, None, count, rows, message, examples=example)
    elif share > _TWIN_SHARE and _room(columns) > 20 * rows:
        message = f"{counted(count, 'row')} ({percent(share)}) are exact copies, more than genuine twins explain"
        yield found(Fault.DUPLICATE_ROWS, None, count, rows, message, examples=example, charged=share - _TWIN_SHARE)
    else:
        message = f"{counted(count, 'row')} ({percent(share)}) equal another one; they may be genuine twins"
        yield found(Fault.TWIN_ROWS, None, count, rows, message, examples=example)


def _keyed(columns: Sequence[Column], first: pl.Series) -> str | None:
    """A column whose values are all but unique among different rows, so that equal rows are one row written twice."""
    different = int(first.sum())
    if different < _DAY_ROWS:
        return None
    for column in columns:
        if column.distinct >= 0.5 * different and column.known:
            values = column.values.filter(first)
            if values.n_unique() >= _KEYED * different and values.null_count() <= (1 - _KEYED) * different:
                return column.name
    return None


def _room(columns: Sequence[Column]) -> float:
    """How many different rows the columns could make."""
    return float(np.prod([float(max(1, column.distinct)) for column in columns]))


def _loaded_twice(time: Column, copies: NDArray[np.bool_]) -> tuple[list[str], NDArray[np.bool_]] | None:
    """Days of which nearly every row is there twice although other days' rows are not, and their surplus rows."""
    seconds = time.floats
    dated = np.isfinite(seconds)
    day = np.where(dated, np.floor(np.where(dated, seconds, 0.0) / _DAY), 0).astype(np.int64)
    distinct, index = np.unique(day[dated], return_inverse=True)
    total = np.bincount(index, minlength=len(distinct))
    copied = np.bincount(index, copies[dated], minlength=len(distinct))
    bulk = (total >= _DAY_ROWS) & (copied >= _DAY_COPIES * total)
    elsewhere = float(copied[~bulk].sum() / max(1, total[~bulk].sum()))
    surplus = float(copied[bulk].sum())
    if surplus < _DAY_ROWS or elsewhere > _DAY_COPIES / 2 or bulk.mean() > 0.5:
        return None
    among = np.zeros(len(seconds), dtype=bool)
    among[np.flatnonzero(dated)] = bulk[index]
    days = [str(np.datetime64(int(number), "D")) for number in distinct[bulk]]
    return days, among & copies


def _gaps(time: Column) -> Iterator[Finding]:
    """Months (weeks, in shorter files) with under a tenth of the rows of those around them."""
    values, _ = time.finite()
    if len(values) < 10 * _GAP_ROWS:
        return
    low, high = np.quantile(values, (0.01, 0.99))
    if high - low >= _SPAN_MONTHS:
        period = "months"
        number = values.astype("datetime64[s]").astype("datetime64[M]").astype(np.int64)
    elif high - low >= _SPAN_WEEKS:
        period = "weeks"
        number = np.floor((values - low) / (7 * _DAY)).astype(np.int64)
    else:
        return
    counts = np.bincount(number - number.min())
    begin, end = ((np.searchsorted(np.sort(values), edge)) for edge in (low, high))
    ordered = np.sort(number)
    inner = range(int(ordered[begin]) - int(ordered[0]) + 1, int(ordered[min(end, len(ordered) - 1)]) - int(ordered[0]))
    gaps: list[tuple[int, float]] = []
    for at in inner:
        around = np.concatenate((counts[max(0, at - 3) : at], counts[at + 1 : at + 4]))
        usual = float(np.median(around)) if len(around) >= 4 else 0.0
        if usual >= _GAP_ROWS and counts[at] < _GAP * usual:
            gaps.append((at, usual - float(counts[at])))
    if not gaps:
        return
    lacking = round(sum(lack for _, lack in gaps))
    names = []
    for at, _ in gaps:
        if period == "months":
            names.append(str(np.datetime64(int(at + number.min()), "M")))
        else:
            start = np.datetime64(int(low + (at + number.min()) * 7 * _DAY), "s")
            names.append(f"week of {str(start)[:10]}")
    yield found(
        Fault.TIME_GAP,
        None,
        lacking,
        len(time) + lacking,
        f"{len(gaps)} {period if len(gaps) > 1 else period[:-1]} with hardly any rows ({', '.join(names[:4])}"
        f"{' …' if len(names) > 4 else ''}): about {lacking:,} rows seem to be missing by {time.name!r}",
        examples=[f"{name}: {int(counts[at]):,} rows" for name, (at, _) in zip(names, gaps, strict=True)],
    )


def _row(frame: pl.DataFrame, index: int) -> str:
    return ", ".join("" if value is None else str(value) for value in frame.row(index)[:8])
