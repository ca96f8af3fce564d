"""The near cache: values in this process, in two generations, so that a hit is one look into a dictionary.

New values and those asked for again are in the young generation. When it has half of what may be kept, it becomes the
old one, and what nobody asked for since the last time goes. That is nearly as good as least recently used, and costs a
hit nothing.

What is near is served only while its ``generation`` is that of the cache. Whatever may have made something invalid (a
tag, a pattern, an outage) moves the generation on by one, in no time however much is kept; each entry is then judged
once when it is next asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

from bedplate.state.cache.entries import Entry

__all__ = ["Near"]

#: Entries that are let go in one turn of the event loop.
_SLICE = 1_000


class Near:
    """Entries by key.

    :param entries: how many are kept at most, :param size: and how many bytes, approximately; 0 entries for none.
    :ivar young: the younger generation, which the hit path looks into; it is another dictionary after a while.
    """

    __slots__ = (
        "_bytes",
        "_half",
        "_half_size",
        "_old",
        "_old_bytes",
        "_waste",
        "dropped",
        "generation",
        "now",
        "young",
    )

    def __init__(self, entries: int, size: int) -> None:
        self._half = entries // 2
        self._half_size = size // 2
        self.now: Callable[[], float] = monotonic
        self.generation = 0
        self.young: dict[str, Entry] = {}
        self._old: dict[str, Entry] = {}
        self._bytes = self._old_bytes = 0
        self._waste: list[dict[str, Entry]] = []
        #: Entries that had to make room for others.
        self.dropped = 0

    def __len__(self) -> int:
        return len(self.young) + len(self._old)

    @property
    def size(self) -> int:
        """Bytes in use, approximately."""
        return self._bytes + self._old_bytes

    def find(self, key: str) -> Entry | None:
        """Return an entry, valid or not; it is young again."""
        entry = self.young.get(key)
        if entry is not None:
            return entry
        entry = self._old.pop(key, None)
        if entry is not None:
            self._old_bytes -= entry.size
            self._insert(key, entry)
        return entry

    def put(self, key: str, entry: Entry) -> None:
        """Keep an entry, in the place of another under this key."""
        self.pop(key)
        # One that would push out everything else is not worth it.
        if self._half and entry.size <= self._half_size // 2:
            self._insert(key, entry)

    def pop(self, key: str) -> None:
        """Forget an entry, if it is there."""
        entry = self.young.pop(key, None)
        if entry is not None:
            self._bytes -= entry.size
        elif (entry := self._old.pop(key, None)) is not None:
            self._old_bytes -= entry.size

    def keys(self) -> list[str]:
        """Return the keys of all entries."""
        return [*self.young, *self._old]

    def clear(self) -> None:
        """Forget all entries."""
        self.generation += 1
        for entries in (self.young, self._old):
            self._discard(entries)
        self.young, self._old = {}, {}
        self._bytes = self._old_bytes = 0

    def _insert(self, key: str, entry: Entry) -> None:
        if len(self.young) >= self._half or self._bytes + entry.size > self._half_size:
            self.dropped += len(self._old)
            self._discard(self._old)
            self._old, self._old_bytes = self.young, self._bytes
            self.young, self._bytes = {}, 0
        self.young[key] = entry
        self._bytes += entry.size

    def _discard(self, entries: dict[str, Entry]) -> None:
        """Let entries go, in slices: to free many objects at once would stall the event loop."""
        if len(entries) <= _SLICE:
            return
        self._waste.append(entries)
        if len(self._waste) == 1:
            try:
                asyncio.get_running_loop().call_soon(self._dispose)
            except RuntimeError:
                self._waste.clear()

    def _dispose(self) -> None:
        entries = self._waste[-1]
        for _ in range(min(_SLICE, len(entries))):
            entries.popitem()
        if not entries:
            self._waste.pop()
        if self._waste:
            asyncio.get_running_loop().call_soon(self._dispose)
