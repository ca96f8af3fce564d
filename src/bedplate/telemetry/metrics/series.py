"""Families and series as the index of a segment describes them, without the declarations they were made from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["Family", "Series"]


@dataclass(slots=True)
class Series:
    """One child: its label values and where its words start in the merged array."""

    family: Family
    labels: tuple[Any, ...]
    base: int
    owners: int = 0

    @property
    def shown(self) -> bool:
        """Whether it is exposed: a gauge vanishes with the last process that has it, a sum never does."""
        return self.owners > 0 or self.family.survives


@dataclass(slots=True)
class Family:
    """A family as the index describes it."""

    name: str
    type: str
    help: str
    unit: str = ""
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    exemplars: bool = False
    merge: str = "sum"
    raw: bool = False
    series: dict[tuple[Any, ...], Series] = field(default_factory=dict)

    @property
    def width(self) -> int:
        """Words of one series, without exemplars, which are not added up."""
        if self.raw or self.type == "counter":
            return 1
        if self.type == "histogram":
            return len(self.buckets) + 2
        if self.type == "gauge":
            return 2 if self.merge in ("last", "ratio") else 1
        return 2

    @property
    def survives(self) -> bool:
        """Whether its words still count when their process is dead."""
        return self.type != "gauge"

    @property
    def operation(self) -> str:
        """How words of several processes become one: ``sum``, ``max``, ``min`` or ``last``."""
        return self.merge if self.type == "gauge" and self.merge in ("max", "min", "last") else "sum"
