"""``histogram_quantile`` of classic histograms, as Prometheus' ``promql/quantile.go`` has it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bedplate.promql.labels import merged, nameless, without
from bedplate.promql.plan import Floats, Frame, Groups, Mask, Memo, Plan, Run, Scalars, Site, Steps, Tables, grouped
from bedplate.promql.source import Labels

__all__ = ["HistogramQuantile"]

#: Prometheus 3 takes a difference this small between buckets for one of rounding.
_SMALL = 1e-12
_LEAST = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True, slots=True)
class _Shape:
    """Histograms with the same boundaries.

    :ivar bounds: ascending. :ivar columns: histograms × buckets. :ivar numbers: which histograms they are.
    """

    bounds: Floats
    columns: NDArray[np.intp]
    numbers: NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class _Layout:
    histograms: int
    shapes: tuple[_Shape, ...]
    results: Groups


class HistogramQuantile(Tables):
    """The value below which a share of the observations lies, interpolated within its bucket."""

    def __init__(self, share: Plan[Scalars], operand: Tables, dialect: int, site: Site) -> None:
        self._share = share
        self._operand = operand
        self._dialect = dialect
        self._site = site
        self._layout = Memo(_laid_out)

    def run(self, run: Run) -> Steps[Frame]:
        """Work through the histograms by their boundaries, a few moments at once."""
        share = yield from self._share.run(run)
        frame = yield from self._operand.run(run)
        layout = yield from self._layout.of(frame.labels)
        values = np.full((len(share), layout.histograms), np.nan)
        present = np.zeros(values.shape, dtype=bool)
        for shape in layout.shapes:
            yield from self._fill(shape, share, frame, values, present)
        what = "Several histograms come to have the same labels"
        mend = "Aggregate them first, as in sum by (le, …) (rate(…))."
        return merged(values, None if present.all() else present, layout.results, self._site, what, mend)

    def _fill(self, shape: _Shape, share: Scalars, frame: Frame, values: Floats, present: Mask) -> Steps[None]:
        size = max(1, 16_384 // shape.columns.size)
        width = max(1, 16_384 // len(shape.bounds))
        for start in range(0, len(share), size):
            rows = slice(start, start + size)
            for left in range(0, len(shape.numbers), width):
                columns, numbers = shape.columns[left : left + width], shape.numbers[left : left + width]
                counts = frame.values[rows][:, columns]
                there = np.ones(counts.shape, dtype=bool) if frame.present is None else frame.present[rows][:, columns]
                present[rows, numbers] = there.any(axis=2)
                values[rows, numbers] = _quantiles(share[rows, None], shape.bounds, counts, self._dialect)
                odd = there.any(axis=2) & ~(there & np.isfinite(counts)).all(axis=2)
                if len(set(shape.bounds.tolist())) < len(shape.bounds):
                    odd = there.any(axis=2)
                for number, (row, one) in enumerate(np.argwhere(odd).tolist()):
                    mask = there[row, one]
                    buckets = list(zip(shape.bounds[mask].tolist(), counts[row, one][mask].tolist(), strict=True))
                    found = _quantile(float(share[start + row]), buckets, self._dialect)
                    values[start + row, numbers[one]] = found
                    if number % 50 == 49:
                        yield
                yield


def _laid_out(labels: tuple[Labels, ...]) -> Steps[_Layout]:
    """Find the histograms among series; what has no boundary in ``le`` is none of a histogram's."""
    key = without(("le",))
    places = [(place, bound) for place, one in enumerate(labels) if (bound := _bound(one)) is not None]
    yield
    groups = yield from grouped([labels[place] for place, _ in places], key)
    results = yield from grouped(groups.labels, nameless)
    buckets: list[list[tuple[float, int]]] = [[] for _ in groups.labels]
    for (place, bound), group in zip(places, groups.index.tolist(), strict=True):
        buckets[group].append((bound, place))
    shapes: dict[tuple[float, ...], list[int]] = {}
    for number, found in enumerate(buckets):
        found.sort()
        shapes.setdefault(tuple(bound for bound, _ in found), []).append(number)
        if number % 100 == 99:
            yield
    return _Layout(
        len(buckets),
        tuple(
            _Shape(
                np.asarray(bounds),
                np.asarray([[place for _, place in buckets[number]] for number in numbers], dtype=np.intp),
                np.asarray(numbers, dtype=np.intp),
            )
            for bounds, numbers in shapes.items()
        ),
        results,
    )


