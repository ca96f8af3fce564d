"""Values of charts, kept between looks: who looks again, or looks second, costs only the moments that are new."""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from bedplate.console.charts.data import MOST, Floats, Line, legend
from bedplate.console.interfaces import Querier

__all__ = ["RANGES", "Grid", "Keeper"]

#: The times that can be chosen, in seconds.
RANGES = {
    "5m": 300, "15m": 900, "30m": 1800, "1h": 3600, "3h": 10_800, "6h": 21_600, "12h": 43_200, "24h": 86_400,
}  # fmt: skip
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600)
#: Moments of a chart: about as many as it has pixels for.
_POINTS = 240
#: The latest moments are asked for again: when they were asked, samples may still have been under way.
_AGAIN = 2

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Grid:
    """The moments of a chart: multiples of a step, so that everybody who looks shares them."""

    end: int
    step: int
    count: int

    @classmethod
    def of(cls, window: float, now: float, *, points: int = _POINTS) -> Grid:
        """Return the grid of the time before now."""
        step = next((step for step in _STEPS if window / step <= points), math.ceil(window / points))
        return cls(math.floor(now / step), step, math.floor(window / step) + 1)

    @property
    def first(self) -> int:
        """The number of the first moment, as :attr:`end` is of the last."""
        return self.end - self.count + 1

    @property
    def times(self) -> Floats:
        """The moments in Unix seconds."""
        return np.arange(self.first, self.end + 1, dtype=np.float64) * self.step


@dataclass(slots=True)
class _Kept:
    grid: Grid | None = None
    rows: dict[Labels, Floats] = field(default_factory=dict)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Keeper:
    """Asks for the values of charts and keeps them; bounded by the number of expressions.

    :param querier: who answers; None while nobody does.
    """

    def __init__(self, querier: Callable[[], Querier | None], limit: int = 300) -> None:
        self._querier = querier
        self._limit = limit
        self._kept: OrderedDict[tuple[str, int, int], _Kept] = OrderedDict()

    async def lines(self, expr: str, grid: Grid, form: str = "", most: int = MOST) -> tuple[list[Line], int]:
        """Return the lines of an expression, the greatest first, and how many more there are.

        :param form: the legend. :param most: lines that are returned.
        :raises BedplateError: when it cannot be evaluated.
        """
        rows = await self._rows(expr, grid)
        with np.errstate(all="ignore"):
            order = sorted(rows.items(), key=lambda item: (-_weight(item[1]), item[0]))
        lines = [Line(legend(form, dict(labels), expr), dict(labels), values) for labels, values in order[:most]]
        # Names, and so colours, keep their places while values change theirs.
        lines.sort(key=lambda line: line.name)
        return lines, max(0, len(order) - most)

    async def _rows(self, expr: str, grid: Grid) -> Mapping[Labels, Floats]:
        key = (expr, grid.step, grid.count)
        kept = self._kept.setdefault(key, _Kept())
        self._kept.move_to_end(key)
        while len(self._kept) > self._limit:
            self._kept.popitem(last=False)
        async with kept.lock:
            if kept.grid != grid:
                await self._refresh(expr, kept, grid)
            return kept.rows

    async def _refresh(self, expr: str, kept: _Kept, grid: Grid) -> None:
        querier = self._querier()
        if querier is None:
            kept.grid, kept.rows = grid, {}
            return
        known = kept.grid
        first = grid.first
        if known is not None and known.end < grid.end:
            first = max(first, known.end - _AGAIN + 1)
        elif known is not None and known.end > grid.end:
            known = None
        matrix = await querier.range(expr, float(first * grid.step), float(grid.end * grid.step), float(grid.step))
        fresh: dict[Labels, tuple[Floats, Floats]] = {
            tuple(sorted(series.labels.items())): (series.times, series.values) for series in matrix
        }
        rows: dict[Labels, Floats] = {}
        for labels in {**kept.rows, **fresh}:
            values = np.full(grid.count, np.nan)
            old = kept.rows.get(labels)
            if old is not None and known is not None and first > grid.first:
                begin = grid.first - known.first
                values[: first - grid.first] = old[begin : begin + first - grid.first]
            if labels in fresh:
                times, found = fresh[labels]
                places = np.rint(np.asarray(times) / grid.step).astype(np.int64) - grid.first
                values[places] = found
            if not np.isnan(values).all():
                rows[labels] = values
        kept.grid, kept.rows = grid, rows


def _weight(values: Floats) -> float:
    there = values[np.isfinite(values)]
    return float(np.abs(there).mean()) if len(there) else 0.0
