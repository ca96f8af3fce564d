"""What a chart shows: lines over one grid of times, and the lines where good turns into bad."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bedplate.declarations import Threshold

__all__ = ["MOST", "MOST_BUCKETS", "Chart", "Floats", "Line", "Look", "legend"]

Floats = NDArray[np.float64]

#: Lines that a chart draws; nobody reads more, and there are as many colours.
MOST = 8
#: Buckets of a heatmap; a histogram has fewer.
MOST_BUCKETS = 64

#: How the values of a chart are drawn: as lines, as bands while something is so, as shades by how many are in a bucket.
Look = Literal["line", "state", "heatmap"]

_PLACE = re.compile(r"\{\{\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*\}\}")
_DULL = ("__name__", "job", "instance")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart: its name and a value at each time of the chart, NaN where there is none."""

    name: str
    labels: Mapping[str, str]
    values: Floats

    @property
    def last(self) -> float:
        """The latest value, NaN when there is none at all."""
        there = np.flatnonzero(~np.isnan(self.values))
        return float(self.values[there[-1]]) if len(there) else math.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A chart with all that is needed to draw it.

    :ivar times: Unix seconds, evenly spaced. :ivar hidden: lines that are not shown because there are too many.
    :ivar fault: why there are no values, in a sentence.
    """

    times: Floats
    look: Look = "line"
    lines: Sequence[Line] = ()
    unit: str = ""
    thresholds: Sequence[Threshold] = ()
    low: float | None = None
    high: float | None = None
    stacked: bool = False
    hidden: int = 0
    fault: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not any(len(line.values) and not np.isnan(line.values).all() for line in self.lines)

    @property
    def greatest(self) -> float:
        """The greatest of the latest values, 0 when there is none above it."""
        return max((line.last for line in self.lines if math.isfinite(line.last)), default=0.0)

    def document(self) -> dict[str, Any]:
        """Return the chart for scripts; NaN is null there."""
        return {
            "times": self.times.tolist(),
            "unit": self.unit,
            "stacked": self.stacked,
            "low": self.low,
            "high": self.high,
            "hidden": self.hidden,
            "thresholds": [
                {"value": one.value, "severity": one.severity, "label": one.label} for one in self.thresholds
            ],
            "lines": [{"name": line.name, "values": _plain(line.values)} for line in self.lines],
        }


def legend(form: str, labels: Mapping[str, str], expr: str) -> str:
    """Return the name of a line: its legend filled in, else the labels that tell it apart, else the expression."""
    if form:
        return _PLACE.sub(lambda place: labels.get(place[1], ""), form).strip() or "now"
    telling = {name: value for name, value in labels.items() if name not in _DULL}
    if telling:
        return ", ".join(f"{name}={value}" for name, value in sorted(telling.items()))
    return labels.get("__name__") or (expr if len(expr) < 60 else "now")


def _plain(values: Floats) -> list[float | None]:
    return [None if not math.isfinite(value) else float(f"{value:.6g}") for value in values.tolist()]
