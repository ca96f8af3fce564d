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
    """Arrival times by key of the store; a key is of one limit. Times are whole µs of a clock that never goes back.

    :param capacity: keys at most; beyond it the oldest is forgotten and starts anew.
    :ivar forgotten: how many were, so far.
    """

    __slots__ = ("_arrivals", "_capacity", "_intervals", "_limits", "_most", "forgotten")

    def __init__(self, limits: Sequence[Limit], capacity: int) -> None:
        self._limits = tuple(limits)
        self._capacity = max(1, capacity)
        self._arrivals: dict[str, tuple[float, int]] = {}
        self.forgotten = 0
        self.divide(1)

    def __len__(self) -> int:
        return len(self._arrivals)

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
                self._put(key, now + debt, number)
                left = max(0.0, self._most[number] - debt) / self._intervals[number]
                reply[3 * place + 1 : 3 * place + 4] = int(left + 1e-9), round(debt), 0
        return reply

    def charge(self, numbers: Sequence[int], keys: Sequence[str], cost: int, now: float) -> None:
        """Charge units whatever is left, or give them back; nobody ever owes more than two parts of the burst."""
        for number, key in zip(numbers, keys, strict=True):
            debt = self._owed(key, now) + cost * self._intervals[number]
            self._put(key, now + min(max(0.0, debt), 2 * self._most[number]), number)

    def forget(self, keys: Iterable[str]) -> None:
        """Let keys start anew."""
        for key in keys:
            self._arrivals.pop(key, None)

    def drain(self, now: float) -> list[Owed]:
        """Return what is owed, for the store that is back to know, and begin with nothing."""
        arrivals, self._arrivals = self._arrivals, {}
        owed: list[Owed] = []
        for key, (arrival, number) in arrivals.items():
            units = -int(-(arrival - now) // self._intervals[number])
            if units > 0:
                owed.append((key, number, units))
        return owed

    def restore(self, owed: Iterable[Owed], now: float) -> None:
        """Take back what the store could not be told."""
        for key, number, units in owed:
            debt = self._owed(key, now) + units * self._intervals[number]
            self._put(key, now + min(debt, 2 * self._most[number]), number)

    def _owed(self, key: str, now: float) -> float:
        found = self._arrivals.get(key)
        return 0.0 if found is None or found[0] < now else found[0] - now

    def _put(self, key: str, arrival: float, number: int) -> None:
        if key not in self._arrivals and len(self._arrivals) >= self._capacity:
            del self._arrivals[next(iter(self._arrivals))]
            self.forgotten += 1
        self._arrivals[key] = (arrival, number)
