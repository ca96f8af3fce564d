"""The latest rows as they are, so that rules are evaluated without decoding anything.

Every row is written twice, half a buffer apart: any stretch of rows that is still there lies in one piece, and is read
as a view without copying. A buffer never grows. When series come that have no place in it, a wider one takes the rows
from then on, and the old one stays for as long as its rows are wanted.
"""

from __future__ import annotations

import contextlib
import mmap

import numpy as np
from numpy.typing import NDArray

from bedplate.promql.source import MISSING

__all__ = ["Columns", "Head"]

Cells = NDArray[np.float64]
#: Which columns: a slice where they lie together.
Columns = slice | NDArray[np.intp]

#: A buffer has this much more room than it needs at first, and at least so many columns.
_ROOM, _LEAST = 1.25, 128


class Head:
    """The latest rows; rows are numbered from 0 on and never renumbered.

    :param rows: how many are kept.
    """

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.stop = 0
        self._buffers: list[_Buffer] = []
        self._times = np.zeros(2 * rows, np.int64)

    @property
    def first(self) -> int:
        """The number of the oldest row that is kept."""
        return max(0, self.stop - self.rows)

    @property
    def size(self) -> int:
        """Bytes that are allocated."""
        return int(self._times.nbytes) + sum(int(buffer.cells.nbytes) for buffer in self._buffers)

    def append(self, at: int, width: int) -> tuple[Cells, Cells]:
        """Add a row at a time in Unix milliseconds; return its two copies, both to be filled by the caller."""
        if not self._buffers or self._buffers[-1].width < width:
            room = max(_LEAST, int(width * _ROOM))
            self._buffers.append(_Buffer(self.stop, _cells(2 * self.rows, room)))
        place = self.stop % self.rows
        self._times[place] = self._times[place + self.rows] = at
        self.stop += 1
        while len(self._buffers) > 1 and self._buffers[1].first <= self.first:
            del self._buffers[0]
        cells = self._buffers[-1].cells
        return cells[place], cells[place + self.rows]

    def clear(self) -> None:
        """Forget all rows; the next one has the next number."""
        self._buffers.clear()

    def times(self, first: int, stop: int) -> NDArray[np.int64]:
        """Return the times of rows that are kept, as a view."""
        place = first % self.rows
        return self._times[place : place + stop - first]

    def cells(self, first: int, stop: int, columns: Columns) -> Cells:
        """Return columns of rows that are kept; a view where they lie together and are of one buffer."""
        if first >= self._buffers[-1].first if self._buffers else True:
            return self._read(len(self._buffers) - 1, first, stop, columns)
        parts: list[Cells] = []
        for number, buffer in enumerate(self._buffers):
            last = number + 1 == len(self._buffers)
            end = stop if last else min(stop, self._buffers[number + 1].first)
            begin = max(first, buffer.first)
            if begin < end:
                parts.append(self._read(number, begin, end, columns))
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _read(self, number: int, first: int, stop: int, columns: Columns) -> Cells:
        if number < 0:
            return np.empty((0, _count(columns)))
        buffer = self._buffers[number]
        place = first % self.rows
        rows = buffer.cells[place : place + stop - first]
        if isinstance(columns, slice):
            if columns.stop <= buffer.width:
                return rows[:, columns]
            within = rows[:, columns.start : buffer.width] if columns.start < buffer.width else rows[:, :0]
            found = np.full((len(rows), _count(columns)), MISSING)
            found[:, : within.shape[1]] = within
            return found
        if len(columns) == 0 or columns[-1] < buffer.width:
            return rows.take(columns, axis=1)
        # Columns are in ascending order: those that the buffer has come first.
        known = int(np.searchsorted(columns, buffer.width))
        found = np.full((len(rows), len(columns)), MISSING)
        found[:, :known] = rows.take(columns[:known], axis=1)
        return found


class _Buffer:
    """Cells from one row on."""

    __slots__ = ("cells", "first", "width")

    def __init__(self, first: int, cells: Cells) -> None:
        self.first = first
        self.cells = cells
        self.width = cells.shape[1]


def _cells(rows: int, columns: int) -> Cells:
    """Return cells whose memory is taken row by row, as they are first written.

    numpy asks for huge pages; the kernel clears such a page in one go, and the event loop waits milliseconds for it.
    """
    memory = mmap.mmap(-1, rows * columns * 8, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        with contextlib.suppress(OSError):  # a kernel that was built without huge pages
            memory.madvise(mmap.MADV_NOHUGEPAGE)
    return np.frombuffer(memory, np.float64).reshape(rows, columns)


def _count(columns: Columns) -> int:
    return columns.stop - columns.start if isinstance(columns, slice) else len(columns)
