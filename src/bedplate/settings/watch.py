"""Files that may change while the service runs: noticed by looking, taken only when they have come to rest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

__all__ = ["Watch", "fingerprint"]

Mark = tuple[str, int, int, int]
Fingerprint = tuple[Mark, ...]


def fingerprint(paths: Iterable[Path]) -> Fingerprint:
    """Return what changes when a file does: inode, size and time of each, links followed, directories one level deep.

    Kubernetes swaps a link, editors rename a new file over the old one, and ``echo >`` writes in place; each of them
    changes at least one of the three.
    """
    return tuple(mark for path in sorted(set(paths)) for mark in _marks(path))


def _marks(path: Path) -> Iterator[Mark]:
    try:
        status = path.stat()
        yield str(path), status.st_ino, status.st_size, status.st_mtime_ns
        if path.is_dir():
            for entry in sorted(path.iterdir()):
                inner = entry.stat()
                yield str(entry), inner.st_ino, inner.st_size, inner.st_mtime_ns
    except OSError:
        yield str(path), 0, 0, 0  # not there, or vanished while we looked: that is a state, too


class Watch:
    """What a set of files looked like when it was last read.

    Between a truncation and the last write a file is half of what it will be, so a change counts once two looks in
    a row see the same.

    :param seen: how they looked when they were read; by default, as they look now.
    """

    def __init__(self, paths: Iterable[Path] = (), seen: Fingerprint | None = None) -> None:
        self.taken(paths, seen)

    def taken(self, paths: Iterable[Path], seen: Fingerprint | None = None) -> None:
        """Note that the files were read; ``seen`` is how they looked just before."""
        self._paths = frozenset(paths)
        self._taken = fingerprint(self._paths) if seen is None else seen
        self._moving: Fingerprint | None = None

    def look(self) -> Literal["same", "moving", "changed"]:
        """Look at the files, which blocks: ``changed`` says that they differ from what was read and are at rest."""
        now = fingerprint(self._paths)
        if now == self._taken:
            self._moving = None
            return "same"
        if now == self._moving:
            return "changed"
        self._moving = now
        return "moving"
