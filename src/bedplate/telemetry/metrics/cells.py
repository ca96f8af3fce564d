"""Cell files: float64 words in shared memory, one writer each, readable by every process of the host.

A segment is a pair of files: ``<id>.values``, an array of float64 words, and ``<id>.index``, JSON lines that say what
the words mean. A line is appended before its words are used, with one ``write``, so a process that dies at any moment
leaves at worst a half line, which readers ignore, or words that were never written, which are 0. The writer holds a
lock on the values file for as long as it lives; a lock that can be taken therefore means that the writer is dead,
whatever its process id says.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import mmap
import os
import threading
import uuid
import weakref
from pathlib import Path
from typing import Any

import orjson

__all__ = ["Segment", "Writer", "clear"]

#: Words of a segment: half a MiB, which is room for 65,536 counters.
SEGMENT_WORDS = 1 << 16

_logger = logging.getLogger("bedplate.metrics")


class Segment:
    """Where one process writes its words; anonymous memory when there is no directory to share.

    :raises OSError: when its files cannot be created; nothing is left of them then.
    """

    def __init__(self, directory: Path | None, words: int | None = None) -> None:
        self.lines: list[bytes] = []
        self.capacity = words or SEGMENT_WORDS
        self.used = 0
        self.id = f"{os.getpid()}-{uuid.uuid4().hex[:12]}"
        self._index = self._lock = -1
        if directory is None:
            self._map = mmap.mmap(-1, self.capacity * 8)
        else:
            self._open(directory)
            _SEGMENTS.add(self)
        view = memoryview(self._map)
        self.words: Any = view.cast("d")
        self.integers: Any = view.cast("Q")

    def _open(self, directory: Path) -> None:
        values, index = directory / f"{self.id}.values", directory / f"{self.id}.index"
        try:
            # Locked before the index exists, and readers start from the index: no reader can see it unlocked.
            self._lock = os.open(values, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            _reserve(self._lock, self.capacity * 8)
            # A mapping keeps a duplicate of its descriptor, and with it that descriptor's lock, for as long as a
            # child refers to it: it gets a descriptor of its own, which has no lock to keep.
            mapped = os.open(values, os.O_RDWR)
            try:
                self._map = mmap.mmap(mapped, self.capacity * 8)
            finally:
                os.close(mapped)
            self._index = os.open(index, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        except BaseException:
            self.close()
            for file in (index, values):
                with contextlib.suppress(OSError):
                    file.unlink()
            raise

    def allocate(self, words: int, line: bytes) -> int | None:
        """Append the index ``line`` for ``words`` new words and return where they start; None when there is no room.

        ``line`` holds ``%d`` where the offset goes.
        """
        start = self.used
        if start + words > self.capacity or not self.append(line % start):
            return None
        self.used = start + words
        return start

    def append(self, line: bytes) -> bool:
        """Append a line to the index; return whether that could be done.

        After a failure the segment takes nothing new: what it has stays valid, and a half line at the end is ignored.
        """
        if self._index >= 0:
            rest = line + b"\n"
            try:
                while rest:
                    rest = rest[os.write(self._index, rest) :]
            except OSError as error:
                _logger.warning("Cannot extend the metrics' index: %s", error)
                self.capacity = self.used
                return False
        self.lines.append(line)
        return True

    def close(self) -> None:
        """Release the lock; whoever scrapes next folds the words into the tombstone.

        The memory itself stays mapped for as long as children refer to it, so that a late update is harmless.
        """
        if self._lock >= 0:
            # A child that was forked from this process may have the same lock open: closing alone would not release it.
            fcntl.flock(self._lock, fcntl.LOCK_UN)
        self.disown()

    def disown(self) -> None:
        """Close the descriptors without releasing the lock, as the child of a fork must: the parent lives on."""
        for descriptor in (self._index, self._lock):
            if descriptor >= 0:
                os.close(descriptor)
        self._index = self._lock = -1


class Writer:
    """All segments of one process and one service; thread-safe.

    :raises OSError: when the first segment cannot be created in the directory.
    """

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
            while placed is None:
                segment = self._another(words)
                self.segments.append(segment)
                placed = self._place(segment, family, labels, words)
            return segment, placed

    def _another(self, words: int) -> Segment:
        size = max(SEGMENT_WORDS, words)
        # A second failure in a row would be a third and fourth: what follows is kept by this process alone.
        if self.directory is not None and self.segments[-1].used:
            try:
                return Segment(self.directory, size)
            except OSError as error:
                # Whoever counts something must not fail because a disk is full or descriptors have run out.
                _logger.warning("New metrics of this process are not shared with the others of its host: %s", error)
        return Segment(None, size)

    def _place(self, segment: Segment, family: dict[str, Any], labels: list[Any], words: int) -> int | None:
        key = (segment.id, family["name"])
        if key not in self._families:
            number = len(self._families)
            if not segment.append(orjson.dumps({"family": number, **family})):
                return None
            self._families[key] = number
        # Labels are user data: a percent sign in them must survive the formatting of the offset.
        encoded = orjson.dumps(labels).replace(b"%", b"%%")
        return segment.allocate(words, b"[%d,%%d,%s]" % (self._families[key], encoded))

    def close(self) -> None:
        """Release the locks of all segments."""
        for segment in self.segments:
            segment.close()


def clear(directory: Path) -> None:
    """Remove what earlier processes have left in a directory of cells; those of living ones stay."""
    with (directory / "fold.lock").open("ab") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        for file in directory.iterdir():
            if file.suffix not in (".values", ".index", ".json") or _held(file.with_suffix(".values")):
                continue
            with contextlib.suppress(OSError):
                file.unlink()


def _held(values: Path) -> bool:
    with contextlib.suppress(FileNotFoundError), values.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


_SEGMENTS: weakref.WeakSet[Segment] = weakref.WeakSet()


def _disown_all() -> None:
    for segment in list(_SEGMENTS):
        segment.disown()


# A forked child shares the lock. Were it to keep it, its parent's cells would look alive for as long as the child is.
os.register_at_fork(after_in_child=_disown_all)


def _reserve(descriptor: int, size: int) -> None:
    """Give a file its size, and its blocks: a write to a mapping of a file without blocks kills when a disk is full."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
    else:
        os.ftruncate(descriptor, size)
