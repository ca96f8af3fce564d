"""What is remembered while the store is away: invalidations, to be done when it is back."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["Remembered"]


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
