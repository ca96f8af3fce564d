"""Rows: one a threshold, with everything a program needs to judge it."""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from typing import Any, Literal

from benchmarks.spread import Spread, significant

__all__ = ["Goal", "Measure", "Row"]

_OPERATORS = {"<=": operator.le, ">=": operator.ge}


@dataclass(frozen=True, slots=True)
class Goal:
    """What must hold, of the ``ratio`` between ours and a peer, or of ``ours`` alone where there is no peer."""

    of: Literal["ratio", "ours"]
    op: Literal["<=", ">="]
    value: float
    text: str

    def met(self, ratio: float | None, ours: float) -> bool:
        """Whether it holds; a ratio that is not known meets nothing."""
        measured = ours if self.of == "ours" else ratio
        return measured is not None and bool(_OPERATORS[self.op](measured, self.value))


@dataclass(frozen=True, slots=True)
class Measure:
    """What was measured of one contestant."""

    name: str
    unit: str
    spread: Spread

    @property
    def value(self) -> float:
        """The median."""
        return self.spread.median

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {"name": self.name, "unit": self.unit, **self.spread.to_json()}


@dataclass(frozen=True, slots=True)
class Row:
    """One threshold and how it was met.

    :param ratio: as the goal reads it: ours to the peer's, or how many times faster; None where the goal is absolute.
    :param notes: what else was seen, in sentences.
    """

    id: str
    what: str
    ours: Measure
    peers: tuple[Measure, ...]
    goal: Goal
    ratio: float | None = None
    notes: tuple[str, ...] = field(default=())

    @property
    def met(self) -> bool:
        """Whether the goal holds."""
        return self.goal.met(self.ratio, self.ours.value)

    def to_json(self) -> dict[str, Any]:
        """The row as ``results.json`` has it."""
        return {
            "id": self.id,
            "what": self.what,
            "ours": self.ours.to_json(),
            "peers": [peer.to_json() for peer in self.peers],
            "ratio": None if self.ratio is None else significant(self.ratio),
            "goal": {"of": self.goal.of, "op": self.goal.op, "value": significant(self.goal.value, 6)},
            "met": self.met,
        }
