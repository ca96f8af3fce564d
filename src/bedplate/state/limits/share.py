"""What one instance lets through by itself while the store is away: its part of every quota.

Whatever the strategy, a part refills evenly: the generic cell rate algorithm with the quota and the burst divided by
the number of instances. Someone whose single request is larger than the part of the burst gets it through when nothing
is owed, so nobody is shut out; that is what all instances together may exceed the quota by, a request each.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bedplate.state.limits.limit import Limit

__all__ = ["Owed", "Part", "Share"]

#: A key of the store, the number of its limit, and the units to charge there.
Owed = tuple[str, int, int]


class Part(list[int]):
    """A decision by the own part, in the form of the store's reply."""

    __slots__ = ()


class Share:
    """What is owed by key of the store; a key is of one limit. Times are whole µs of a clock that never goes back.

    Keys are in two generations: every key that is used moves to the young one. When more than ``capacity`` are active,
    the old one is dropped: who was idle longest is forgotten and starts anew.

    :ivar forgotten: how many were, so far.
    """

    __slots__ = ("_half", "_intervals", "_limits", "_most", "_old", "_young", "forgotten")

    def __init__(self, limits: Sequence[Limit], capacity: int) -> None:
        self._limits = tuple(limits)
        self._half = max(1, capacity // 2)
        #: Of each key: when all is paid back, the number of its limit, and units that the store does not know of.
        self._young: dict[str, list[float]] = {}
        self._old: dict[str, list[float]] = {}
        self.forgotten = 0
        self.divide(1)

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def divide(self, instances: int) -> None:
        """Let each of so many instances have the same part."""
        self._intervals = [limit.window * 1e6 * instances / limit.quota for limit in self._limits]
        self._most = [
            max(1, limit.burst // instances) * interval
            for limit, interval in zip(self._limits, self._intervals, strict=True)
        ]

    def take(self, numbers: Sequence[int], keys: Sequence[str], cost: int, now: float, *, takes: bool = True) -> Part:
        """Take units of several limits, all or none.

        :param numbers: of the limits that the keys are of. :param takes: else it only looks.
        :returns: what the store would reply: 1 or 0, and of each limit units left, µs until it is whole, µs to wait.
        """
        reply, after, allowed = Part((1,)), [], True
        for number, key in zip(numbers, keys, strict=True):
            interval, most = self._intervals[number], self._most[number]
            owed = self._owed(key, now)
            debt = owed + cost * interval
            wait = debt - max(most, cost * interval)
            # Fractions of a µs are no reason to let anybody wait.
            if wait >= 1:
                allowed = False
            after.append(debt)
            reply += int(max(0.0, most - owed) / interval + 1e-9), round(owed), max(0, round(wait))
        if not allowed:
            reply[0] = 0
            return reply
        if cost and takes:
            for place, (number, key, debt) in enumerate(zip(numbers, keys, after, strict=True)):
                self._put(key, now + debt, number, cost)
                left = max(0.0, self._most[number] - debt) / self._intervals[number]
                reply[3 * place + 1 : 3 * place + 4] = int(left + 1e-9), round(debt), 0
        return reply

    def charge(self, numbers: Sequence[int], keys: Sequence[str], cost: int, now: float) -> None:
        """Charge units whatever is left, or give them back; nobody ever owes more than two parts of the burst."""
        for number, key in zip(numbers, keys, strict=True):
            debt = self._owed(key, now) + cost * self._intervals[number]
            self._put(key, now + min(max(0.0, debt), 2 * self._most[number]), number, cost)

    def forget(self, keys: Iterable[str]) -> None:
        """Let keys start anew."""
        for key in keys:
            self._young.pop(key, None)
            self._old.pop(key, None)

    def keys(self) -> list[str]:
        """Return all keys, those that were used longest ago first."""
        return [*self._old, *self._young]

    def tell(self, keys: Iterable[str], now: float) -> list[Owed]:
        """Return what is still owed by some keys and the store does not know of; it is taken as told."""
        owed: list[Owed] = []
        for key in keys:
            entry = self._young.get(key) or self._old.get(key)
            if entry is None or entry[2] <= 0:
                continue
            number = int(entry[1])
            units = min(int(entry[2]), -int(-(entry[0] - now) // self._intervals[number]))
            entry[2] = 0
            if units > 0:
                owed.append((key, number, units))
        return owed

    def untell(self, owed: Iterable[Owed]) -> None:
        """Take back what the store could not be told."""
        for key, _, units in owed:
            entry = self._young.get(key) or self._old.get(key)
            if entry is not None:
                entry[2] += units

    def clear(self) -> None:
        """Let all start anew."""
        self._young, self._old = {}, {}

    def _owed(self, key: str, now: float) -> float:
        entry = self._young.get(key) or self._old.get(key)
        return 0.0 if entry is None or entry[0] < now else entry[0] - now

    def _put(self, key: str, arrival: float, number: int, units: int) -> None:
        entry = self._young.get(key)
        if entry is None:
            entry = self._old.pop(key, None) or [0.0, number, 0]
            if len(self._young) >= self._half:
                self.forgotten += len(self._old)
                self._old, self._young = self._young, {}
            self._young[key] = entry
        entry[0] = arrival
        entry[2] += units
