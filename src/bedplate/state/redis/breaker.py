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
    """Judges a server that answers too late for those who ask, though it answers.

    It is too slow when of at least :attr:`least` calls within :attr:`window` seconds half or more came too late, or
    when :attr:`row` times in a row somebody waited in vain and no call was answered in time in between. A moment of
    silence, however many wait in it, is one time: it is over by itself.
    """

    window = 1.0
    least = 10
    share = 0.5
    row = 3

    __slots__ = ("_first", "_good", "_heard", "_late", "_row", "_since")

    def __init__(self) -> None:
        self._since = self._heard = float("-inf")
        self._late = self._first = self._good = self._row = 0

    def late(self, count: int, *, good: int, heard: float, now: float) -> bool:
        """Count calls that timed out; return whether the server is too slow.

        :param count: those among them that timed out while others were answered.
        :param good: how many calls were answered in time, ever. :param heard: when something was heard last.
        """
        if now - self._since > self.window:
            self._since, self._late, self._first = now, 0, good
        self._late += count
        if good != self._good:
            self._good, self._row = good, 0
        if heard != self._heard:
            self._heard, self._row = heard, self._row + 1
        total = self._late + good - self._first
        return self._row >= self.row or (self._late >= self.least and self._late >= self.share * total)
