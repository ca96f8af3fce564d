"""Commands on lists."""

from __future__ import annotations

from itertools import islice

from bedplate.state.memory.space import Space
from bedplate.state.memory.values import ELEMENT, List, encoded, integer, refused
from bedplate.state.store import Argument

__all__ = ["Lists", "span"]


def span(start: int, stop: int, length: int) -> tuple[int, int]:
    """Return a range of Redis, both ends included and negative ones counted from the end, as Python's."""
    start = max(start + length, 0) if start < 0 else start
    stop = stop + length if stop < 0 else min(stop, length - 1)
    return (0, 0) if start > stop else (start, stop + 1)


class Lists(Space):
    """``LPUSH``, ``RPOP`` and their like."""

    def lpush(self, key: str, *values: Argument) -> int:
        """Put elements in front, one after the other; return the new length."""
        elements = self._make(key, List)
        texts = [encoded(value) for value in values]
        elements.extendleft(texts)
        return self._grown(key, elements, texts)

    def rpush(self, key: str, *values: Argument) -> int:
        """Append elements; return the new length."""
        elements = self._make(key, List)
        texts = [encoded(value) for value in values]
        elements.extend(texts)
        return self._grown(key, elements, texts)

    def lpop(self, key: str, count: Argument | None = None) -> bytes | list[bytes] | None:
        """Remove and return the first element, or so many of them; None when there is no such list."""
        return self._popped_end(key, count, first=True)

    def rpop(self, key: str, count: Argument | None = None) -> bytes | list[bytes] | None:
        """Remove and return the last element, or so many of them, from the end."""
        return self._popped_end(key, count, first=False)

    def lrange(self, key: str, start: Argument, stop: Argument) -> list[bytes]:
        """Return elements from ``start`` to ``stop``, both included; negative ones count from the end."""
        elements = self._find(key, List)
        if elements is None:
            return []
        return list(islice(elements, *span(integer(start), integer(stop), len(elements))))

    def lindex(self, key: str, place: Argument) -> bytes | None:
        """Return one element, None when there is none at this place."""
        elements, number = self._find(key, List), integer(place)
        if elements is None or not -len(elements) <= number < len(elements):
            return None
        return elements[number]

    def llen(self, key: str) -> int:
        """Return how many elements there are."""
        return len(self._find(key, List) or ())

    def lrem(self, key: str, count: Argument, value: Argument) -> int:
        """Remove elements that are equal to ``value``: so many from the front, from the end if negative, all if 0."""
        elements, most, text = self._find(key, List), integer(count), encoded(value)
        if elements is None:
            return 0
        if most < 0:
            elements.reverse()
        kept, found = [], 0
        for element in elements:
            if element == text and (most == 0 or found < abs(most)):
                found += 1
            else:
                kept.append(element)
        if most < 0:
            kept.reverse()
            elements.reverse()
        if found:
            elements.clear()
            elements.extend(kept)
            self._shrunk(key, elements, found * (ELEMENT + len(text)))
        return found

    def ltrim(self, key: str, start: Argument, stop: Argument) -> bytes:
        """Keep only elements from ``start`` to ``stop``."""
        elements = self._find(key, List)
        if elements is not None:
            kept = self.lrange(key, start, stop)
            elements.clear()
            elements.extend(kept)
            size = sum(ELEMENT + len(element) for element in kept)
            self._shrunk(key, elements, elements.size - size)
        return b"OK"

    def _grown(self, key: str, elements: List, texts: list[bytes]) -> int:
        grown = sum(map(len, texts)) + ELEMENT * len(texts)
        elements.size += grown
        self._changed(key, grown)
        return len(elements)

    def _shrunk(self, key: str, elements: List, freed: int) -> None:
        elements.size -= freed
        self._changed(key, -freed)
        if not elements:
            self._drop(key)

    def _popped_end(self, key: str, count: Argument | None, *, first: bool) -> bytes | list[bytes] | None:
        most = 1 if count is None else integer(count)
        if most < 0:
            raise refused("value is out of range, must be positive")
        elements = self._find(key, List)
        if elements is None:
            return None
        pop = elements.popleft if first else elements.pop
        texts = [pop() for _ in range(min(most, len(elements)))]
        if texts:
            self._shrunk(key, elements, sum(map(len, texts)) + ELEMENT * len(texts))
        return texts[0] if count is None else texts
