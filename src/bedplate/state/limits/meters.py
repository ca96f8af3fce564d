"""How the strategies count, in the process; ``take.lua`` is their form for Redis, and both must do the same.

A meter is made of what is kept of one limit and key, of the present time in µs and of the units that are asked for.
What was written in the future, since the clock was set back, is taken as written now.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Protocol

__all__ = ["METERS", "Meter"]


#: What is kept of a limit; anything else was written by somebody else, and is as good as nothing.
_TWO = re.compile(rb"(\d+) (\d+)\Z")
_SLICE = re.compile(rb"(\d+):(\d+)")


class Meter(Protocol):
    """What is used of a limit.

    :ivar moved: whether it was written in the future. :ivar wait: µs until the units that are asked for would pass.
    """

    moved: bool
    wait: int

    @property
    def left(self) -> int:
        """Units that are left."""
        ...

    @property
    def whole(self) -> int:
        """Microseconds until nothing is used any more."""
        ...

    def add(self, units: int) -> None:
        """Use units, or give them back."""
        ...

    def text(self) -> tuple[str, int]:
        """Return what to keep, and for how many µs."""
        ...


class Bucket:
    """The generic cell rate algorithm (ITU-T I.371, annex A), as a debt that is paid back.

    A unit is ``ticks`` of debt, of which ``pace`` are paid back in a µs; whole numbers, so nothing is ever rounded.
    """

    __slots__ = ("_debt", "_most", "_now", "_pace", "_ticks", "moved", "wait")

    def __init__(self, kept: bytes | None, now: int, cost: int, ticks: int, pace: int, most: int) -> None:
        debt, at = _two(kept) or (0, now)
        self._now, self._ticks, self._pace, self._most = now, ticks, pace, most
        self.moved = at > now
        self._debt = max(0, debt - max(0, now - at) * pace)
        self.wait = max(0, -(-(self._debt + cost * ticks - most) // pace))

    @property
    def left(self) -> int:
        return max(0, (self._most - self._debt) // self._ticks)

    @property
    def whole(self) -> int:
        return -(-self._debt // self._pace)

    def add(self, units: int) -> None:
        self._debt = min(max(0, self._debt + units * self._ticks), 2 * self._most)

    def text(self) -> tuple[str, int]:
        return f"{self._debt} {self._now}", self.whole


class Fixed:
    """Windows between the multiples of their length."""

    __slots__ = ("_ends", "_quota", "_start", "_used", "moved", "wait")

    def __init__(self, kept: bytes | None, now: int, cost: int, window: int, quota: int, _: int) -> None:
        start = now - now % window
        found, used = _two(kept) or (start, 0)
        self._start, self._quota, self._ends = start, quota, start + window - now
        self.moved = found > start
        self._used = used if found >= start else 0
        self.wait = self._ends if self._used + cost > quota else 0

    @property
    def left(self) -> int:
        return max(0, self._quota - self._used)

    @property
    def whole(self) -> int:
        return self._ends if self._used else 0

    def add(self, units: int) -> None:
        self._used = min(max(0, self._used + units), 2 * self._quota)

    def text(self) -> tuple[str, int]:
        return f"{self._start} {self._used}", self._ends


class Sliding:
    """A window that slides by slices: what was used in a slice counts until a window after the slice's end."""

    __slots__ = ("_counts", "_now", "_present", "_quota", "_slice", "_total", "_window", "moved", "wait")

    def __init__(self, kept: bytes | None, now: int, cost: int, window: int, quota: int, slice: int) -> None:
        self._now, self._window, self._quota, self._slice = now, window, quota, slice
        self._present = now // slice
        self.moved = False
        self._counts: dict[int, int] = {}
        for index, count in [(int(one), int(other)) for one, other in _SLICE.findall(kept or b"")]:
            place = min(index, self._present)
            self.moved = self.moved or place < index
            if self._free(place) > 0 and count:
                self._counts[place] = self._counts.get(place, 0) + count
        self._total = sum(self._counts.values())
        self.wait, over = 0, self._total + cost - quota
        for index, count in self._counts.items():
            if over <= 0:
                break
            over, self.wait = over - count, self._free(index)

    def _free(self, index: int) -> int:
        """Microseconds until what was used in a slice counts no more."""
        return (index + 1) * self._slice + self._window - self._now

    @property
    def left(self) -> int:
        return max(0, self._quota - self._total)

    @property
    def whole(self) -> int:
        return self._free(next(reversed(self._counts))) if self._counts else 0

    def add(self, units: int) -> None:
        units = min(units, 2 * self._quota - self._total)
        if units > 0:
            self._counts[self._present] = self._counts.get(self._present, 0) + units
            self._total += units
        while units < 0 and self._counts:
            index, count = self._counts.popitem()
            back = min(-units, count)
            units, self._total = units + back, self._total - back
            if count > back:
                self._counts[index] = count - back

    def text(self) -> tuple[str, int]:
        return " ".join(f"{index}:{count}" for index, count in self._counts.items()), self.whole


def _two(kept: bytes | None) -> tuple[int, int] | None:
    found = _TWO.match(kept) if kept else None
    return None if found is None else (int(found[1]), int(found[2]))


#: By the number that stands for a strategy in the arguments of an operation.
METERS: dict[int, Callable[[bytes | None, int, int, int, int, int], Meter]] = {1: Bucket, 2: Fixed, 3: Sliding}
