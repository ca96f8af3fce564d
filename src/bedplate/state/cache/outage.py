"""What is remembered for when the store is back from an outage: invalidations.

Those that could not be told, and those told shortly before: a replica that takes over, or a server that reads an older
snapshot, has forgotten writes that the one before it had acknowledged.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

__all__ = ["Recent", "Remembered"]


class Remembered:
    """Keys, tags and patterns that were dropped while the store could not be told; all, when they are too many.

    :param most: how many are told apart.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._keys: dict[str, None] = {}
        self._tags: dict[str, None] = {}
        self._patterns: dict[str, None] = {}
        self.everything = False

    def __len__(self) -> int:
        return self.everything + len(self._keys) + len(self._tags) + len(self._patterns)

    def key(self, key: str) -> None:
        """Remember a key."""
        self._add(self._keys, key)

    def tag(self, tag: str) -> None:
        """Remember a tag."""
        self._add(self._tags, tag)

    def pattern(self, pattern: str) -> None:
        """Remember a pattern."""
        self._add(self._patterns, pattern)

    def all(self) -> None:
        """Remember that everything was dropped, which is all that needs to be remembered."""
        self.everything = True
        for names in (self._keys, self._tags, self._patterns):
            names.clear()

    def _add(self, names: dict[str, None], name: str) -> None:
        if self.everything:
            return
        names[name] = None
        if len(self) > self._most:
            self.all()

    def take(self, most: int) -> list[tuple[str, str]]:
        """Take out some, as pairs of kind and name: ``all``, ``pattern``, ``tag``, ``key``, in this order."""
        if self.everything:
            self.everything = False
            return [("all", "")]
        found: list[tuple[str, str]] = []
        for kind, names in (("pattern", self._patterns), ("tag", self._tags), ("key", self._keys)):
            for name in list(_first(names, most - len(found))):
                del names[name]
                found.append((kind, name))
        return found

    def put_back(self, taken: list[tuple[str, str]]) -> None:
        """Remember again what could not be told."""
        for kind, name in taken:
            if kind == "all":
                self.all()
            else:
                self._add({"pattern": self._patterns, "tag": self._tags, "key": self._keys}[kind], name)


def _first(names: dict[str, None], most: int) -> Iterator[str]:
    for _, name in zip(range(most), names, strict=False):
        yield name


class Recent:
    """Invalidations of the last ``seconds``, at most ``most``."""

    def __init__(self, seconds: float, most: int) -> None:
        self._seconds, self._most = seconds, most
        self._done: deque[tuple[float, str, str]] = deque()
        self._forgotten = float("-inf")

    def add(self, wanted: Iterable[tuple[str, str]], now: float) -> None:
        """Note what was done now."""
        if not self._seconds:
            return
        done = self._done
        done.extend((now, kind, name) for kind, name in wanted)
        while len(done) > self._most:
            self._forgotten = done.popleft()[0]
        while done and done[0][0] < now - self._seconds:
            done.popleft()

    def take(self, now: float) -> list[tuple[str, str]]:
        """Take out what was done recently; all, when it was too much to be told apart."""
        done, self._done = self._done, deque()
        if self._forgotten > now - self._seconds:
            return [("all", "")]
        return [(kind, name) for at, kind, name in done if at >= now - self._seconds]