def _bound(labels: Labels) -> float | None:
    text = dict(labels).get("le", "")
    try:
        bound = float(text)
    except ValueError:
        return None
    return None if math.isnan(bound) or "_" in text or text != text.strip() else bound


def _quantiles(share: Floats, bounds: Floats, counts: Floats, dialect: int) -> Floats:
    """Return the quantiles of moments × histograms × buckets, all of them there and finite."""
    if bounds[-1] != math.inf or len(bounds) < 2:
        found = np.full(counts.shape[:2], np.nan)
    else:
        counts = _monotonic(counts, dialect)
        observed = counts[..., -1]
        rank = share * observed
        reached = counts[..., :-1] >= rank[..., None]
        bucket = np.where(reached.any(axis=2), reached.argmax(axis=2), len(bounds) - 1)
        before = np.maximum(bucket - 1, 0)
        below = np.where(bucket > 0, np.take_along_axis(counts, before[..., None], 2)[..., 0], 0.0)
        inside = np.take_along_axis(counts, bucket[..., None], 2)[..., 0] - below
        start = np.where(bucket > 0, bounds[before], 0.0)
        found = start + (bounds[bucket] - start) * ((rank - below) / inside)
        found = np.where((bucket == 0) & (bounds[0] <= 0), bounds[0], found)
        found = np.where(bucket == len(bounds) - 1, bounds[-2], found)
        found = np.where(observed == 0, np.nan, found)
    outside = np.where(np.isnan(share), np.nan, np.where(share < 0, -np.inf, np.inf))
    return np.where((share >= 0) & (share <= 1), found, outside)


def _monotonic(counts: Floats, dialect: int) -> Floats:
    """Return counts that never fall from one bucket to the next; those of different scrapes may."""
    if dialect < 3:
        return np.asarray(np.maximum.accumulate(counts, axis=-1))
    counts = counts.copy()
    for bucket in range(1, counts.shape[-1]):
        before, here = counts[..., bucket - 1], counts[..., bucket]
        counts[..., bucket] = np.where((here < before) | _nearly_equal(before, here), before, here)
    return counts


def _nearly_equal(one: Floats, other: Floats) -> Mask:
    total, difference = np.abs(one) + np.abs(other), np.abs(one - other)
    tiny = (one == 0) | (other == 0) | (total < _LEAST)
    near = np.where(tiny, difference < _SMALL * _LEAST, difference / total < _SMALL)
    return np.asarray((one == other) | near)


def _quantile(share: float, buckets: list[tuple[float, float]], dialect: int) -> float:
    """Return the quantile of one histogram, of whose buckets some are missing, double, or no numbers."""
    if math.isnan(share) or share < 0 or share > 1:
        return math.nan if math.isnan(share) else math.copysign(math.inf, share)
    if buckets[-1][0] != math.inf:
        return math.nan
    bounds: list[float] = []
    counts: list[float] = []
    for bound, count in buckets:
        if bounds and bounds[-1] == bound:
            counts[-1] += count
        else:
            bounds.append(bound)
            counts.append(count)
    previous = counts[0]
    for place in range(1, len(counts)):
        small = dialect >= 3 and bool(_nearly_equal(np.asarray(previous), np.asarray(counts[place])))
        if counts[place] < previous or small:
            counts[place] = previous
        elif dialect >= 3 or counts[place] > previous:
            previous = counts[place]
    if len(bounds) < 2 or counts[-1] == 0:
        return math.nan
    rank = share * counts[-1]
    low, high = 0, len(bounds) - 1
    while low < high:  # Go's binary search, which with NaN among the counts is not the first that fits
        middle = (low + high) // 2
        low, high = (low, middle) if counts[middle] >= rank else (middle + 1, high)
    if low == len(bounds) - 1:
        return bounds[-2]
    if low == 0 and bounds[0] <= 0:
        return bounds[0]
    start, below = (bounds[low - 1], counts[low - 1]) if low else (0.0, 0.0)
    return float(start + (bounds[low] - start) * (np.float64(rank - below) / np.float64(counts[low] - below)))
