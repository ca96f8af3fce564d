"""The generic cell rate algorithm over keys in memory.

A key is one integer per limit: the *theoretical arrival time*, when all that it has used will be refilled. How far
that lies ahead of now is its debt; a request is allowed when the debt it would leave is at most the limit's tolerance.
(ITU-T I.371, annex A; the form with one state variable.) Times are integers of nanoseconds, so a burst of n is
exactly n.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from typing import Protocol

from bedplate.state.limits.limit import Limit

__all__ = ["Buckets", "MemoryBuckets"]

_ONE_THREAD_AT_A_TIME = getattr(sys, "_is_gil_enabled", lambda: True)()


class Buckets(Protocol):
    """Where the keys are."""

    def take(self, key: str, cost: int, now: int) -> tuple[bool, tuple[int, ...]]:
        """Use ``cost`` units of every limit, or of none when one refuses.

        Return whether it was allowed, and the debts in nanoseconds afterwards, one a limit.
        """
        ...


class MemoryBuckets:
    """Keys in two generations: every key that is touched moves to the young one, and every tolerance the old one is
    dropped whole. Who is in it by then owes nothing, so nothing is lost, and no key is ever looked at to expire it.

    When more than ``capacity`` keys are active at once the generations turn early: the keys that were idle longest are
    forgotten and start anew. Thread-safe.

    :ivar entered: changes whenever the number of keys does.
    :ivar forgotten: keys dropped early so far.
    """

    __slots__ = (
        "_half",
        "_interval",
        "_intervals",
        "_lock",
        "_old",
        "_period",
        "_tolerance",
        "_tolerances",
        "_turn",
        "_young",
        "entered",
        "forgotten",
    )

    def __init__(self, limits: Sequence[Limit], capacity: int) -> None:
        self._intervals = tuple(limit.interval for limit in limits)
        self._tolerances = tuple(limit.tolerance for limit in limits)
        self._interval, self._tolerance = self._intervals[0], self._tolerances[0]
        self._period = max(self._tolerances)
        self._half = max(1, capacity // 2)
        self._young: dict[str, tuple[int, ...]] = {}
        self._old: dict[str, tuple[int, ...]] = {}
        self._turn = 0
        self._lock = threading.Lock()
        self.entered = 0
        self.forgotten = 0

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def take(self, key: str, cost: int, now: int) -> tuple[bool, tuple[int, ...]]:
        """See :class:`Buckets`."""
        with self._lock:
            if now >= self._turn:
                self._age(now)
            if key not in self._young:
                self._enter(key, now)
            young = self._young
            # Again when spend(), which takes no lock, was faster than what is reckoned here.
            while True:
                arrivals = young[key]
                if len(arrivals) == 1:
                    owed = arrivals[0] - now
                    debt = (owed if owed > 0 else 0) + cost * self._intervals[0]
                    if debt > self._tolerances[0]:
                        return False, (owed if owed > 0 else 0,)
                    if young[key] is arrivals:
                        young[key] = (now + debt,)
                        return True, (debt,)
                    continue
                owing = tuple([arrival - now if arrival > now else 0 for arrival in arrivals])
                debts = tuple([owed + cost * interval for owed, interval in zip(owing, self._intervals, strict=True)])
                if any(debt > tolerance for debt, tolerance in zip(debts, self._tolerances, strict=True)):
                    return False, owing
                young[key] = tuple([now + debt for debt in debts])
                return True, debts

    def spend(self, key: str, now: int) -> int:
        """Use one unit of the only limit and return the debt; -1 when :meth:`take` has to be asked.

        It is for what is done with every request, and takes no lock: between look and entry there is no call, and only
        at calls do other threads come in (see ``telemetry/metrics/instruments.py``).
        """
        if now < self._turn and _ONE_THREAD_AT_A_TIME:
            try:
                (arrival,) = self._young[key]
            except KeyError:
                return -1
            debt = self._interval + (arrival - now if arrival > now else 0)
            if debt <= self._tolerance:
                self._young[key] = (now + debt,)
                return debt
        return -1

    def charge(self, key: str, cost: int, now: int) -> None:
        """Use ``cost`` units whatever is left, or give them back; nobody ever owes more than two full bursts."""
        with self._lock:
            # From now on generations last as long as such a debt.
            self._period = 2 * max(self._tolerances)
            if now >= self._turn:
                self._age(now)
            if key not in self._young:
                self._enter(key, now)
            while True:  # see take()
                arrivals = self._young[key]
                debts = [
                    min(max(0, max(0, arrival - now) + cost * interval), 2 * tolerance)
                    for arrival, interval, tolerance in zip(arrivals, self._intervals, self._tolerances, strict=True)
                ]
                after = tuple([now + debt for debt in debts])
                if self._young[key] is arrivals:
                    self._young[key] = after
                    return

    def forget(self, key: str) -> None:
        """Let the key start anew."""
        with self._lock:
            self._young.pop(key, None)
            self._old.pop(key, None)

    def _enter(self, key: str, now: int) -> None:
        """Bring a key into the young generation."""
        self.entered += 1
        if len(self._young) >= self._half:
            self.forgotten += len(self._old)
            self._age(now)
        self._young[key] = self._old.pop(key, (0,) * len(self._intervals))

    def _age(self, now: int) -> None:
        """Drop the old generation and begin a new one."""
        self.entered += 1
        self._old = self._young
        self._young = {}
        self._turn = now + self._period
