"""A function of a range over the windows of many series: the samples are laid out for it, slice by slice."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from bedplate.promql.kernels import Block, Kernel
from bedplate.promql.labels import Relabelled
from bedplate.promql.plan import Floats, Frame, Mask, Plan, Run, Scalars, Steps, Tables, Times
from bedplate.promql.selecting import Windows
from bedplate.promql.source import is_sample

__all__ = ["OverRange"]

#: Samples that one slice of simple arithmetic takes: a few hundred µs.
_SLICE = 262_144
#: Series that lack samples are laid out anew, which costs more than simple arithmetic: in as many parts of a slice.
_PARTS = 4


class OverRange(Tables):
    """A kernel over every range of a range vector.

    :param relabelled: drops the metric's name, unless the function keeps it.
    """

    def __init__(
        self,
        kernel: Kernel,
        windows: Plan[Windows],
        parameter: Plan[Scalars] | None,
        dialect: int,
        relabelled: Relabelled | None,
    ) -> None:
        self._kernel = kernel
        self._windows = windows
        self._parameter = parameter
        self._dialect = dialect
        self._relabelled = relabelled

    def run(self, run: Run) -> Steps[Frame]:
        """Evaluate range by range; where all are the same, as with ``@``, once."""
        windows = yield from self._windows.run(run)
        rows, columns = len(windows.ends), len(windows.labels)
        parameters = np.zeros(rows)
        if self._parameter is not None:
            parameters = yield from self._parameter.run(run)
        values = np.zeros((rows, columns))
        present: Mask | None = None
        fixed = rows > 1 and bool((windows.ends == windows.ends[0]).all()) and len(np.unique(parameters)) == 1
        for row in range(1 if fixed else rows):
            bounds = (int(windows.starts[row]), int(windows.ends[row]), int(run.times[row]))
            mask = yield from self._step(windows, row, bounds, float(parameters[row]), values[row])
            if mask is not None:
                present = np.ones((rows, columns), dtype=bool) if present is None else present
                present[row] = mask
        if fixed:
            values[1:] = values[0]
            if present is not None:
                present[1:] = present[0]
        frame = Frame(windows.labels, values, present)
        if self._relabelled is not None:
            frame = yield from self._relabelled.over(frame)
        return frame

    def _step(
        self, windows: Windows, row: int, bounds: tuple[int, int, int], parameter: float, out: Floats
    ) -> Steps[Mask | None]:
        """Fill one row; returns which series have a value, None for all."""
        low, high = int(windows.first[row]), int(windows.last[row])
        columns = len(out)
        if high - low < self._kernel.least:
            return np.zeros(columns, dtype=bool)
        present: Mask | None = None
        times = windows.times[low:high]
        width = max(1, _SLICE // self._kernel.weight // (high - low))
        for left in range(0, columns, width):
            values = windows.values[low:high, left : left + width]
            if not np.isnan(values).any() or is_sample(values).all():
                whole = Block(values, times, high - low, None, *bounds, parameter, self._dialect)
                out[left : left + width] = self._kernel.compute(whole)
                yield
                continue
            present = np.ones(columns, dtype=bool) if present is None else present
            size = max(1, width // max(1, _PARTS // self._kernel.weight))
            for start in range(left, left + values.shape[1], size):
                part = values[:, start - left : start - left + size]
                # The last part is narrower, and what comes after it is not its own.
                stop = start + part.shape[1]
                target = out[start:stop]
                mask = np.zeros(part.shape[1], dtype=bool)
                for chosen, block in self._blocks(part, times, bounds, parameter):
                    target[chosen] = self._kernel.compute(block)
                    mask[chosen] = True
                present[start:stop] = mask
                yield
        return present

    def _blocks(
        self, values: Floats, times: Times, bounds: tuple[int, int, int], parameter: float
    ) -> Iterator[tuple[NDArray[np.intp], Block]]:
        """Yield the series that have every sample, then those that lack some but have enough of them."""
        sample, rows = is_sample(values), len(times)
        counts = np.add.reduce(sample, axis=0)
        whole = np.flatnonzero(counts == rows)
        if len(whole):
            yield whole, Block(values[:, whole], times, rows, None, *bounds, parameter, self._dialect)
        partial = np.flatnonzero((counts < rows) & (counts >= self._kernel.least))
        if not len(partial):
            return
        counts = counts[partial]
        order = np.argsort(~sample[:, partial], axis=0, kind="stable")[: int(counts.max())]
        valid = np.arange(len(order))[:, None] < counts
        order = np.where(valid, order, order[counts - 1, np.arange(len(partial))])
        moved = np.take_along_axis(values[:, partial], order, axis=0)
        equal = None if bool(valid.all()) else valid
        yield partial, Block(moved, times[order], counts, equal, *bounds, parameter, self._dialect)
