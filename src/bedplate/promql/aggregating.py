"""Aggregations: many series into one a group, or the first few of each group."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from bedplate.promql.kernels import compensated
from bedplate.promql.labels import by, without
from bedplate.promql.plan import (
    MAX_CELLS,
    Floats,
    Frame,
    Groups,
    Mask,
    Memo,
    Plan,
    Run,
    Scalars,
    Site,
    Steps,
    Tables,
    grouped,
    row_slices,
)
from bedplate.promql.source import Labels

__all__ = ["REDUCTIONS", "CountedValues", "Quantile", "Ranked", "Reduced", "grouping"]

_EPSILON = float(np.finfo(np.float64).eps)
_TOLERATED = 1e-12


def grouping(labels: tuple[str, ...], *, without_them: bool) -> Callable[[Labels], Labels]:
    """Return what the labels of a group are; ``without`` always drops the metric's name."""
    return without((*labels, "__name__")) if without_them else by(labels)


class _Slice:
    """Some rows of a table, group by group; knows how to reduce columns to groups.

    :ivar values: arranged. :ivar mask: where there is a value, None for everywhere.
    """

    def __init__(self, values: Floats, mask: Mask | None, groups: Groups, dialect: int) -> None:
        self.values, self.mask, self.groups, self.dialect = values, mask, groups, dialect

    def filled(self, value: float) -> Floats:
        """The values, with another one where there is none."""
        return self.values if self.mask is None else np.where(self.mask, self.values, value)

    def reduce(self, function: Any, table: Any) -> Any:
        """Apply a ufunc along each group."""
        if len(self.groups.labels) == 1:
            return function.reduce(table, axis=1, keepdims=True)
        return table if self.groups.distinct else function.reduceat(table, self.groups.starts, axis=1)

    def spread(self, table: Floats) -> Floats:
        """Return a value of each group for each of its columns."""
        if len(self.groups.labels) == 1:
            return table
        index = self.groups.index if self.groups.distinct else self.groups.index[self.groups.order]
        return table[:, index]

    @property
    def counts(self) -> Any:
        """How many values each group has."""
        if self.mask is not None:
            return self.reduce(np.add, self.mask.astype(np.float64))
        return np.diff(np.append(self.groups.starts, self.values.shape[1])).astype(np.float64)[None, :]

    def sums(self, table: Floats) -> Floats:
        """Return the sum of each group; Prometheus 3 compensates it."""
        sums = self.reduce(np.add, table)
        if self.dialect < 3 or self.groups.distinct or table.min(initial=np.inf) >= 0:
            return np.asarray(sums)
        sizes = self.reduce(np.add, np.abs(table))
        doubtful = (sizes * (_EPSILON * table.shape[1]) > np.abs(sums) * _TOLERATED) & np.isfinite(sizes)
        bounds = np.append(self.groups.starts, table.shape[1])
        sums = np.array(sums)
        for row, group in np.argwhere(doubtful):
            sums[row, group] = compensated(table[row, bounds[group] : bounds[group + 1]].tolist())
        return sums


def _average(part: _Slice) -> Floats:
    filled = part.filled(0.0)
    result = part.sums(filled) / part.counts
    if not np.isfinite(result).all():
        # A sum may be too great for a float where the mean is not.
        scaled = part.sums(filled / part.spread(np.broadcast_to(part.counts, result.shape)))
        result = np.where(np.isfinite(result), result, scaled)
    return np.asarray(result)


def _variance(part: _Slice) -> Floats:
    counts, filled = part.counts, part.filled(0.0)
    # From one of the values on, so that equal ones have exactly none.
    base = part.reduce(np.fmax, part.filled(-np.inf))
    shifted = filled - part.spread(base)
    if part.mask is not None:
        shifted = np.where(part.mask, shifted, 0.0)
    off = shifted - part.spread(part.reduce(np.add, shifted) / counts)
    if part.mask is not None:
        off = np.where(part.mask, off, 0.0)
    result = part.reduce(np.add, off * off) / counts
    # A single infinity or NaN deviates by 0 in Prometheus 2, by NaN in Prometheus 3.
    return np.where((counts == 1) & np.isnan(result), 0.0, result) if part.dialect < 3 else np.asarray(result)


#: What becomes of the values of a group.
REDUCTIONS: dict[str, Callable[[_Slice], Any]] = {
    "sum": lambda part: part.sums(part.filled(0.0)),
    "avg": _average,
    "min": lambda part: part.reduce(np.fmin, part.filled(np.nan)),
    "max": lambda part: part.reduce(np.fmax, part.filled(np.nan)),
    "count": lambda part: part.counts,
    "group": lambda part: 1.0,
    "stdvar": _variance,
    "stddev": lambda part: np.sqrt(_variance(part)),
}


class Reduced(Tables):
    """An aggregation that makes one value of each group."""

    def __init__(self, operator: str, operand: Tables, key: Callable[[Labels], Labels], dialect: int) -> None:
        self._reduce = REDUCTIONS[operator]
        self._operand = operand
        self._dialect = dialect
        self._groups = Memo(lambda labels: grouped(labels, key))

    def run(self, run: Run) -> Steps[Frame]:
        """Reduce slice by slice."""
        frame = yield from self._operand.run(run)
        groups = yield from self._groups.of(frame.labels)
        rows = len(frame.values)
        if not groups.labels:
            return Frame((), np.empty((rows, 0)), None)
        values = np.empty((rows, len(groups.labels)))
        present = None if frame.present is None else np.empty(values.shape, dtype=bool)
        for part in row_slices(rows, frame.values.shape[1]):
            mask = None if frame.present is None else groups.arranged(frame.present[part])
            piece = _Slice(groups.arranged(frame.values[part]), mask, groups, self._dialect)
            values[part] = self._reduce(piece)
            if present is not None:
                present[part] = piece.counts > 0
            yield
        return Frame(groups.labels, values, present)


