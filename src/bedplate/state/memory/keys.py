"""Commands on keys of any type."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import re2  # type: ignore[import-untyped]

from bedplate.state.memory.space import Space
from bedplate.state.memory.values import encoded, integer, key_of, refused
from bedplate.state.store import Argument

__all__ = ["Keys"]

#: Scans that may be under way at once; each holds the names that it has not returned yet.
_SCANS = 64


class Keys(Space):
    """``EXISTS``, ``DEL``, ``EXPIRE``, ``SCAN``, ``PUBLISH`` and their like."""

    def exists(self, *keys: str) -> int:
        """Return how many of the keys there are; one that is named twice counts twice."""
        return sum(self._alive(key) for key in keys)

    def delete(self, *keys: str) -> int:
        """Remove keys; return how many there were (``DEL``, ``UNLINK``)."""
        found = 0
        for key in keys:
            if self._alive(key):
                self._drop(key)
                found += 1
        return found

    def expire(
        self, key: str, seconds: Argument, *, nx: bool = False, xx: bool = False, gt: bool = False, lt: bool = False
    ) -> int:
        """End a key in so many seconds; return 1, or 0 when there is no such key or the condition does not hold."""
        return self.pexpireat(key, self.now_ms + integer(seconds) * 1000, nx=nx, xx=xx, gt=gt, lt=lt)

    def pexpire(
        self, key: str, ms: Argument, *, nx: bool = False, xx: bool = False, gt: bool = False, lt: bool = False
    ) -> int:
        """End a key in so many milliseconds."""
        return self.pexpireat(key, self.now_ms + integer(ms), nx=nx, xx=xx, gt=gt, lt=lt)

    def expireat(self, key: str, at: Argument) -> int:
        """End a key at a Unix time in seconds."""
        return self.pexpireat(key, integer(at) * 1000)

    def pexpireat(
        self, key: str, at: Argument, *, nx: bool = False, xx: bool = False, gt: bool = False, lt: bool = False
    ) -> int:
        """End a key at a Unix time in milliseconds.

        :param nx: only when it has no end. :param xx: only when it has one. :param gt: only when that is later than
            the present one, none being the latest. :param lt: only when it is earlier.
        """
        end = integer(at)
        if not self._alive(key):
            return 0
        present = self._expires.get(key)
        if (nx and present is not None) or (xx and present is None):
            return 0
        if (gt and (present is None or end <= present)) or (lt and present is not None and end >= present):
            return 0
        if end <= self.now_ms:
            self._drop(key)
        else:
            self._end(key, end)
            self._changed(key)
        return 1

    def persist(self, key: str) -> int:
        """Let a key never end; return 1, or 0 when it had no end or is not there."""
        if not self._alive(key) or key not in self._expires:
            return 0
        self._end(key, None)
        self._changed(key)
        return 1

    def pttl(self, key: str) -> int:
        """Return the milliseconds until a key ends; -1 when it never does, -2 when there is no such key."""
        if not self._alive(key):
            return -2
        at = self._expires.get(key)
        return -1 if at is None else at - self.now_ms

    def ttl(self, key: str) -> int:
        """Return the same in seconds, rounded."""
        left = self.pttl(key)
        return left if left < 0 else (left + 500) // 1000

    def pexpiretime(self, key: str) -> int:
        """Return the Unix time in milliseconds at which a key ends; -1 when never, -2 when there is no such key."""
        if not self._alive(key):
            return -2
        return self._expires.get(key, -1)

    def type(self, key: str) -> bytes:
        """Return ``string``, ``hash``, ``set``, ``zset``, ``list``, ``stream`` or ``none``."""
        return _TYPES[self._data[key].__class__.__name__] if self._alive(key) else b"none"

    def publish(self, channel: Argument, message: Argument) -> int:
        """Tell who listens to a channel; return to how many it will be given."""
        return 0 if self.told is None else self.told(key_of(channel), encoded(message))

    def scan(self, cursor: Argument = 0, match: Argument | None = None, count: int = 10) -> list[object]:
        """Return ``[next cursor, keys]``, a part of all keys; 0 begins, and ends.

        What is there from the first to the last call is returned exactly once, which is more than Redis promises.

        :raises StoreReplyError: for a cursor that this did not return, or that too many newer ones have followed.
        """
        number = integer(cursor)
        if number == 0:
            names, place = list(self._data), 0
        elif number in self._scans:
            names, place = self._scans.pop(number)
        else:
            raise refused("invalid cursor")
        wanted = None if match is None else _matcher(encoded(match))
        found = []
        for key in names[place : place + count]:
            name = encoded(key)
            if self._alive(key) and (wanted is None or wanted(name)):
                found.append(name)
        place += count
        if place >= len(names):
            return [b"0", found]
        self._scan += 1
        self._scans[self._scan] = (names, place)
        while len(self._scans) > _SCANS:
            del self._scans[next(iter(self._scans))]
        return [b"%d" % self._scan, found]

    _scan = 0

    def __init__(self, *args: object, **options: object) -> None:
        self._scans: dict[int, tuple[list[str], int]] = {}
        super().__init__(*args, **options)  # type: ignore[arg-type]


_TYPES = {
    "bytes": b"string",
    "Hash": b"hash",
    "Members": b"set",
    "Sorted": b"zset",
    "List": b"list",
    "Stream": b"stream",
}


@lru_cache(maxsize=256)
def _matcher(pattern: bytes) -> Callable[[bytes], object]:
    """Return what tells whether a name matches a pattern of ``*``, ``?``, ``[a-z]``, ``[^a]`` and ``\\``."""
    expression, place = [b"(?s)"], 0
    while place < len(pattern):
        sign = pattern[place : place + 1]
        place += 1
        if sign == b"*":
            expression.append(b".*")
        elif sign == b"?":
            expression.append(b".")
        elif sign == b"[":
            part, place = _one_of(pattern, place)
            expression.append(part)
        else:
            if sign == b"\\" and place < len(pattern):
                sign = pattern[place : place + 1]
                place += 1
            expression.append(_literal(sign))
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    # Not re, which takes ever longer for a pattern of many stars.
    matches: Callable[[bytes], object] = re2.compile(b"".join(expression), options=options).fullmatch
    return matches


def _one_of(pattern: bytes, place: int) -> tuple[bytes, int]:
    """Return the expression of what follows a ``[``, and where it ends; without a ``]`` it reaches to the end."""
    inverted = pattern[place : place + 1] == b"^"
    place += inverted
    ranges: list[tuple[int, int]] = []
    while place < len(pattern) and pattern[place] != 0x5D:
        if pattern[place] == 0x5C and place + 1 < len(pattern):
            place += 1
            ranges.append((pattern[place], pattern[place]))
        elif place + 2 < len(pattern) and pattern[place + 1] == 0x2D:
            ends = sorted((pattern[place], pattern[place + 2]))
            ranges.append((ends[0], ends[1]))
            place += 2
        else:
            ranges.append((pattern[place], pattern[place]))
        place += 1
    signs = b"".join(b"\\x%02x-\\x%02x" % ends for ends in ranges)
    if not ranges:
        return (b"." if inverted else b"[^\\x00-\\xff]"), place + 1
    return b"[" + (b"^" if inverted else b"") + signs + b"]", place + 1


def _literal(sign: bytes) -> bytes:
    return b"\\x%02x" % sign[0]
