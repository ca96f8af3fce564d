"""What was known about a key (a card, a merchant, a pair of both) before each transaction.

Nothing here sees the future. Rows are given in order of time, and "before" a row are the rows with an earlier position:
rows of one instant see those of them that come first. All sums are over integers, so that they are exact and a row's
values do not depend on the rows after it in any digit.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

LOG_UNIT: Final = 1024
"""Logarithms are summed in units of 1/1024."""

Whole = NDArray[np.int64]
Reals = NDArray[np.float64]


class History:
    """The past of each row within its key. A row whose key is negative has no past."""

    def __init__(self, key: Whole, time: Whole) -> None:
        """Take the integer key of each row and its time in milliseconds, which must not decrease."""
        size = len(key)
        # Rows without a key become keys of their own.
        key = np.where(key < 0, (key.max(initial=0) + 1) + np.arange(size), key)
        self._order = np.argsort(key, kind="stable")
        sorted_key = key[self._order]
        begins = np.flatnonzero(np.diff(sorted_key, prepend=-1) != 0) if size else np.empty(0, np.int64)
        lengths = np.diff(begins, append=size)
        self._first = np.repeat(begins, lengths)
        self._place = np.arange(size)
        self._time = time[self._order]
        self._group = np.repeat(np.arange(len(begins), dtype=np.int64), lengths)

    def _back(self, values: NDArray[Any]) -> NDArray[Any]:
        """From sorted order to the order the rows came in."""
        result = np.empty(len(values), values.dtype)
        result[self._order] = values
        return result

    def count(self) -> Whole:
        """How many rows of the key came before."""
        return self._back(self._place - self._first)

    def age(self) -> Whole:
        """Milliseconds since the first row of the key."""
        return self._back(self._time - self._time[self._first])

    def elapsed(self) -> Reals:
        """Seconds since the row before; NaN for the first."""
        gap = np.full(len(self._time), np.nan)
        gap[1:] = np.diff(self._time) / 1000
        return self._back(np.where(self._place == self._first, np.nan, gap))

    def previous(self, values: Reals) -> Reals:
        """The value of the row before; NaN for the first."""
        sorted_values = values[self._order]
        shifted = np.full(len(sorted_values), np.nan)
        shifted[1:] = sorted_values[:-1]
        return self._back(np.where(self._place == self._first, np.nan, shifted))

    def total(self, values: Whole) -> Whole:
        """The sum of the values of all rows before."""
        sums = _running(values[self._order])
        return self._back(sums[self._place] - sums[self._first])

    def largest(self, values: Reals) -> Reals:
        """The greatest value of all rows before; NaN for the first."""
        sorted_values = values[self._order].astype(np.float64)
        if not len(sorted_values):
            return sorted_values
        # Lifting each key above the one before it makes one running maximum serve all of them.
        rank = np.argsort(np.argsort(sorted_values, kind="stable"), kind="stable")
        lifted = np.maximum.accumulate(rank + self._group * len(rank)) - self._group * len(rank)
        by_rank = np.sort(sorted_values)
        result = np.full(len(rank), np.nan)
        result[1:] = by_rank[lifted[:-1].clip(0)]
        return self._back(np.where(self._place == self._first, np.nan, result))

    def window(self, milliseconds: int) -> Window:
        """The rows before that are at most this old."""
        # One ordered axis for all keys: no gap is longer than just outside the window, and each key begins with one.
        gaps = np.minimum(np.diff(self._time, prepend=0), milliseconds + 1)
        axis = np.cumsum(np.where(self._place == self._first, milliseconds + 1, gaps))
        return Window(self._order, np.searchsorted(axis, axis - milliseconds, side="left"), self._place)


class Window:
    """The most recent rows of each row's key, by age; made by :meth:`History.window`."""

    def __init__(self, order: Whole, start: Whole, place: Whole) -> None:
        self._order, self._start, self._place = order, start, place

    def count(self) -> Whole:
        """How many rows are in the window, the row itself not counted."""
        return self._back(self._place - self._start)

    def total(self, values: Whole) -> Whole:
        """The sum of their values."""
        sums = _running(values[self._order])
        return self._back(sums[self._place] - sums[self._start])

    def _back(self, values: Whole) -> Whole:
        result = np.empty(len(values), values.dtype)
        result[self._order] = values
        return result


def paired(one: Whole, other: Whole) -> Whole:
    """A key for each pair of keys; negative where either is."""
    width = int(other.max(initial=0)) + 1
    return np.where((one < 0) | (other < 0), -1, one * width + other)


def moments(history: History, logs: Reals) -> tuple[Reals, Reals]:
    """Mean and standard deviation of the logarithms of the rows before; NaN without any."""
    units = np.rint(logs * LOG_UNIT).astype(np.int64)
    count = history.count()
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = history.total(units) / count
        variance = history.total(units * units) / count - mean**2
    return mean / LOG_UNIT, np.sqrt(np.maximum(variance, 0.0)) / LOG_UNIT


def _running(values: Whole) -> Whole:
    """Sums of all values before each place, and of all of them at the end."""
    return np.concatenate([[0], np.cumsum(values)])
