"""Commands on sets."""

from __future__ import annotations

from itertools import islice

from bedplate.state.memory.space import Space
from bedplate.state.memory.values import ELEMENT, Members, encoded
from bedplate.state.store import Argument

__all__ = ["Sets"]


class Sets(Space):
    """``SADD``, ``SMEMBERS`` and their like. Redis returns members in no order; here it is that of adding."""

    def sadd(self, key: str, *names: Argument) -> int:
        """Add members; return how many are new."""
        members = self._make(key, Members)
        grown = new = 0
        for name in names:
            member = encoded(name)
            if member not in members:
                members[member] = None
                new += 1
                grown += ELEMENT + len(member)
        members.size += grown
        if new:
            self._changed(key, grown)
        return new

    def srem(self, key: str, *names: Argument) -> int:
        """Remove members; return how many there were. A set without members is no more."""
        members = self._find(key, Members)
        if members is None:
            return 0
        found = freed = 0
        for name in names:
            member = encoded(name)
            if member in members:
                del members[member]
                found += 1
                freed += ELEMENT + len(member)
        if found:
            members.size -= freed
            self._changed(key, -freed)
            if not members:
                self._drop(key)
        return found

    def spop(self, key: str, count: int | None = None) -> list[bytes] | bytes | None:
        """Remove and return some members, one without a count."""
        names = list(islice(self._find(key, Members) or (), 1 if count is None else count))
        self.srem(key, *names)
        return names if count is not None else names[0] if names else None

    def smembers(self, key: str) -> list[bytes]:
        """Return all members."""
        return list(self._find(key, Members) or ())

    def scard(self, key: str) -> int:
        """Return how many members there are."""
        return len(self._find(key, Members) or ())

    def sismember(self, key: str, name: Argument) -> int:
        """Return 1 for a member, else 0."""
        return int(encoded(name) in (self._find(key, Members) or ()))

    def smismember(self, key: str, *names: Argument) -> list[int]:
        """Return 1 for each that is a member, else 0."""
        members = self._find(key, Members) or ()
        return [int(encoded(name) in members) for name in names]
