"""How far a replica is behind, in seconds, without a write and without trusting two servers' clocks.

``pg_last_xact_replay_timestamp`` tells when the last transaction was written, which on an idle system is long ago, so
that a replica that lacks nothing seems to lag. Here the primary's positions are remembered with the time of this
process at which it had them: a replica is behind by the age of the oldest that it has not reached. It is never more
than the truth, and less by the time between two looks at most.
"""

from __future__ import annotations

from collections import deque

__all__ = ["Trail"]

#: Positions that are remembered, and seconds between two of them at least.
_MOST = 600
_STEP = 1.0


class Trail:
    """Where the primary was when."""

    __slots__ = ("_points",)

    def __init__(self) -> None:
        self._points: deque[tuple[float, int]] = deque(maxlen=_MOST)

    def add(self, time: float, position: int) -> None:
        """Note where the primary is; both never go back but by a fail-over, which begins anew."""
        points = self._points
        if points and position < points[-1][1]:
            points.clear()
        if not points or (position > points[-1][1] and time - points[-1][0] >= _STEP):
            points.append((time, position))

    def first_beyond(self, position: int) -> tuple[float, int] | None:
        """Return the oldest note of a position that is beyond this one."""
        return next((point for point in self._points if point[1] > position), None)
