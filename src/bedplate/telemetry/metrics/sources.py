"""Reading segments: this process' own memory, another process' files, or the tombstone.

A source knows, from the index that it has read so far, where each of its words goes in the merged array.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
from array import array
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bedplate.telemetry.metrics.cells import Segment
from bedplate.telemetry.metrics.instruments import EXEMPLAR_WORDS
from bedplate.telemetry.metrics.series import Family, Series

__all__ = ["FileSource", "Indexes", "OwnSource", "Places", "Source", "Words"]

Words = NDArray[np.float64]
Indexes = NDArray[np.intp]

_EXEMPLARS = "exemplars"


class Places:
    """Runs of words: where they start in a segment, where in the merged array, and how many they are."""

    __slots__ = ("bases", "lengths", "offsets")

    def __init__(self) -> None:
        self.offsets, self.bases, self.lengths = array("q"), array("q"), array("q")

    def add(self, offset: int, base: int, length: int) -> None:
        self.offsets.append(offset)
        self.bases.append(base)
        self.lengths.append(length)

    def expanded(self, stride: int = 1) -> tuple[Indexes, Indexes]:
        """Return one pair of positions a word; in the segment, words of a run are ``stride`` apart."""
        lengths = np.array(self.lengths, np.intp)
        steps = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        at = np.repeat(np.array(self.offsets, np.intp), lengths) + steps * stride
        return at, np.repeat(np.array(self.bases, np.intp), lengths) + steps


class Source:
    """One segment being read: own memory, another process' files, or the tombstone.

    :param exemplars: whether its words are followed by exemplars; a tombstone has sums only.
    :ivar families: by their number in this segment; None for one that does not fit to what is known under its name.
    """

    def __init__(self, name: str, *, exemplars: bool = True) -> None:
        self.name = name
        self.families: dict[int, Family | None] = {}
        self.series: list[Series] = []
        #: Lines of the index that were read and not yet understood: whoever is cancelled meanwhile loses none.
        self.pending: deque[bytes] = deque()
        self._with_exemplars = exemplars
        self._extent = 0
        self._places: dict[str, Places] = {}
        self._expanded: dict[str, tuple[Indexes, Indexes]] = {}

    def read(self) -> None:
        """Add the lines that the index has got since the last call to :attr:`pending`; a half one waits for its end."""
        raise NotImplementedError

    def dead(self) -> bool:
        """Return whether its writer has ended; from then on the words are final."""
        return False

    def close(self) -> None:
        """Close what was opened to read it."""
        return

    def _buffer(self) -> Any:
        raise NotImplementedError

    def copy(self) -> Words:
        """Return the words of this moment, as many as the lines read so far speak of."""
        return np.array(np.frombuffer(self._buffer(), np.float64, self._extent))

    def place(self, series: Series, offset: int) -> None:
        """Remember that the words at ``offset`` are those of ``series``.

        :raises ValueError: when the segment has no such words.
        """
        family = series.family
        buckets = len(family.buckets) + 1 if family.exemplars and self._with_exemplars else 0
        end = offset + family.width + buckets * EXEMPLAR_WORDS
        if offset < 0 or end > memoryview(self._buffer()).nbytes // 8:
            raise ValueError(f"{self.name} has no words {offset} to {end}.")
        self._extent = max(self._extent, end)
        self._add(family.operation, offset, series.base, 1 if family.operation == "last" else family.width)
        if buckets:
            self._add(_EXEMPLARS, offset + family.width, series.base, buckets)
        self.series.append(series)

    def _add(self, operation: str, offset: int, base: int, length: int) -> None:
        self._places.setdefault(operation, Places()).add(offset, base, length)
        self._expanded.pop(operation, None)

    @property
    def operations(self) -> list[str]:
        """The ways in which words of this source are merged."""
        return [operation for operation in self._places if operation != _EXEMPLARS]

    def permutation(self, operation: str) -> tuple[Indexes, Indexes]:
        """Return, for the words that are merged by ``operation``, where they are and where they go."""
        if operation not in self._expanded:
            stride = EXEMPLAR_WORDS if operation == _EXEMPLARS else 1
            self._expanded[operation] = self._places.get(operation, Places()).expanded(stride)
        return self._expanded[operation]

    def exemplars(self, words: Words) -> tuple[Indexes, Indexes]:
        """Return where whole exemplars are in ``words``, a copy of this source, and to which buckets they belong."""
        at, to = self.permutation(_EXEMPLARS)
        sequence = words.view(np.uint64)[at]
        # Zero was never written, odd was being written, and what has changed since may have changed in mid-copy.
        now = np.frombuffer(self._buffer(), np.uint64)[at]
        whole = np.flatnonzero((sequence != 0) & (sequence & np.uint64(1) == 0) & (now == sequence))
        return at[whole], to[whole]


class OwnSource(Source):
    """A segment of this process, read where it lies."""

    def __init__(self, segment: Segment) -> None:
        super().__init__(segment.id)
        self._segment = segment
        self._read = 0

    def read(self) -> None:
        lines = self._segment.lines[self._read :]
        self._read += len(lines)
        self.pending.extend(lines)

    def _buffer(self) -> Any:
        return self._segment.words


class FileSource(Source):
    """A segment of another process, through a read-only mapping of its own."""

    def __init__(self, directory: Path, name: str, *, exemplars: bool = True) -> None:
        super().__init__(name, exemplars=exemplars)
        self._index = os.open(directory / f"{name}.index", os.O_RDONLY)
        try:
            self._values = os.open(directory / f"{name}.values", os.O_RDWR)
        except OSError:
            os.close(self._index)
            raise
        self._map = mmap.mmap(self._values, 0, prot=mmap.PROT_READ)
        self._rest = b""

    def read(self) -> None:
        data = self._rest
        while chunk := os.read(self._index, 1 << 20):
            data += chunk
        *lines, self._rest = data.split(b"\n")
        self.pending.extend(lines)

    def _buffer(self) -> Any:
        return self._map

    def dead(self) -> bool:
        try:
            fcntl.flock(self._values, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        # The dead do not come back; another scraper must be able to see it, too.
        fcntl.flock(self._values, fcntl.LOCK_UN)
        return True

    def close(self) -> None:
        os.close(self._index)
        os.close(self._values)
        with contextlib.suppress(BufferError):
            self._map.close()
