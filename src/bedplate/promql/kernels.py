"""Functions of a range as numpy: each takes the samples of many series in one stretch, a row a sample.

They follow Prometheus' ``promql/functions.go``. Sums are compensated where plain ones would lose digits, as Prometheus'
are by Kahan's and Neumaier's method.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bedplate.promql.plan import Floats, Mask

__all__ = ["KERNELS", "Block", "Kernel", "column_sums", "compensated", "quantiles"]

_EPSILON = float(np.finfo(np.float64).eps)
_TOLERATED = 1e-12


@dataclass(frozen=True, slots=True)
class Block:
    """The samples of some series in a range; each has at least as many as the kernel wants.

    :ivar values: samples × series; a series with fewer than the rows has its last one repeated to the end.
    :ivar times: Unix milliseconds, a row, or a cell where they differ. :ivar counts: samples of each series, or of all.
    :ivar valid: where cells are samples and no repetition; None for everywhere.
    :ivar start: where the range begins, in milliseconds. :ivar end: where it ends.
    :ivar moment: that of the evaluation, which an offset does not move.
    :ivar parameter: the function's other argument. :ivar dialect: 2 or 3.
    """

    values: Floats
    times: NDArray[np.int64]
    counts: Any
    valid: Mask | None
    start: int
    end: int
    moment: int
    parameter: float
    dialect: int

    @property
    def real(self) -> Floats:
        """The values, with 0 for repetitions."""
        return self.values if self.valid is None else np.where(self.valid, self.values, 0.0)

    def back(self, samples: int) -> tuple[Floats, Any]:
        """Return values and times so many samples before the last."""
        if self.valid is None:
            return self.values[-1 - samples], self.times[-1 - samples]  # one time, or one a series
        rows, columns = self.counts - 1 - samples, np.arange(self.values.shape[1])
        return self.values[rows, columns], self.times[rows, columns]


@dataclass(frozen=True, slots=True)
class Kernel:
    """A function of a range.

    :ivar compute: returns one value a series. :ivar least: samples that a series needs. :ivar weight: its cost, as a
        multiple of simple arithmetic's. :ivar keeps_name: whether the result is still called as the series.
    """

    compute: Callable[[Block], Any]
    least: int = 1
    weight: int = 1
    keeps_name: bool = False


def compensated(values: Iterable[float]) -> float:
    """Return a sum by Neumaier's method, as Prometheus adds up; infinite where a plain sum is."""
    total = lost = 0.0
    for value in values:
        new = total + value
        lost += (total - new) + value if abs(total) >= abs(value) else (value - new) + total
        total = new
    return total if math.isinf(total) else total + lost


def column_sums(values: Floats) -> Floats:
    """Return the sum of each column; compensated where a plain sum would lose digits."""
    sums = np.add.reduce(values, axis=0)
    if not len(values) or values.min(initial=np.inf) >= 0:
        return np.asarray(sums)
    sizes = np.add.reduce(np.abs(values), axis=0)
    doubtful = (sizes * (_EPSILON * len(values)) > np.abs(sums) * _TOLERATED) & np.isfinite(sizes)
    for column in np.flatnonzero(doubtful):
        sums[column] = compensated(values[:, column].tolist())
    return np.asarray(sums)


def _increased(block: Block, *, counter: bool, rate: bool) -> Floats:
    values = block.values
    first, last = values[0], values[-1]
    result = last - first
    if counter:
        falls = values[1:] < values[:-1]
        if falls.any():
            result = result + np.add.reduce(np.where(falls, values[:-1], 0.0), axis=0)
    first_time, last_time = block.times[0], block.times[-1]
    to_start, to_end = (first_time - block.start) / 1000, (block.end - last_time) / 1000
    sampled = (last_time - first_time) / 1000
    average = sampled / (block.counts - 1)
    threshold = average * 1.1
    if block.dialect >= 3:
        to_start = np.where(to_start >= threshold, average / 2, to_start)
    if counter:
        to_zero = np.where((result > 0) & (first >= 0), sampled * (first / result), np.inf)
        to_start = np.where(to_zero < to_start, to_zero, to_start)
    if block.dialect < 3:
        to_start = np.where(to_start < threshold, to_start, average / 2)
    to_end = np.where(to_end < threshold, to_end, average / 2)
    factor = (sampled + to_start + to_end) / sampled
    if rate:
        factor = factor / ((block.end - block.start) / 1000)
    return np.asarray(result * factor)


def _instant(block: Block, *, rate: bool) -> Floats:
    (last, last_time), (before, before_time) = block.back(0), block.back(1)
    result = last - before
    if rate:
        result = np.where(last < before, last, result) / ((last_time - before_time) / 1000)
    return np.asarray(result)


def _changes(block: Block) -> Floats:
    before, after = block.values[:-1], block.values[1:]
    return np.asarray(np.add.reduce((after != before) & ~(np.isnan(after) & np.isnan(before)), axis=0))


def _sum(block: Block) -> Floats:
    return column_sums(block.real)


def _average(block: Block) -> Floats:
    real = block.real
    result = column_sums(real) / block.counts
    if not np.isfinite(result).all():
        # A sum may be too great for a float where the mean is not.
        scaled = column_sums(real / block.counts)
        result = np.where(np.isfinite(result), result, scaled)
    return np.asarray(result)


