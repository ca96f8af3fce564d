"""Commands on hashes."""

from __future__ import annotations

from collections.abc import Mapping

from bedplate.state.memory.space import Space
from bedplate.state.memory.values import ELEMENT, Hash, encoded, integer, refused
from bedplate.state.store import Argument

__all__ = ["Hashes"]


class Hashes(Space):
    """``HGET``, ``HSET`` and their like."""

    def hget(self, key: str, field: Argument) -> bytes | None:
        """Return a field, None when there is none."""
        fields = self._find(key, Hash)
        return None if fields is None else fields.get(encoded(field))

    def hmget(self, key: str, *fields: Argument) -> list[bytes | None]:
        """Return several fields, None for each that is not there."""
        found = self._find(key, Hash)
        return [None] * len(fields) if found is None else [found.get(encoded(field)) for field in fields]

    def hgetall(self, key: str) -> dict[bytes, bytes]:
        """Return all fields."""
        return dict(self._find(key, Hash) or {})

    def hkeys(self, key: str) -> list[bytes]:
        """Return the names of all fields."""
        return list(self._find(key, Hash) or ())

    def hvals(self, key: str) -> list[bytes]:
        """Return the values of all fields."""
        fields = self._find(key, Hash)
        return [] if fields is None else list(fields.values())

    def hlen(self, key: str) -> int:
        """Return how many fields there are."""
        return len(self._find(key, Hash) or ())

    def hexists(self, key: str, field: Argument) -> int:
        """Return 1 when there is such a field, else 0."""
        return int(encoded(field) in (self._find(key, Hash) or ()))

    def hset(self, key: str, *pairs: Argument, mapping: Mapping[Argument, Argument] | None = None) -> int:
        """Set fields, ``hset(key, "a", 1, "b", 2)`` or by a mapping; return how many are new."""
        flat = [*pairs, *(part for pair in (mapping or {}).items() for part in pair)]
        if not flat or len(flat) % 2:
            raise refused("wrong number of arguments for 'hset' command")
        fields = self._make(key, Hash)
        grown = new = 0
        for name, value in zip(flat[::2], flat[1::2], strict=True):
            field, text = encoded(name), encoded(value)
            old = fields.get(field)
            if old is None:
                new += 1
                grown += ELEMENT + len(field) + len(text)
            else:
                grown += len(text) - len(old)
            fields[field] = text
        fields.size += grown
        self._changed(key, grown)
        return new

    def hsetnx(self, key: str, field: Argument, value: Argument) -> int:
        """Set a field when there is none; return 1, else 0."""
        self._room()
        return 0 if self.hexists(key, field) else self.hset(key, field, value)

    def hincrby(self, key: str, field: Argument, by: Argument = 1) -> int:
        """Add to a field that is a whole number, 0 when there is none; return the sum."""
        by = integer(by)
        self._room()
        present = self.hget(key, field)
        total = by if present is None else integer(present) + by
        if not -(2**63) <= total < 2**63:
            raise refused("increment or decrement would overflow")
        self.hset(key, field, total)
        return total

    def hdel(self, key: str, *names: Argument) -> int:
        """Remove fields; return how many there were. A hash without fields is no more."""
        fields = self._find(key, Hash)
        if fields is None:
            return 0
        found = freed = 0
        for name in names:
            field = encoded(name)
            old = fields.pop(field, None)
            if old is not None:
                found += 1
                freed += ELEMENT + len(field) + len(old)
        if found:
            fields.size -= freed
            self._changed(key, -freed)
            if not fields:
                self._drop(key)
        return found
