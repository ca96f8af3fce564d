"""What is said of repeated measurements: the least, the median and the greatest."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

__all__ = ["Spread", "differences"]


@dataclass(frozen=True, slots=True)
class Spread:
    """Repeated measurements of one quantity; the median is the value that counts."""

    least: float
    median: float
    greatest: float
    rounds: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Self:
        """Summarise measurements. Raises ValueError when there are none."""
        ordered = sorted(values)
        if not ordered:
            raise ValueError("there are no measurements to summarise")
        return cls(ordered[0], statistics.median(ordered), ordered[-1], len(ordered))

    def to_json(self) -> dict[str, Any]:
        """Plain data, rounded to four significant digits: no measurement here is better than that."""
        return {
            "value": significant(self.median),
            "min": significant(self.least),
            "max": significant(self.greatest),
            "rounds": self.rounds,
        }


def differences(values: Sequence[float], base: Sequence[float]) -> list[float]:
    """What each round's value is above the base of the same round.

    Paired, because a machine that is slow for a while slows both of a round down.
    """
    return [value - zero for value, zero in zip(values, base, strict=True)]


def significant(value: float, digits: int = 4) -> float:
    """The value with so many significant digits."""
    return float(f"{value:.{digits}g}")
