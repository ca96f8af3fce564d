"""Commands on strings."""

from __future__ import annotations

from collections.abc import Mapping

from bedplate.state.memory.space import Space
from bedplate.state.memory.values import encoded, integer, refused
from bedplate.state.store import Argument

__all__ = ["Strings"]


class Strings(Space):
    """``GET``, ``SET``, ``INCRBY`` and their like."""

    def get(self, key: str) -> bytes | None:
        """Return a string, None when there is none."""
        return self._find(key, bytes)

    def mget(self, *keys: str) -> list[bytes | None]:
        """Return several strings; None for what is not there or is no string."""
        return [self._find(key, bytes) if self._data.get(key).__class__ is bytes else None for key in keys]

    def strlen(self, key: str) -> int:
        """Return how many bytes a string has."""
        return len(self._find(key, bytes) or b"")

    def set(  # Redis has these options
        self,
        key: str,
        value: Argument,
        *,
        px: Argument | None = None,
        pxat: Argument | None = None,
        ex: Argument | None = None,
        nx: bool = False,
        xx: bool = False,
        keepttl: bool = False,
        get: bool = False,
    ) -> bytes | None:
        """Set a string; return ``OK``, or None when the condition does not hold.

        :param px: milliseconds until it ends. :param pxat: the Unix time in milliseconds at which it does.
        :param ex: seconds until it ends. :param nx: only when there is no such key. :param xx: only when there is one.
        :param keepttl: leave the present end. :param get: return what was there before, set or not.
        """
        end = self._end_of(px, pxat, ex)
        self._room()
        there = self._alive(key)
        before = self._find(key, bytes) if get else None
        if (nx and there) or (xx and not there):
            return before
        if end is not None and end <= self.now_ms:
            if there:
                self._drop(key)
            return before if get else b"OK"
        text = encoded(value)
        self._put(key, text, len(text))
        if end is not None or not keepttl:
            self._end(key, end)
        return before if get else b"OK"

    def setnx(self, key: str, value: Argument) -> int:
        """Set a string when there is no such key; return 1, else 0."""
        return int(self.set(key, value, nx=True) is not None)

    def mset(self, values: Mapping[str, Argument]) -> bytes:
        """Set several strings."""
        for key, value in values.items():
            self.set(key, value)
        return b"OK"

    def getdel(self, key: str) -> bytes | None:
        """Return a string and remove it."""
        value = self._find(key, bytes)
        if value is not None:
            self._drop(key)
        return value

    def getex(
        self, key: str, *, px: Argument | None = None, pxat: Argument | None = None, ex: Argument | None = None
    ) -> bytes | None:
        """Return a string and set its end; without one, leave it."""
        end = self._end_of(px, pxat, ex)
        value = self._find(key, bytes)
        if value is None or end is None:
            return value
        if end <= self.now_ms:
            self._drop(key)
        else:
            self._end(key, end)
            self._changed(key)
        return value

    def append(self, key: str, value: Argument) -> int:
        """Append to a string; return its new length."""
        self._room()
        text = (self._find(key, bytes) or b"") + encoded(value)
        self._put(key, text, len(text))
        return len(text)

    def incrby(self, key: str, by: Argument = 1) -> int:
        """Add to a whole number, 0 when there is none; return the sum.

        :raises StoreReplyError: when the string is no number, or the sum does not fit into 64 bits.
        """
        by = integer(by)
        self._room()
        present = self._find(key, bytes)
        total = by if present is None else integer(present) + by
        if not -(2**63) <= total < 2**63:
            raise refused("increment or decrement would overflow")
        text = b"%d" % total
        self._put(key, text, len(text))
        return total

    def incr(self, key: str) -> int:
        """Add 1."""
        return self.incrby(key, 1)

    def decrby(self, key: str, by: Argument = 1) -> int:
        """Subtract from a whole number."""
        return self.incrby(key, -integer(by))

    def decr(self, key: str) -> int:
        """Subtract 1."""
        return self.incrby(key, -1)

    def _end_of(self, px: Argument | None, pxat: Argument | None, ex: Argument | None) -> int | None:
        if px is None and pxat is None and ex is None:
            return None
        value = integer(px if px is not None else pxat if pxat is not None else ex)  # type: ignore[arg-type]
        if value <= 0:
            raise refused("invalid expire time in 'set' command")
        if pxat is not None:
            return value
        return self.now_ms + (value if px is not None else value * 1000)
