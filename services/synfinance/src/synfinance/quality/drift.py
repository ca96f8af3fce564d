"""Drift between two samples of a field, with bounds that hold at any size.

A p-value says whether two samples differ at all, so with enough rows it always fires; a fixed threshold on PSI fires
by chance alone when there are few. Here a field has drifted when its distance exceeds both the smallest effect worth
telling and what chance does: the values of both samples are put into common bins, and the distances of random splits
of the pooled bins give the distribution under "nothing changed", at the level ``ALARM`` for a whole table. Permuting
rows of a table amounts to drawing from a multivariate hypergeometric distribution of its bin counts, which costs the
same for 200 rows as for 200 million.

Rows near in time resemble each other (a quiet week, a busy customer), so the two halves of one file are compared with
random halves of its *blocks in time* as well.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincinv

from synfinance.quality.outliers import Floats, scale_of
from synfinance.quality.report import Drift, DriftKind

Ints = NDArray[np.int64]
Counts = NDArray[np.int64] | Floats

ALARM: Final = 0.002
"""Probability that a table in which nothing changed raises any alarm, when its bounds are larger than the effects."""
PSI_EFFECT: Final = 0.1
"""The usual reading of the population stability index: below 0.1 none, to 0.25 moderate, above it major."""
WASSERSTEIN_EFFECT: Final = 0.1
MISSING_EFFECT: Final = 0.02
MIN_ROWS: Final = 50
"""Fewer known values than this in one of the samples say nothing."""
MAX_CATEGORIES: Final = 30
"""Categories compared by themselves; the rest are taken together."""

_FINE: Final = 64
_BLOCKS: Final = 20
_DRAWS: Final = 400
_MIN_SCALE_VALUES: Final = 20


@dataclass(frozen=True, slots=True)
class Binned:
    """A field of two samples in common bins: the bin of each row (−1: missing), and where the bins lie if ordered."""

    column: str
    first: Ints
    second: Ints
    bins: int
    positions: Floats | None = None
    """Mean position of each bin in robust standard deviations; None for categories."""


class Comparison:
    """Compares fields of two samples, all at one family-wise level."""

    def __init__(self, fields: int, seed: int, *, blocks: bool = False) -> None:
        """``fields`` is how many will be compared; ``blocks`` says that both samples are halves of one, in order."""
        self._level = ALARM / max(1, 3 * fields)
        self._rng = np.random.default_rng(seed)
        self._blocks = blocks

    def of(self, field: Binned) -> Iterator[Drift]:
        """The distances of one field with their bounds."""
        yield self._missing(field)
        first = np.bincount(field.first[field.first >= 0], minlength=field.bins)
        second = np.bincount(field.second[field.second >= 0], minlength=field.bins)
        if min(first.sum(), second.sum()) < MIN_ROWS or np.count_nonzero(first + second) < 2:
            return
        splits = self._splits(first, second, field)
        groups = _coarse(first + second, min(first.sum(), second.sum()), ordered=field.positions is not None)
        chance = [_psi(_grouped(one, groups), _grouped(other, groups)) for one, other in splits]
        yield self._judged(
            field.column, "psi", float(_psi(_grouped(first, groups), _grouped(second, groups))), chance, PSI_EFFECT
        )
        if field.positions is not None:
            gaps = np.diff(field.positions)
            chance = [_wasserstein(one, other, gaps) for one, other in splits]
            distance = float(_wasserstein(first, second, gaps))
            yield self._judged(field.column, "wasserstein", distance, chance, WASSERSTEIN_EFFECT)

    def _missing(self, field: Binned) -> Drift:
        lost = (field.first < 0), (field.second < 0)
        rates = [float(mask.mean()) if mask.size else 0.0 for mask in lost]
        sizes = [max(1, mask.size) for mask in lost]
        pooled = sum(rate * size for rate, size in zip(rates, sizes, strict=True)) / sum(sizes)
        chance = math.sqrt(pooled * (1 - pooled) * (1 / sizes[0] + 1 / sizes[1]))
        # Bernstein's inequality holds for rare missing values too, where a normal bound is far too small.
        depth = math.log(2 / self._level)
        bound = chance * math.sqrt(2 * depth) + depth * (1 / sizes[0] + 1 / sizes[1]) / 3
        return Drift(field.column, "missing", abs(rates[0] - rates[1]), max(bound, MISSING_EFFECT))

    def _splits(self, first: Ints, second: Ints, field: Binned) -> list[tuple[Counts, Counts]]:
        """Bin counts (draws × bins) of random splits of both samples: of rows and, for halves, of blocks of rows."""
        pooled = first + second
        drawn = self._rng.multivariate_hypergeometric(pooled, int(first.sum()), size=_DRAWS, method="marginals")
        splits: list[tuple[Counts, Counts]] = [(drawn, pooled - drawn)]
        if self._blocks:
            counts = _by_block(np.concatenate((field.first, field.second)), field.bins)
            chosen = np.zeros((_DRAWS, _BLOCKS))
            chosen[:, : _BLOCKS // 2] = 1.0
            drawn_blocks = self._rng.permuted(chosen, axis=1) @ counts
            splits.append((drawn_blocks, pooled - drawn_blocks))
        return splits

    def _judged(self, column: str, kind: DriftKind, value: float, chance: list[Floats], effect: float) -> Drift:
        """The value with its bound: the largest of the effect, every random split, and the tail of a gamma fit.

        PSI is close to a scaled χ² when nothing changed, a gamma; the fit reaches levels that few draws cannot show.
        """
        bound = effect
        for sample in chance:
            mean, variance = float(sample.mean()), float(sample.var())
            bound = max(bound, float(sample.max()))
            if mean > 0 and variance > 0:
                bound = max(bound, float(gammaincinv(mean**2 / variance, 1 - self._level)) * variance / mean)
        return Drift(column, kind, value, bound)


def binned_numbers(column: str, first: Floats, second: Floats) -> Binned:
    """Bin two numeric samples (NaN: missing) by common quantiles of both; each bin lies at the mean of its values."""
    pooled = np.concatenate((first, second))
    known = np.sort(pooled[np.isfinite(pooled)])
    if len(known) < _MIN_SCALE_VALUES:
        return _unknown(column, first.size, second.size)
    edges = np.unique(known[np.linspace(0, len(known) - 1, _FINE + 1).astype(np.int64)[1:-1]])
    bins = len(edges) + 1
    codes = [np.where(np.isfinite(x), np.searchsorted(edges, x, side="left"), -1) for x in (first, second)]
    scaled = scale_of(known).of(known)
    of_known = np.searchsorted(edges, known, side="left")
    totals = np.bincount(of_known, minlength=bins)
    means = np.bincount(of_known, scaled, minlength=bins) / np.maximum(totals, 1)
    empty = totals == 0
    means[empty] = np.interp(np.flatnonzero(empty), np.flatnonzero(~empty), means[~empty])
    quarter, three = np.quantile(scaled, (0.25, 0.75))
    spread = float(three - quarter) / 1.349 or float(scaled.std()) or 1.0
    return Binned(column, codes[0], codes[1], bins, means / spread)


def binned_categories(column: str, first: Ints, second: Ints, bins: int) -> Binned:
    """Take two samples of category codes (−1: missing), all below ``bins``, as they are."""
    return Binned(column, first, second, bins)


def strength_of(items: tuple[Drift, ...] | list[Drift]) -> float:
    """How strong the drift of one field is, 0 to 1: by its largest exceeded distance; PSI 0.25 gives 0.39, 1 0.86."""
    effects = {"psi": 2.0, "wasserstein": 1.0, "missing": 2.0}
    largest = max((item.value * effects[item.kind] for item in items if item.drifted), default=0.0)
    return 1.0 - math.exp(-largest)


def _unknown(column: str, first: int, second: int) -> Binned:
    return Binned(column, np.full(first, -1), np.full(second, -1), 1)


def _coarse(pooled: Ints, smaller: int, *, ordered: bool) -> Ints:
    """The PSI bin of each fine bin: enough rows in each for the index to be stable, ten at most when ordered.

    The index of a nearly empty bin is all noise, so rare categories share one bin.
    """
    wanted = int(np.clip(smaller // 40, 3, 10 if ordered else MAX_CATEGORIES))
    if ordered:
        return _merged(pooled, float(pooled.sum()) / wanted)
    groups = np.full(len(pooled), wanted, dtype=np.int64)
    top = np.argsort(-pooled, kind="stable")[:wanted]
    worthy = top[pooled[top] * smaller >= 10 * pooled.sum()]
    groups[worthy] = np.arange(len(worthy))
    _, compact = np.unique(groups, return_inverse=True)
    return np.asarray(compact, dtype=np.int64)


def _merged(pooled: Ints, least: float) -> Ints:
    """The group of each bin when neighbours are merged until each group has ``least`` rows."""
    groups = np.zeros(len(pooled), dtype=np.int64)
    group, filled = 0, 0.0
    for index, count in enumerate(pooled):
        if filled >= least:
            group, filled = group + 1, 0.0
        groups[index] = group
        filled += float(count)
    if filled < least / 2 and group:
        groups[groups == group] = group - 1
    return groups


def _by_block(rows: Ints, bins: int) -> Counts:
    """Bin counts of each of :data:`_BLOCKS` stretches of rows (blocks × bins)."""
    block = np.arange(len(rows)) * _BLOCKS // len(rows)
    known = rows >= 0
    counts = np.bincount(block[known] * bins + rows[known], minlength=_BLOCKS * bins)
    return np.asarray(counts.reshape(_BLOCKS, bins), dtype=np.int64)


def _grouped(counts: Counts, groups: Ints) -> Floats:
    """Counts of the last axis added up by group."""
    return np.asarray(counts @ (groups[:, None] == np.arange(groups.max() + 1)), dtype=np.float64)


def _psi(first: Counts, second: Counts) -> Floats:
    """Population stability index over the last axis, with half a row added to each bin so that none is empty."""
    p = (first + 0.5) / (first.sum(axis=-1, keepdims=True) + 0.5 * first.shape[-1])
    q = (second + 0.5) / (second.sum(axis=-1, keepdims=True) + 0.5 * second.shape[-1])
    return np.asarray(np.sum((p - q) * np.log(p / q), axis=-1), dtype=np.float64)


def _wasserstein(first: Counts, second: Counts, gaps: Floats) -> Floats:
    """Wasserstein distance over the last axis, of bins with these gaps between their positions."""
    p = first / first.sum(axis=-1, keepdims=True)
    q = second / second.sum(axis=-1, keepdims=True)
    difference = np.cumsum(p - q, axis=-1)[..., :-1]
    return np.asarray(np.sum(np.abs(difference) * gaps, axis=-1), dtype=np.float64)