def _sorted(
    frame: Frame, groups: Groups, row: int, *, descending: bool = False, nan_last: bool = False
) -> tuple[Any, Any, Any]:
    """Sort the values of one row by group and value; NaN comes first, or last.

    Returns columns in that order, their groups, and their ranks in the group. Equal values stay in order.
    """
    columns = np.arange(len(frame.labels)) if frame.present is None else np.flatnonzero(frame.present[row])
    values = frame.values[row, columns]
    unknown = np.isnan(values)
    keys = (-values if descending else values, unknown if nan_last else ~unknown, groups.index[columns])
    order = np.lexsort(keys)
    ordered = keys[2][order]
    starts = np.searchsorted(ordered, np.arange(len(groups.labels)))
    return columns[order], ordered, np.arange(len(order)) - starts[ordered]


class Quantile(Tables):
    """``quantile(share, vector)``."""

    def __init__(self, share: Plan[Scalars], operand: Tables, key: Callable[[Labels], Labels]) -> None:
        self._share = share
        self._operand = operand
        self._groups = Memo(lambda labels: grouped(labels, key))

    def run(self, run: Run) -> Steps[Frame]:
        """Sort each moment's values by group, and pick."""
        share = yield from self._share.run(run)
        frame = yield from self._operand.run(run)
        groups = yield from self._groups.of(frame.labels)
        values = np.full((len(share), len(groups.labels)), np.nan)
        present = np.zeros(values.shape, dtype=bool)
        for row in range(len(share)):
            columns, owners, _ = _sorted(frame, groups, row)
            counts = np.bincount(owners, minlength=len(groups.labels))
            found = np.flatnonzero(counts)
            if len(found):
                _pick(values[row], frame.values[row, columns], counts, found, float(share[row]))
                present[row, found] = True
            yield
        return Frame(groups.labels, values, present)


def _pick(out: Floats, ordered: Floats, counts: Any, found: Any, share: float) -> None:
    """Write the quantile of each group that has values; ``ordered`` holds them group by group, ascending."""
    if math.isnan(share) or share < 0 or share > 1:
        out[found] = math.nan if math.isnan(share) else math.copysign(math.inf, share)
        return
    starts, counts = (np.cumsum(counts) - counts)[found], counts[found]
    rank = share * (counts - 1.0)
    low = np.maximum(np.floor(rank), 0).astype(np.intp)
    high = np.minimum(counts - 1, low + 1)
    weight = rank - np.floor(rank)
    out[found] = ordered[starts + low] * (1 - weight) + ordered[starts + high] * weight


class Ranked(Tables):
    """``topk`` and ``bottomk``: the series themselves; of equal values, those that come first."""

    def __init__(
        self, operator: str, count: Plan[Scalars], operand: Tables, key: Callable[[Labels], Labels], site: Site
    ) -> None:
        self._descending = operator == "topk"
        self._count = count
        self._operand = operand
        self._site = site
        self._groups = Memo(lambda labels: grouped(labels, key))

    def run(self, run: Run) -> Steps[Frame]:
        """Rank each moment's values; an instant vector comes in the order of its ranks."""
        counts = yield from self._count.run(run)
        frame = yield from self._operand.run(run)
        groups = yield from self._groups.of(frame.labels)
        present = np.zeros(frame.values.shape, dtype=bool)
        chosen: Any = np.arange(0)
        for row, count in enumerate(counts.tolist()):
            if not -(2.0**63) <= count < 2.0**63:
                raise self._site.fault(f"{count:g} is no number of series.", "Give a whole number.")
            if int(count) >= 1:
                columns, _, ranks = _sorted(frame, groups, row, descending=self._descending, nan_last=True)
                chosen = columns[ranks < int(count)]
                present[row, chosen] = True
            yield
        if len(counts) != 1:
            return Frame(frame.labels, frame.values, present)
        return Frame(tuple(frame.labels[place] for place in chosen), frame.values[:, chosen], None)


class CountedValues(Tables):
    """``count_values("label", vector)``: how many series have a value, which becomes a label."""

    def __init__(self, label: str, operand: Tables, labels: tuple[str, ...], site: Site, *, without_them: bool) -> None:
        self._label = label
        self._site = site
        self._operand = operand
        self._key = grouping(labels if without_them else (*labels, label), without_them=without_them)

    def run(self, run: Run) -> Steps[Frame]:
        """Count at each moment; values are written as Go writes them."""
        frame = yield from self._operand.run(run)
        rows = len(frame.values)
        numbers: dict[Labels, int] = {}
        counted: list[tuple[int, int]] = []
        for row, column in self._cells(frame):
            pairs = dict(frame.labels[column])
            pairs[self._label] = _go_float(float(frame.values[row, column]))
            key = self._key(tuple(sorted(pairs.items())))
            counted.append((row, numbers.setdefault(key, len(numbers))))
            if rows * len(numbers) > MAX_CELLS:
                what = f"More than {len(numbers) - 1:,} values at {rows:,} moments are too many to count."
                raise self._site.fault(what, "Round them first, or ask for fewer moments.")
            if len(counted) % 400 == 0:
                yield
        values = np.zeros((rows, len(numbers)))
        for row, number in counted:
            values[row, number] += 1
        return Frame(tuple(numbers), values, values > 0)

    @staticmethod
    def _cells(frame: Frame) -> Iterator[tuple[int, int]]:
        for row, mask in enumerate(frame.mask):
            for column in np.flatnonzero(mask).tolist():
                yield row, column


def _go_float(value: float) -> str:
    if math.isfinite(value):
        return np.format_float_positional(value, trim="-")
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
