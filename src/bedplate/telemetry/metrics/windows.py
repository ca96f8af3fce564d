"""Rolling windows: what happened in the last minutes, in constant memory, resettable.

A counter says what happened since the process started; a person, and a rate gauge, often ask about now.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from time import monotonic
from typing import Generic, TypeVar

__all__ = ["Window"]

K = TypeVar("K", bound=Hashable)


class Window(Generic[K]):
    """Sums by key over the last ``seconds``, kept in ``slots`` slots; exact to one slot.

    :param seconds: the length of the window, 300 by default.
    :param slots: into how many slots it is cut; a slot leaves as a whole.
    :param clock: a monotonic time in seconds.
    """

    def __init__(self, seconds: float = 300.0, slots: int = 60, clock: Callable[[], float] = monotonic) -> None:
        if seconds <= 0 or slots < 1:
            raise ValueError("A window needs a positive length and at least one slot.")
        self.seconds = seconds
        self._slot = seconds / slots
        self._clock = clock
        self._slots: deque[tuple[int, dict[K, float]]] = deque()
        self._totals: dict[K, float] = {}
        self._since = clock()

    def add(self, key: K, amount: float = 1.0) -> None:
        """Add ``amount`` to ``key`` now."""
        number = self._expire()
        if not self._slots or self._slots[-1][0] != number:
            self._slots.append((number, {}))
        slot = self._slots[-1][1]
        slot[key] = slot.get(key, 0.0) + amount
        self._totals[key] = self._totals.get(key, 0.0) + amount

    def total(self, key: K) -> float:
        """Return the sum of ``key`` in the window."""
        self._expire()
        return self._totals.get(key, 0.0)

    def totals(self) -> dict[K, float]:
        """Return the sums of all keys that occur in the window."""
        self._expire()
        return dict(self._totals)

    def rate(self, key: K) -> float:
        """Return the sum of ``key`` per second; a window that is younger than its length counts its age."""
        age = min(self.seconds, max(self._clock() - self._since, self._slot))
        return self.total(key) / age

    def reset(self) -> None:
        """Forget everything."""
        self._slots.clear()
        self._totals.clear()
        self._since = self._clock()

    def _expire(self) -> int:
        number = int(self._clock() / self._slot)
        oldest = number - round(self.seconds / self._slot)
        while self._slots and self._slots[0][0] <= oldest:
            _, slot = self._slots.popleft()
            for key, amount in slot.items():
                left = self._totals[key] - amount
                # Sums of floats leave crumbs; a key that no slot holds any more is gone.
                if any(key in other for _, other in self._slots):
                    self._totals[key] = left
                else:
                    del self._totals[key]
        return number
