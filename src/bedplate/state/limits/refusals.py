"""Refusals that need not be asked for again: who was told to wait is refused until then without a round trip.

It is exact: until then nobody else's requests could have made it pass. What could, is told or bounded: a key that is
reset is forgotten everywhere, and what a server's clock may do is noticed within a minute.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["Refusals"]

#: Until when, for which cost, since when, and what the store replied.
Refusal = tuple[float, int, float, Sequence[int]]

#: Seconds for which a refusal is remembered at most.
_MINUTE = 60.0


class Refusals:
    """The last refusal by key, in seconds of a clock that never goes back.

    :param capacity: keys at most; when there are more, those that were refused longest ago are asked for again.
    :ivar young: refusals by key, the later half, :ivar old: the earlier one; a key that is in neither was not refused.
    """

    __slots__ = ("_half", "old", "young")

    def __init__(self, capacity: int) -> None:
        self._half = max(1, capacity // 2)
        self.young: dict[str, Refusal] = {}
        self.old: dict[str, Refusal] = {}

    def __len__(self) -> int:
        return len(self.young) + len(self.old)

    def put(self, key: str, cost: int, reply: Sequence[int], now: float) -> None:
        """Remember a refusal, as the store replied it."""
        if len(self.young) >= self._half and key not in self.young:
            self.old, self.young = self.young, {}
        wait = max(reply[3::3]) / 1e6
        self.old.pop(key, None)
        self.young[key] = (now + min(wait, _MINUTE), cost, now, reply)

    def get(self, key: str, cost: int, now: float) -> list[int] | None:
        """Return what the store would reply now; None when it has to be asked."""
        found = self.young.get(key) or self.old.get(key)
        if found is None:
            return None
        until, refused, at, reply = found
        if now >= until:
            self.forget(key)
            return None
        if cost < refused:
            return None
        passed = int((now - at) * 1e6)
        present = list(reply)
        for place in range(1, len(present), 3):
            present[place + 1] = max(0, present[place + 1] - passed)
            present[place + 2] = max(0, present[place + 2] - passed)
        return present

    def forget(self, key: str) -> None:
        """Ask for this key again."""
        self.young.pop(key, None)
        self.old.pop(key, None)

    def clear(self) -> None:
        """Ask for all again."""
        self.young, self.old = {}, {}
