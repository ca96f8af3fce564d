"""Sealed samples: a stretch of rows, compressed in groups of columns so that a few series cost a few groups.

Consecutive values of a series share most of their bits, so each is XORed with the one before (as in Facebook's Gorilla,
VLDB 2015); the bytes are then put together by their place in the word, where most are 0, and deflated. Values are
exact to the bit, NaN of all kinds included.
"""

from __future__ import annotations

import zlib
from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from bedplate.promql.source import MISSING

__all__ = ["GROUP", "ROWS", "Chunk", "Decoder", "pack", "unpack"]

#: Rows of a chunk: more compress little better, and fewer would have to be decoded for a look at one moment.
ROWS = 240

#: Columns that are compressed together; one group takes less than half a millisecond either way.
GROUP = 16

_MISSING_BITS = np.float64(MISSING).view(np.uint64)
#: What Python keeps of an entry besides its bytes.
_OVERHEAD = 48

Cells = NDArray[np.float64]


def pack(cells: Cells) -> bytes:
    """Return cells (rows × columns) compressed; nothing at all when no cell holds a sample."""
    bits = np.ascontiguousarray(cells.T).view(np.uint64)
    if (bits == _MISSING_BITS).all():
        return b""
    changes = bits.copy()
    changes[:, 1:] ^= bits[:, :-1]
    return zlib.compress(changes.view(np.uint8).reshape(-1, 8).T.tobytes(), 1)


def unpack(data: bytes, rows: int) -> Cells:
    """Return what :func:`pack` was given, series-major (columns × rows); ``data`` is not empty."""
    planes = np.frombuffer(zlib.decompress(data), np.uint8).reshape(8, -1)
    changes = np.ascontiguousarray(planes.T).view(np.uint64).reshape(-1, rows)
    return np.bitwise_xor.accumulate(changes, axis=1).view(np.float64)


class Chunk:
    """Some consecutive rows, sealed.

    :param first: the number of the first row. :param times: Unix milliseconds, one a row.
    """

    __slots__ = ("first", "groups", "size", "times")

    def __init__(self, first: int, times: NDArray[np.int64]) -> None:
        self.first = first
        self.times = times
        self.groups: list[bytes] = []
        self.size = int(times.nbytes)

    @property
    def stop(self) -> int:
        """The number of the row after the last."""
        return self.first + len(self.times)

    def add(self, cells: Cells) -> None:
        """Seal the next group of columns."""
        packed = pack(cells)
        self.groups.append(packed)
        self.size += len(packed) + _OVERHEAD


class Decoder:
    """Decodes groups, and remembers those it decoded last: whoever looks at a chart looks again in ten seconds.

    :param most: bytes to remember.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._known: OrderedDict[tuple[int, int], Cells] = OrderedDict()
        self.size = 0

    def decoded(self, chunk: Chunk, group: int) -> Cells | None:
        """Return a group of a chunk as columns × rows, not to be written to; None when it holds no sample."""
        if group >= len(chunk.groups) or not chunk.groups[group]:
            return None
        key = (chunk.first, group)
        cells = self._known.get(key)
        if cells is None:
            cells = self._known[key] = unpack(chunk.groups[group], len(chunk.times))
            self.size += cells.nbytes
            while self.size > self.most:
                _, oldest = self._known.popitem(last=False)
                self.size -= oldest.nbytes
        else:
            self._known.move_to_end(key)
        return cells

    def forget(self) -> None:
        """Forget everything."""
        self._known.clear()
        self.size = 0
