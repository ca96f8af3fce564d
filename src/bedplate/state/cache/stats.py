"""What a cache did, counted so that a hit costs two additions; and of the last thousand operations, how many were hits.

The hit path adds to plain integers of this process; once a second they become metrics, which all processes share.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

__all__ = ["MOST_PATTERNS", "OTHER_PATTERN", "OUTCOMES", "WINDOW", "Mirror", "PatternStats", "Stats", "Times"]

#: Operations of the rolling window.
WINDOW = 1000
#: Patterns of keys that are told apart.
MOST_PATTERNS = 100
OTHER_PATTERN = "_other"

#: How a request was answered: from this process, from the store, with an old value, not at all (a miss: it was
#: computed), or past the cache.
OUTCOMES = ("near", "store", "stale", "miss", "bypass")


class PatternStats:
    """What became of requests for keys of one pattern.

    :ivar near: hits in this process, :ivar store: in the store, :ivar stale: answered with an old value.
    """

    __slots__ = ("bypass", "miss", "near", "pattern", "stale", "store")

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.near = self.store = self.stale = self.miss = self.bypass = 0

    @property
    def hits(self) -> int:
        """Requests that were answered with a value, old ones included."""
        return self.near + self.store + self.stale


class Times:
    """How long the last operations of one kind took, in seconds."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last: deque[float] = deque(maxlen=WINDOW)

    def add(self, seconds: float) -> None:
        """Note one."""
        self._last.append(seconds)

    def clear(self) -> None:
        """Forget all."""
        self._last.clear()

    def summary(self) -> dict[str, float | int | None]:
        """Return how many there are, their average, the 95th percentile and the greatest, in milliseconds."""
        ordered = sorted(self._last)
        if not ordered:
            return {"count": 0, "avgMs": None, "p95Ms": None, "maxMs": None}
        p95 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]
        average = sum(ordered) / len(ordered)
        figures = {"avgMs": average, "p95Ms": p95, "maxMs": ordered[-1]}
        return {"count": len(ordered), **{name: round(value * 1e3, 4) for name, value in figures.items()}}


class Stats:
    """All that is counted in this process.

    :ivar near_hits: hits in this process, of all patterns; only the hit path adds to it.
    """

    __slots__ = ("_events", "_others", "near_hits", "patterns", "times")

    def __init__(self) -> None:
        self.near_hits = 0
        self._others = 0
        # Whatever was no near hit, with the number of operations before it: what lies between them were hits.
        self._events: deque[tuple[int, bool]] = deque()
        self.patterns: dict[str, PatternStats] = {}
        self.times = {operation: Times() for operation in ("get", "set", "delete")}

    def pattern(self, name: str) -> PatternStats:
        """Return the counts of one pattern; beyond a bound they are those of all others."""
        found = self.patterns.get(name)
        if found is None:
            if len(self.patterns) >= MOST_PATTERNS:
                name = OTHER_PATTERN
            found = self.patterns.setdefault(name, PatternStats(name))
        return found

    def near(self, stats: PatternStats) -> None:
        """Count a hit in this process."""
        self.near_hits += 1
        stats.near += 1

    def store(self, stats: PatternStats) -> None:
        """Count a hit in the store."""
        stats.store += 1
        self._note(True)

    def stale(self, stats: PatternStats) -> None:
        """Count an answer with an old value."""
        stats.stale += 1
        self._note(True)

    def miss(self, stats: PatternStats) -> None:
        """Count a miss."""
        stats.miss += 1
        self._note(False)

    def _note(self, hit: bool) -> None:
        events, number = self._events, self.near_hits + self._others
        events.append((number, hit))
        self._others += 1
        oldest = number + 1 - WINDOW
        while events[0][0] < oldest:
            events.popleft()

    def window(self) -> tuple[int, int]:
        """Return hits and misses among the last :data:`WINDOW` operations."""
        total = self.near_hits + self._others
        oldest = total - WINDOW
        misses = sum(not hit for number, hit in self._events if number >= oldest)
        return min(total, WINDOW) - misses, misses

    def totals(self) -> dict[str, int]:
        """Return what became of all requests since the last reset."""
        return {name: sum(getattr(one, name) for one in self.patterns.values()) for name in OUTCOMES}

    def reset(self) -> None:
        """Begin anew; whoever holds the counts of a pattern goes on adding to them."""
        self.near_hits = self._others = 0
        self._events.clear()
        for stats in self.patterns.values():
            for name in OUTCOMES:
                setattr(stats, name, 0)
        for times in self.times.values():
            times.clear()


class Mirror:
    """Carries counts that are kept elsewhere over to counters, as increments.

    :param counter: returns the counter of a pattern and an outcome.
    """

    def __init__(self, counter: Callable[[str, str], Callable[[float], None]]) -> None:
        self._counter = counter
        self._seen: dict[tuple[str, str], int] = {}

    def carry(self, stats: Stats) -> None:
        """Add what has come since the last call."""
        for pattern, counts in stats.patterns.items():
            for outcome in OUTCOMES:
                now = getattr(counts, outcome)
                seen = self._seen.get((pattern, outcome), 0)
                if now != seen:
                    self._counter(pattern, outcome)(float(now - seen))
                    self._seen[pattern, outcome] = now

    def forget(self) -> None:
        """Begin anew, as the counts do."""
        self._seen.clear()
