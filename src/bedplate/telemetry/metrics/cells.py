"""Cell files: float64 words in shared memory, one writer each, readable by every process of the host.

A segment is a pair of files: ``<id>.values``, an array of float64 words, and ``<id>.index``, JSON lines that say what
the words mean. A line is appended before its words are used, with one ``write``, so a process that dies at any moment
leaves at worst a half line, which readers ignore. The writer holds a lock on the values file for as long as it lives;
a lock that can be taken therefore means that the writer is dead, whatever its process id says.

Word 0 of a segment is the number of words in use.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import threading
import uuid
from pathlib import Path
from typing import Any

import orjson

__all__ = ["Segment", "Writer"]

#: Words of a segment. The file is sparse: only pages that are written take memory or disk.
SEGMENT_WORDS = 1 << 18


class Segment:
    """Where one process writes its words; anonymous memory when there is no directory to share."""

    def __init__(self, directory: Path | None, words: int = SEGMENT_WORDS) -> None:
        self.lines: list[bytes] = []
        self.capacity = words
        self.used = 1
        self._index = -1
        self._values = -1
        self.id = f"{os.getpid()}-{uuid.uuid4().hex[:12]}"
        if directory is None:
            self._map = mmap.mmap(-1, words * 8)
        else:
            self._values = os.open(directory / f"{self.id}.values", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            # Locked before the index exists, and readers start from the index: no reader can see it unlocked.
            fcntl.flock(self._values, fcntl.LOCK_EX)
            os.ftruncate(self._values, words * 8)
            self._map = mmap.mmap(self._values, words * 8)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
            self._index = os.open(directory / f"{self.id}.index", flags, 0o600)
        view = memoryview(self._map)
        self.words: Any = view.cast("d")
        self.integers: Any = view.cast("Q")
        self.words[0] = 1.0

    def allocate(self, words: int, line: bytes) -> int | None:
        """Append the index ``line`` for ``words`` new words and return where they start; None when there is no room.

        ``line`` holds ``%d`` where the offset goes.
        """
        start = self.used
        if start + words > self.capacity:
            return None
        self.append(line % start)
        self.used = start + words
        self.words[0] = float(self.used)
        return start

    def append(self, line: bytes) -> None:
        """Append a line to the index."""
        if self._index >= 0:
            os.write(self._index, line + b"\n")
        self.lines.append(line)

    def close(self) -> None:
        """Release the lock; whoever scrapes next folds the words into the tombstone.

        The memory itself stays mapped for as long as children refer to it, so that a late update is harmless.
        """
        if self._values >= 0:
            # Closing alone does not unlock: the mapping keeps a duplicate of the descriptor.
            fcntl.flock(self._values, fcntl.LOCK_UN)
        for descriptor in (self._index, self._values):
            if descriptor >= 0:
                os.close(descriptor)
        self._index = self._values = -1


class Writer:
    """All segments of one process and one service; thread-safe."""

    def __init__(self, directory: Path | None) -> None:
        self.directory = directory
        self._lock = threading.Lock()
        self._families: dict[tuple[str, str], int] = {}
        self.segments: list[Segment] = [Segment(directory)]

    def allocate(self, family: dict[str, Any], labels: list[Any], words: int) -> tuple[Segment, int]:
        """Return the segment and the offset of ``words`` new words for a series of ``family``."""
        with self._lock:
            segment = self.segments[-1]
            placed = self._place(segment, family, labels, words)
            if placed is None:
                segment = Segment(self.directory, max(SEGMENT_WORDS, words + 1))
                self.segments.append(segment)
                placed = self._place(segment, family, labels, words)
            assert placed is not None
            return segment, placed

    def _place(self, segment: Segment, family: dict[str, Any], labels: list[Any], words: int) -> int | None:
        key = (segment.id, family["name"])
        if key not in self._families:
            self._families[key] = number = len(self._families)
            segment.append(orjson.dumps({"family": number, **family}))
        # Labels are user data: a percent sign in them must survive the formatting of the offset.
        encoded = orjson.dumps(labels).replace(b"%", b"%%")
        return segment.allocate(words, b"[%d,%%d,%s]" % (self._families[key], encoded))

    def close(self) -> None:
        """Release the locks of all segments."""
        for segment in self.segments:
            segment.close()
