"""Reading segments: this process' own memory, another process' files, or the tombstone.

A source knows, from the index that it has read so far, where each of its words goes in the merged array.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bedplate.telemetry.metrics.cells import Segment
from bedplate.telemetry.metrics.series import Family, Series

__all__ = ["FileSource", "OwnSource", "Source", "Words"]

Words = NDArray[np.float64]


class Source:
    """One segment being read: own memory, another process' files, or the tombstone."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.families: dict[int, Family] = {}
        self.pairs: dict[str, tuple[list[int], list[int]]] = {}
        self.arrays: dict[str, tuple[NDArray[np.intp], NDArray[np.intp]]] = {}
        self.exemplars: list[tuple[int, int, int]] = []
        self.series: list[tuple[Series, int]] = []

    def new_lines(self) -> list[bytes]:
        """Return the lines that the index has got since the last call; a half line waits for its end."""
        raise NotImplementedError

    def copy(self) -> Words:
        """Return the words of this moment, the count of words in use first."""
        raise NotImplementedError

    def dead(self) -> bool:
        """Return whether its writer has ended; from then on the words are final."""
        return False

    def close(self) -> None:
        """Close what was opened to read it."""
        return

    def place(self, series: Series, offset: int) -> None:
        """Remember that the words at ``offset`` are those of ``series``."""
        family = series.family
        source, target = self.pairs.setdefault(family.operation, ([], []))
        if family.operation == "last":
            source.append(offset)
            target.append(series.base)
        else:
            source.extend(range(offset, offset + family.width))
            target.extend(range(series.base, series.base + family.width))
        self.arrays.pop(family.operation, None)
        if family.exemplars:
            self.exemplars.append((offset + family.width, series.base, len(family.buckets) + 1))
        self.series.append((series, offset))

    def permutation(self, operation: str) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return, for the words that are merged by ``operation``, where they are and where they go."""
        if operation not in self.arrays:
            source, target = self.pairs[operation]
            self.arrays[operation] = (np.array(source, np.intp), np.array(target, np.intp))
        return self.arrays[operation]


class OwnSource(Source):
    """A segment of this process, read where it lies."""

    def __init__(self, segment: Segment) -> None:
        super().__init__(segment.id)
        self._segment = segment
        self._read = 0

    def new_lines(self) -> list[bytes]:
        lines = self._segment.lines[self._read :]
        self._read += len(lines)
        return lines

    def copy(self) -> Words:
        return np.array(np.frombuffer(self._segment.words, np.float64, int(self._segment.words[0])))


class FileSource(Source):
    """A segment of another process, through a read-only mapping of its own."""

    def __init__(self, directory: Path, name: str) -> None:
        super().__init__(name)
        self._index = os.open(directory / f"{name}.index", os.O_RDONLY)
        try:
            self._values = os.open(directory / f"{name}.values", os.O_RDWR)
        except OSError:
            os.close(self._index)
            raise
        self._map = mmap.mmap(self._values, 0, prot=mmap.PROT_READ)
        self._rest = b""

    def new_lines(self) -> list[bytes]:
        data = self._rest
        while chunk := os.read(self._index, 1 << 20):
            data += chunk
        *lines, self._rest = data.split(b"\n")
        return lines

    def copy(self) -> Words:
        used = int(np.frombuffer(self._map, np.float64, 1)[0])
        return np.array(np.frombuffer(self._map, np.float64, used))

    def dead(self) -> bool:
        try:
            fcntl.flock(self._values, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def close(self) -> None:
        os.close(self._index)
        os.close(self._values)
        with contextlib.suppress(BufferError):
            self._map.close()
