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
    """A family as the index describes it.

    :ivar width: words of one series, without exemplars, which are not added up.
    :ivar survives: whether its words still count when their process is dead.
    :ivar operation: how words of several processes become one: ``total`` and ``sum`` are added up, the first with those
        of the dead; then there are ``max``, ``min`` and ``last``.
    """

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
    width: int = field(init=False)
    survives: bool = field(init=False)
    operation: str = field(init=False)

    def __post_init__(self) -> None:
        self.width = self._width()
        self.survives = self.type != "gauge"
        self.operation = "total" if self.survives else self.merge if self.merge in ("max", "min", "last") else "sum"

    def _width(self) -> int:
        if self.raw or self.type == "counter":
            return 1
        if self.type == "histogram":
            return len(self.buckets) + 2
        if self.type == "gauge":
            return 2 if self.merge in ("last", "ratio") else 1
        return 2

    @property
    def form(self) -> tuple[Any, ...]:
        """What two descriptions must share so that their words can be merged."""
        return (self.type, self.labels, self.buckets, self.exemplars, self.merge, self.raw)