def _variance(block: Block) -> Floats:
    # From the first sample on, so that equal samples have exactly none, whatever their mean is.
    shifted = block.values - block.values[0]
    if block.valid is not None:
        shifted = np.where(block.valid, shifted, 0.0)
    off = shifted - np.add.reduce(shifted, axis=0) / block.counts
    if block.valid is not None:
        off = np.where(block.valid, off, 0.0)
    return np.asarray(np.add.reduce(off * off, axis=0) / block.counts)


def quantiles(share: float, ordered: Floats, counts: Any, numbers: Any) -> Floats:
    """Return a quantile of each column, interpolated between neighbours.

    :param ordered: values in ascending order, at the top of the columns. :param counts: how many count in each.
    :param numbers: how many of them are no NaN; NaN is less than all numbers.
    """
    width = ordered.shape[1]
    if math.isnan(share) or share < 0 or share > 1:
        return np.full(width, math.nan if math.isnan(share) else math.copysign(math.inf, share))
    rank = share * (np.broadcast_to(counts, width) - 1.0)
    low = np.maximum(np.floor(rank), 0).astype(np.intp)
    high = np.minimum(counts - 1, low + 1).astype(np.intp)
    weight, columns, unknown = rank - np.floor(rank), np.arange(width), np.broadcast_to(counts - numbers, width)

    def at(place: NDArray[np.intp]) -> Floats:
        found = ordered[np.maximum(place - unknown, 0), columns]
        return np.where(place < unknown, np.nan, found)

    return np.asarray(at(low) * (1 - weight) + at(high) * weight)


def _quantile(block: Block) -> Floats:
    real = block.values if block.valid is None else np.where(block.valid, block.values, np.nan)
    return quantiles(block.parameter, np.sort(real, axis=0), block.counts, np.add.reduce(~np.isnan(real), axis=0))


def _row_sums(rows: Floats) -> Floats:
    """Return the sum of the rows by Neumaier's method."""
    total, lost = np.zeros(rows.shape[1]), np.zeros(rows.shape[1])
    for row in rows:
        new = total + row
        lost += np.where(np.abs(total) >= np.abs(row), (total - new) + row, (row - new) + total)
        total = new
    return np.where(np.isinf(total), total, total + lost)


def _regression(block: Block, origin: Any) -> tuple[Floats, Floats]:
    """Return slope and intercept of the least squares' line; the latter at ``origin``, in milliseconds."""
    values, count = block.values, block.counts
    x = (block.times - origin) / 1e3
    constant = (values[1:] == values[0]).all(axis=0)
    sum_x: Any
    sum_xx: Any
    if x.ndim == 1 and block.valid is None:
        sum_x, sum_xx = compensated(x.tolist()), compensated((x * x).tolist())
        sum_y, sum_xy = np.split(_row_sums(np.concatenate((values, x[:, None] * values), axis=1)), 2)
    else:
        x = np.broadcast_to(x if x.ndim == 2 else x[:, None], values.shape)
        parts = (x, values, x * values, x * x)
        if block.valid is not None:
            parts = (x * block.valid, block.real, np.where(block.valid, x * values, 0.0), x * x * block.valid)
        sum_x, sum_y, sum_xy, sum_xx = np.split(_row_sums(np.concatenate(parts, axis=1)), 4)
    slope = (sum_xy - sum_x * sum_y / count) / (sum_xx - sum_x * sum_x / count)
    intercept = sum_y / count - slope * sum_x / count
    flat = np.where(np.isinf(values[0]), np.nan, 0.0)
    return np.where(constant, flat, slope), np.where(constant, flat + values[0], intercept)


def _deriv(block: Block) -> Floats:
    return _regression(block, block.times[0])[0]


def _predicted(block: Block) -> Floats:
    slope, intercept = _regression(block, block.moment)
    return slope * block.parameter + intercept


#: Every supported function of a range by name. ``absent_over_time`` is one of counts.
KERNELS: dict[str, Kernel] = {
    "rate": Kernel(lambda block: _increased(block, counter=True, rate=True), 2),
    "increase": Kernel(lambda block: _increased(block, counter=True, rate=False), 2),
    "delta": Kernel(lambda block: _increased(block, counter=False, rate=False), 2),
    "irate": Kernel(lambda block: _instant(block, rate=True), 2),
    "idelta": Kernel(lambda block: _instant(block, rate=False), 2),
    "deriv": Kernel(_deriv, 2, 16),
    "predict_linear": Kernel(_predicted, 2, 16),
    "changes": Kernel(_changes, 1, 4),
    "resets": Kernel(lambda block: np.add.reduce(block.values[1:] < block.values[:-1], axis=0)),
    "avg_over_time": Kernel(_average),
    "sum_over_time": Kernel(_sum),
    "min_over_time": Kernel(lambda block: np.fmin.reduce(block.values, axis=0)),
    "max_over_time": Kernel(lambda block: np.fmax.reduce(block.values, axis=0)),
    "count_over_time": Kernel(lambda block: block.counts),
    "last_over_time": Kernel(lambda block: block.values[-1], keeps_name=True),
    "first_over_time": Kernel(lambda block: block.values[0], keeps_name=True),
    "present_over_time": Kernel(lambda block: 1.0),
    "stdvar_over_time": Kernel(_variance, 1, 4),
    "stddev_over_time": Kernel(lambda block: np.sqrt(_variance(block)), 1, 4),
    "quantile_over_time": Kernel(_quantile, 1, 32),
}
