"""Replaying what is behind until hardly a key is left for the lock, or until it is plain that writers are faster."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from bedplate.database.cutover.steps import FEW, Replay

__all__ = ["Chase"]

#: Rows that a round takes of a log: at first, and at most. What a round costs by itself lets small ones never catch up.
_START, _MOST = 5_000, 100_000
#: Rounds that are to get no shorter before it is tried with what is left, and seconds that it is chased at least.
_STEADY, _LEAST = 3, 0.5
#: What counts as shorter.
_SHORTER = 0.8


@dataclass(frozen=True, slots=True)
class _Round:
    read: int
    seconds: float
    full: bool


class Chase:
    """The rounds of all tables of a switch.

    A round finds what was written during the one before. So each is shorter by as much as writers are slower, until
    what a round costs by itself is all that is left.
    """

    def __init__(self, followed: Sequence[Replay]) -> None:
        self._followed = followed
        self._sizes = [_START for _ in followed]
        self._rounds: list[_Round] = []
        self._began, self._first = time.monotonic(), self._left()

    def run(self, ends: float) -> int:
        """Chase writers; return how many rows the last round found.

        :param ends: by the monotonic clock; nothing keeps on for longer.
        """
        began, fewest, steady = time.monotonic(), float("inf"), 0
        while True:
            done = self._round()
            now = time.monotonic()
            if done.full and now < ends:
                # Nobody knows how much is left; the next one takes twice as much.
                continue
            steady = 0 if done.read <= fewest * _SHORTER else steady + 1
            fewest = min(fewest, done.read)
            if done.read < FEW or now > ends or (steady >= _STEADY and now - began > _LEAST):
                return done.read

    def _round(self) -> _Round:
        began, read, full = time.monotonic(), 0, False
        for number, one in enumerate(self._followed):
            found = one.round(most=self._sizes[number]).read
            read += found
            if found >= self._sizes[number]:
                full = True
                self._sizes[number] = min(2 * self._sizes[number], _MOST)
        done = _Round(read, max(time.monotonic() - began, 1e-6), full)
        self._rounds.append(done)
        return done

    @property
    def words(self) -> str:
        """How fast writers and the replay are, in a sentence."""
        read, working = sum(one.read for one in self._rounds), sum(one.seconds for one in self._rounds)
        left = self._left()
        comes = (read + left - self._first) / max(time.monotonic() - self._began, 1e-6)
        least = min(one.read for one in self._rounds)
        return (
            f"About {comes:,.0f} rows a second are written, and {read / working:,.0f} a second can be replayed: in "
            f"{len(self._rounds)} rounds none found fewer than {least:,}, and {left:,} are left."
        )

    def _left(self) -> int:
        return sum(one.log.rows() for one in self._followed)
