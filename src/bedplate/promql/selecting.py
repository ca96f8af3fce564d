"""Series out of a source: the latest values of instant selectors, the windows of range selectors and sub-queries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from bedplate.promql.nodes import Selector
from bedplate.promql.plan import MAX_CELLS, Floats, Frame, Mask, Plan, Run, Site, Steps, Tables, Times
from bedplate.promql.source import MISSING, Labels, Window, is_sample

__all__ = ["InstantSelection", "RangeSelection", "Subselection", "Timing", "Windows"]

_MISSING_BITS = np.float64(MISSING).view(np.uint64)


@dataclass(frozen=True, slots=True)
class Timing:
    """When a selector looks.

    :ivar offset: milliseconds back. :ivar at: a fixed moment in Unix milliseconds, the query's start or end, or None.
    """

    offset: int = 0
    at: int | Literal["start", "end"] | None = None

    def moments(self, run: Run) -> Times:
        """Return the moments at which it looks, one a moment of the evaluation."""
        if self.at is None:
            return run.times - self.offset
        fixed = run.start if self.at == "start" else run.end if self.at == "end" else self.at
        return np.full(len(run.times), fixed - self.offset, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Windows:
    """A range vector at every moment: rows of one table.

    :ivar labels: one a column. :ivar times: one a row. :ivar values: rows × series, as in a
        :class:`~bedplate.promql.source.Window`. :ivar starts: the beginning of each range, :ivar ends: and its end.
    :ivar first: the first row of each range, :ivar last: and the one after its last.
    """

    labels: tuple[Labels, ...]
    times: Times
    values: Floats
    starts: Times
    ends: Times
    first: Times
    last: Times


class _Selection:
    """What both kinds of selectors share."""

    def __init__(self, selector: Selector, timing: Timing, reach: int, dialect: int, site: Site) -> None:
        self._selector = selector
        self._timing = timing
        self._reach = reach
        self._open = dialect >= 3  # a sample that is exactly as old as the reach is out
        self._site = site
        self._labels: tuple[Labels, ...] = ()

    def fetched(self, run: Run, moments: Times) -> tuple[Window, tuple[Labels, ...]]:
        """Return the samples that are in reach of any moment; equal labels are the same object as before."""
        if not len(moments):
            return Window((), np.empty(0, np.int64), np.empty((0, 0))), ()
        start = int(moments.min()) - self._reach + self._open
        window = run.source.window(self._selector.name, self._selector.matchers, start, int(moments.max()))
        labels = window.labels if isinstance(window.labels, tuple) else tuple(window.labels)
        if labels != self._labels:
            self._labels = labels
        if len(labels) * len(moments) > MAX_CELLS:
            mend = "Narrow the selector, or ask for fewer moments."
            raise self._site.fault(f"{len(labels):,} series at {len(moments):,} moments are too many.", mend)
        return window, self._labels

    def bounds(self, times: Times, moments: Times) -> tuple[Times, Times]:
        """Return the rows in reach of each moment: the first, and the one after the last."""
        side: Literal["left", "right"] = "right" if self._open else "left"
        first = np.searchsorted(times, moments - self._reach, side=side)
        return first, np.searchsorted(times, moments, side="right")


class InstantSelection(_Selection, Plan[Frame]):
    """The latest value of each series, unless it is too old or the series has ended.

    :param stamps: take the time of the sample in seconds instead of its value, as ``timestamp`` does.
    """

    def __init__(
        self, selector: Selector, timing: Timing, reach: int, dialect: int, site: Site, *, stamps: bool = False
    ) -> None:
        super().__init__(selector, timing, reach, dialect, site)
        self._stamps = stamps

    def run(self, run: Run) -> Steps[Frame]:
        """Look back from every moment."""
        moments = self._timing.moments(run)
        window, labels = self.fetched(run, moments)
        yield
        rows, columns = len(moments), len(labels)
        values = np.empty((rows, columns))
        present: Mask | None = None
        first, last = self.bounds(window.times, moments)
        for row, (low, high) in enumerate(zip(first.tolist(), last.tolist(), strict=True)):
            found = _latest(window.values, low, high) if columns else None
            if found is None:
                values[row] = window.values[high - 1] if columns else 0.0
                if self._stamps and columns:
                    values[row] = window.times[high - 1] / 1000
            else:
                present = np.ones((rows, columns), dtype=bool) if present is None else present
                present[row] = found >= 0
                # A row of -1 is the last one; what it says there is masked.
                values[row] = (
                    (window.times[found] / 1000 if self._stamps else window.values[found, np.arange(columns)])
                    if len(window.times)
                    else 0.0
                )
            if columns > 1000 or row % 16 == 15:
                yield
        return Frame(labels, values, present)


def _latest(values: Floats, low: int, high: int) -> Times | None:
    """Return the row of the latest sample of each column, -1 without one; None when it is the last row for all."""
    if high <= low:
        return np.full(values.shape[1], -1, dtype=np.int64)
    latest = values[high - 1]
    if not np.isnan(latest).any() or bool((sample := is_sample(latest)).all()):
        return None
    rows = np.where(sample, high - 1, -1)
    pending = np.flatnonzero(latest.view(np.uint64) == _MISSING_BITS)
    for row in range(high - 2, low - 1, -1):
        if not len(pending):
            break
        there = values[row, pending]
        rows[pending[is_sample(there)]] = row
        pending = pending[there.view(np.uint64) == _MISSING_BITS]
    return rows


class RangeSelection(_Selection, Plan[Windows]):
    """All samples of each series in a stretch before every moment."""

    def run(self, run: Run) -> Steps[Windows]:
        """Fetch once what all moments see."""
        moments = self._timing.moments(run)
        window, labels = self.fetched(run, moments)
        yield
        first, last = self.bounds(window.times, moments)
        return Windows(labels, window.times, window.values, moments - self._reach, moments, first, last)


class Subselection(Plan[Windows]):
    """The values of an expression at many moments before each moment: a sub-query.

    Its moments are multiples of the step, whatever moment is asked for.
    """

    def __init__(self, inner: Tables, timing: Timing, reach: int, step: int, dialect: int, site: Site) -> None:
        self._inner = inner
        self._timing = timing
        self._reach = reach
        self._step = step
        self._open = dialect >= 3
        self._site = site

    def run(self, run: Run) -> Steps[Windows]:
        """Evaluate the expression over all its moments at once."""
        moments = self._timing.moments(run)
        start, count = 0, 0
        if len(moments):  # the outer of two sub-queries may have none
            edge = int(moments.min()) - self._reach
            start = (edge // self._step + (self._open or edge % self._step > 0)) * self._step
            count = max(0, (int(moments.max()) - start) // self._step + 1)
        if count > MAX_CELLS // 100:
            raise self._site.fault(f"A sub-query of {count:,} moments is too long.", "Give it a longer step.")
        times = start + self._step * np.arange(count, dtype=np.int64)
        frame = yield from self._inner.run(Run(run.source, times, run.start, run.end))
        values = frame.values if frame.present is None else np.where(frame.present, frame.values, MISSING)
        first = np.searchsorted(times, moments - self._reach, side="right" if self._open else "left")
        last = np.searchsorted(times, moments, side="right")
        return Windows(frame.labels, times, values, moments - self._reach, moments, first, last)
