"""When a server that still answers is too slow to be asked: a share of time-outs, and how long until it is tried."""

from __future__ import annotations

from random import Random

__all__ = ["Backoff", "Slowness"]


class Backoff:
    """Growing waits with jitter, so that all instances do not knock at once.

    :param first: seconds of the first wait at most. :param limit: of any.
    """

    __slots__ = ("_dice", "_first", "_limit", "failures")

    def __init__(self, first: float, limit: float, dice: Random | None = None) -> None:
        self._first, self._limit = first, limit
        self._dice = dice or Random()
        self.failures = 0

    def next(self) -> float:
        """Count a failure and return how long to wait: between half and all of the doubled time."""
        longest = min(self._limit, self._first * 2.0 ** min(self.failures, 30))
        self.failures += 1
        return longest * self._dice.uniform(0.5, 1.0)


class Slowness:
    """Opens when of at least :attr:`least` calls within :attr:`window` seconds half or more came too late."""

    window = 1.0
    least = 10
    share = 0.5

    __slots__ = ("_late", "_replies", "_since")

    def __init__(self) -> None:
        self._since = float("-inf")
        self._late = self._replies = 0

    def late(self, count: int, replies: int, now: float) -> bool:
        """Count calls that timed out; return whether too many did.

        :param replies: how many replies the connection has had since it began, the late ones among them.
        """
        if now - self._since > self.window:
            self._since, self._late, self._replies = now, 0, replies
        self._late += count
        total = max(self._late, replies - self._replies)
        return self._late >= self.least and self._late >= self.share * total
