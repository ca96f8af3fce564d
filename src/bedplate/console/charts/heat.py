"""Histograms over time as shades: the darker a cell, the more fell into its bucket then."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from bedplate.console.charts.data import Chart, Floats, Line
from bedplate.console.charts.drawing import BELOW, rounded, times_below
from bedplate.console.words import number, quantity

__all__ = ["bound_of", "buckets_of", "heat_drawn"]

#: Shades beside none at all; more are not told apart.
_SHADES = 5
#: Moments of a heatmap; narrower cells cannot be seen.
_COLUMNS = 80
#: Bounds that are written beside the buckets.
_WRITTEN = 5


def heat_drawn(chart: Chart, title: str, *, height: int) -> Markup:
    """Return the chart as SVG; one hue, so that it can be read whatever colours somebody sees."""
    bounds, counts = buckets_of(chart.lines)
    bounds, counts = _cropped(bounds, _gathered(counts))
    inner = height - BELOW - 10
    rows, columns = counts.shape
    greatest = float(counts.max()) if counts.size else 0.0
    parts = [
        Markup('<svg role="img" aria-label="{}">').format(f"{title}. {_told(bounds, counts, chart.unit)}"),
        Markup('<svg y="10" width="100%" height="{}" viewBox="0 0 1000 1000" preserveAspectRatio="none">').format(
            inner
        ),
    ]
    if greatest > 0:
        # A root, since a few slow ones beside many fast ones are what people look for.
        shade = np.where(counts > 0, np.ceil(_SHADES * np.sqrt(counts / greatest)), 0).astype(int)
        for level in range(1, _SHADES + 1):
            path = _cells(shade == level, 1000 / columns, 1000 / rows)
            if path:
                parts.append(Markup('<path class="cell heat-{}" d="{}"/>').format(level, path))
    parts.append(Markup("</svg>"))
    every = max(1, math.ceil(rows / _WRITTEN))
    for row in range(0, rows, every):
        bound = bounds[row]
        text = "more" if math.isinf(bound) else f"≤ {quantity(bound, chart.unit)}"
        y = rounded(10 + inner * (1 - (row + 0.5) / rows) + 4)
        parts.append(Markup('<text class="on-cells" x="2" y="{}">{}</text>').format(y, text))
    parts += [times_below(chart.times, height), Markup("</svg>")]
    return Markup("").join(parts)


def buckets_of(lines: Sequence[Line]) -> tuple[list[float], Floats]:
    """Return the upper bounds of buckets, the least first, and how many fell into each (not below it) by moment."""
    known = sorted(((bound_of(line), line.values) for line in lines), key=lambda one: one[0])
    if not known:
        return [], np.zeros((0, 0))
    cumulative = np.nan_to_num(np.stack([values for _, values in known]), nan=0.0, posinf=0.0, neginf=0.0)
    counts = np.diff(cumulative, axis=0, prepend=0.0)
    # Rates of buckets are measured one by one: a hair below 0 is none.
    return [bound for bound, _ in known], np.maximum(counts, 0.0)


def bound_of(line: Line) -> float:
    """Return the upper bound of a bucket, NaN for a line that is none."""
    try:
        return float(line.labels.get("le", "nan"))
    except ValueError:
        return math.nan


def _gathered(counts: Floats) -> Floats:
    """Return the mean of neighbouring moments, so that there are not too many."""
    columns = counts.shape[1]
    size = max(1, math.ceil(columns / _COLUMNS))
    if size == 1:
        return counts
    edges = np.arange(0, columns, size)
    sums: Floats = np.add.reduceat(counts, edges, axis=1)
    return sums / np.diff(np.append(edges, columns))


def _cropped(bounds: list[float], counts: Floats) -> tuple[list[float], Floats]:
    """Leave out buckets below and above all that ever happened, but for one."""
    used = np.flatnonzero(counts.any(axis=1))
    if not len(used):
        return bounds, counts
    first, last = max(0, int(used[0]) - 1), min(len(bounds), int(used[-1]) + 2)
    return bounds[first:last], counts[first:last]


def _cells(there: NDArray[np.bool_], width: float, height: float) -> str:
    """Return a path around cells; neighbours of one row are one."""
    found = []
    for row, line in enumerate(there):
        edges = np.flatnonzero(np.diff(np.concatenate(([0], line.astype(np.int8), [0])))).tolist()
        for start, end in zip(edges[::2], edges[1::2], strict=True):
            x, y = round(start * width), round(1000 - (row + 1) * height)
            w, h = round(end * width) - x, round(1000 - row * height) - y
            found.append(f"M{x} {y}h{w}v{h}h{-w}z")
    return "".join(found)


def _told(bounds: Sequence[float], counts: Floats, unit: str) -> str:
    if not counts.size or not counts[:, -1].any():
        return "Nothing at the end of the time shown."
    latest = counts[:, -1]
    most = int(latest.argmax())
    below = "more than the others" if math.isinf(bounds[most]) else f"{quantity(bounds[most], unit)} at most"
    return f"At the end of the time shown most are {below}: {number(100 * float(latest[most] / latest.sum()), 2)} %."
