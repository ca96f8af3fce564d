"""The keys themselves: what they hold, when they end, how much there may be of them, and who hears of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import islice
from typing import Any, TypeVar

from bedplate.clock import Clock, SystemClock
from bedplate.state.memory.values import KEY, refused, wrong_type

__all__ = ["Space"]

T = TypeVar("T")
#: Keys that are evicted in one go: finding the oldest costs as much for many as for one.
_BATCH = 64
#: Names of keys that ended are kept until their time comes, if there are not many more of them than of live ones.
_SLACK = 1024


class Space:
    """Keys with a type, an end and a size. Types add their commands in mixins.

    :param most: bytes that all keys together may take, approximately. :param evicts: whether those used longest ago
        make room for new ones; else what would need room is refused with ``OOM``.
    :ivar now: the Unix time in µs; it stands still within an operation, as it does for a script.
    :ivar now_ms: the same in ms.
    """

    def __init__(self, clock: Clock | None = None, *, most: int = 0, evicts: bool = False) -> None:
        clock = clock or SystemClock()
        self._time: Callable[[], int] = (
            _microseconds if isinstance(clock, SystemClock) else lambda: int(clock.time() * 1e6)
        )
        self._most, self._evicts = most, evicts
        self._data: dict[str, Any] = {}
        self._expires: dict[str, int] = {}
        # Keys by the second in which they may end. A key is in one second's list, as a rule: a later end is found out
        # when that second comes, so that what is prolonged again and again costs nothing more.
        self._filed: dict[str, int] = {}
        self._due: dict[int, list[str]] = {}
        self._seconds: list[int] = []
        self._full = self._written = False
        self.used = 0
        self.evicted = 0
        self.expired = 0
        #: Set by who wants to know of changes: it gets every key that was written, deleted, evicted or has ended.
        self.noted: Callable[[str], None] | None = None
        #: Set by who delivers what operations publish; it returns to how many.
        self.told: Callable[[str, bytes], int] | None = None
        self.now = self.now_ms = 0
        self.begin()

    def begin(self) -> None:
        """Begin an operation: look at the clock, and at how much room there is."""
        self.now = now = self._time()
        self.now_ms = now // 1000
        self._full = self._written = False
        if self.used > self._most > 0:
            if self._evicts:
                self._evict()
            else:
                self._full = True

    def sweep(self, limit: int = 1000) -> bool:
        """Remove at most about ``limit`` keys that have ended; return whether there may be more of them."""
        self.begin()
        second = self.now // 1_000_000
        while self._seconds and self._seconds[0] < second and limit > 0:
            due = self._due[self._seconds[0]]
            part = due[-limit:]
            del due[-limit:]
            limit -= len(part)
            for key in part:
                self._look(key, self._seconds[0])
            if not due:
                del self._due[heappop(self._seconds)]
        if len(self._filed) > 2 * len(self._expires) + _SLACK:
            self._file_again()
        return bool(self._seconds) and self._seconds[0] < second

    def clear(self) -> None:
        """Forget all keys."""
        for name in (self._data, self._expires, self._filed, self._due):
            name.clear()
        self._seconds.clear()
        self.used = 0

    def __len__(self) -> int:
        return len(self._data)

    # What the commands stand on.

    def _find(self, key: str, kind: type[T]) -> T | None:
        """Return what a key holds, None when there is no such key.

        :raises StoreReplyError: when it holds something else.
        """
        value = self._data.get(key)
        if value is None or (key in self._expires and self._over(key)):
            return None
        if value.__class__ is not kind:
            raise wrong_type()
        if self._evicts:
            # The order of a dictionary is that of insertion: the last used is the last.
            self._data[key] = self._data.pop(key)
        return value

    def _make(self, key: str, kind: Callable[[], T]) -> T:
        """Return what a key holds, a new one when there is no such key. Something will be put into it."""
        self._room()
        value = self._find(key, kind)  # type: ignore[arg-type]
        if value is None:
            value = self._data[key] = kind()
            self.used += KEY + len(key)
        return value

    def _alive(self, key: str) -> bool:
        return key in self._data and not (key in self._expires and self._over(key))

    def _room(self) -> None:
        """Refuse what needs room when there is none; but an operation that has begun to write goes on, as in Redis."""
        if self._full and not self._written:
            raise refused("command not allowed when used memory > 'maxmemory'.", "OOM")

    def _changed(self, key: str, grown: int = 0) -> None:
        self._written = True
        self.used += grown
        if self.noted is not None:
            self.noted(key)

    def _drop(self, key: str) -> None:
        """Remove a key that is there."""
        value = self._data.pop(key)
        self._expires.pop(key, None)
        size = len(value) if value.__class__ is bytes else value.size
        self._changed(key, -(KEY + len(key) + size))

    def _put(self, key: str, value: Any, size: int) -> None:
        """Set what a key holds, whatever it held; its end stays."""
        old = self._data.pop(key, None)
        if old is None:
            size += KEY + len(key)
        else:
            size -= len(old) if old.__class__ is bytes else old.size
        self._data[key] = value
        self._changed(key, size)

    def _end(self, key: str, at: int | None) -> None:
        """Set when a key ends, in ms; None for never."""
        if at is None:
            self._expires.pop(key, None)
            return
        self._expires[key] = at
        second = at // 1000
        filed = self._filed.get(key)
        if filed is None or second < filed:
            self._file(key, second)

    def _over(self, key: str) -> bool:
        """Whether a key has ended; it is removed then. It still is there in its last millisecond, as in Redis."""
        if self.now_ms <= self._expires[key]:
            return False
        written = self._written
        self._drop(key)
        self._written = written
        self.expired += 1
        return True

    def _file(self, key: str, second: int) -> None:
        self._filed[key] = second
        due = self._due.get(second)
        if due is None:
            due = self._due[second] = []
            heappush(self._seconds, second)
        due.append(key)

    def _look(self, key: str, second: int) -> None:
        """Look after a key whose second has come: it has ended, or ends later, or is not there any more."""
        if self._filed.get(key) != second:
            return
        del self._filed[key]
        at = self._expires.get(key)
        if at is not None and not self._over(key):
            self._file(key, max(at // 1000, second + 1))

    def _file_again(self) -> None:
        self._filed.clear()
        self._due.clear()
        self._seconds.clear()
        for key, at in self._expires.items():
            self._file(key, at // 1000)

    def _evict(self) -> None:
        while self.used > self._most and self._data:
            for key in list(islice(self._data, _BATCH)):
                if self.used <= self._most:
                    break
                self._drop(key)
                self.evicted += 1
        self._written = False


def _microseconds() -> int:
    return time.time_ns() // 1000
