"""Outliers of one numeric column, without flagging the honest tail of a heavy-tailed one.

Each side of the median is judged by itself, from the distance *S* of its quartile, S(¾), and its octile, S(⅞), Tukey's
letter values. For a tail of Weibull type, S(p) ∝ E(p) ** γ with E(p) = −ln 2(1 − p), and E(⅞) = 2 E(¾), so that
β = log2 S(⅞)/S(¾) tells how fast the tail grows near the middle: 0.585 for a uniform, 0.770 for a normal, 1 for an
exponential distribution. γ, the growth from there to the far tail, is interpolated between those three, for which the
distance that one value in a million exceeds is then exact. (Weibull-tail coefficients: Gardes and Girard, 2006; letter
values: Hofmann, Wickham and Kafadar, 2017.) A column whose β exceeds that of an exponential is judged on an asinh
scale, logarithmic for large values, where a log-normal is normal and a Pareto exponential.

Quantiles near the middle resist an eighth of outliers at most. To see more, and to keep a few per cent from widening
the fence, a fraction *c* of the side is presumed to be outliers and left out; the presumption is accepted when half of
what was left out (four fifths, when it is more than a tenth of all) lies beyond a wide fence drawn from the rest, which
natural tails do not reach.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MIN_VALUES: Final = 30
_SAMPLE: Final = 200_000
_RARE: Final = 1e-6
_OCTILE: Final = math.log(4.0)  # E(7/8)
_REACH: Final = -math.log(2.0 * _RARE) / _OCTILE
_BETAS: Final = (0.585, 0.770, 1.0)
_GAMMAS: Final = (0.35, 0.63, 1.0)
"""Exact for the normal and the exponential; for the uniform 0.13 would be, which bimodal columns would not forgive."""
_PRESUMED: Final = (0.01, 0.02, 0.04, 0.07, 0.10, 0.15, 0.20, 0.25, 0.30, 0.35, 0.40)
_PLENTY: Final = 0.1
_PRESUMED_GAMMA: Final = 0.77
_PRESUMABLE: Final = 100
"""Values, and a fifth as many different ones, below which no outliers are presumed: too few to tell two groups."""
_LOGARITHMIC: Final = 0.01
_HUMP_APART: Final = 50.0
_HUMP_BIN: Final = 0.35
_HUMP_SIGMAS: Final = 3.0
_FEW: Final = 3
_APART: Final = 20.0
_MODE_SHARE: Final = 0.25
_MINORITY: Final = 0.25


@dataclass(frozen=True, slots=True)
class Scale:
    """How values are measured: as they are, or by asinh(value / unit), logarithmic for large values."""

    unit: float | None = None

    def of(self, values: Floats) -> Floats:
        """Values on the scale."""
        return values if self.unit is None else np.arcsinh(values / self.unit)

    def back(self, value: float) -> float:
        """A value of the scale in the column's own units; infinite when it is beyond them."""
        if self.unit is None:
            return value
        return float(np.sinh(np.clip(value, -700.0, 700.0)) * self.unit)


@dataclass(frozen=True, slots=True)
class Fences:
    """Values below ``low`` or above ``high`` are outliers, except ``usual``, which most are."""

    low: float
    high: float
    usual: float | None = None

    def beyond(self, values: Floats) -> NDArray[np.bool_]:
        """Which of the values are outliers."""
        outside = (values < self.low) | (values > self.high)
        return outside if self.usual is None else outside & (values != self.usual)


def fences_of(values: Floats) -> Fences | None:
    """Where the outliers of a column begin, or None when there are too few different values to say.

    ``values`` are finite. A column with values of mostly one sign is judged by magnitude, so that the refunds among
    purchases are no outliers for being negative. One to three values of a sign that are twenty times as large as all
    others of it are outliers whatever the tail.
    """
    sample = values[:: max(1, len(values) // _SAMPLE)]
    signs = np.sign(sample)
    minority = min(np.count_nonzero(signs > 0), np.count_nonzero(signs < 0)) / max(1, len(sample))
    by_magnitude = 0.0 < minority < _MINORITY
    ordered = np.sort(np.abs(sample) if by_magnitude else sample)
    mode, share = _mode(ordered)
    if share >= _MODE_SHARE:
        ordered = ordered[ordered != mode]
    if len(ordered) < MIN_VALUES:
        return None
    high = _fence(ordered)
    # Towards zero a logarithm has no end: small amounts are not outliers for being many times smaller than others.
    low = -high if by_magnitude else -_fence(-ordered[::-1], downwards=True)
    low = max(low, -_isolated(-values))
    high = min(high, _isolated(values), _second_hump(ordered))
    if by_magnitude:
        low = max(low, -_second_hump(ordered))
    return None if math.isinf(high) and math.isinf(low) else Fences(low, high, mode if share > 0.5 else None)


def _isolated(values: Floats) -> float:
    """What lies between a few values at the top and all others, far below them; infinite when nothing does."""
    positive = values[values > 0]
    if len(positive) < _PRESUMABLE:
        return math.inf
    top = np.sort(np.partition(positive, -_FEW - 1)[-_FEW - 1 :])
    for below, above in itertools.pairwise(top):
        if above >= _APART * below:
            return float(np.sqrt(below * above))
    return math.inf


def _second_hump(ordered: Floats) -> float:
    """The valley before a second hump of sorted values, fifty times as large as the first; infinite without one.

    Amounts in cents among amounts in euros make one. Natural tails fall all the way, however heavy they are, and the
    tiers of natural prices lie closer together.
    """
    logs = np.log(ordered[ordered > 0])
    if len(logs) < _PRESUMABLE:
        return math.inf
    middle = float(np.median(logs))
    heights = np.bincount(((logs[logs > middle] - middle) / _HUMP_BIN).astype(np.int64)).astype(np.float64)
    # Each bin with its neighbours, so that a chance gap is no valley.
    smooth = np.convolve(heights, np.ones(3), mode="same")
    after = np.maximum.accumulate(smooth[::-1])[::-1]
    deep = after / 2 - smooth > _HUMP_SIGMAS * np.sqrt(after / 4 + smooth)
    if not deep.any():
        return math.inf
    valley = int(np.argmin(np.where(deep, smooth, np.inf)))
    split = middle + (valley + 0.5) * _HUMP_BIN
    hump = logs[logs > split]
    first = logs[: len(logs) - len(hump)]
    apart = float(np.median(hump) - np.median(first)) >= math.log(_HUMP_APART)
    return math.exp(split) if apart and len(hump) <= _PRESUMED[-1] * len(ordered) else math.inf


def scale_of(values: Floats) -> Scale:
    """The scale that suits sorted values: asinh when a tail grows faster than an exponential's, else none."""
    middle, *letters = np.quantile(values, (0.5, 0.125, 0.25, 0.75, 0.875))
    spreads = np.abs(np.asarray(letters) - middle)
    if max(_beta(spreads[2], spreads[3]), _beta(spreads[1], spreads[0])) <= 1.0 + _noise(len(values)):
        return Scale()
    return _asinh_scale(values)


def _asinh_scale(values: Floats) -> Scale:
    """An asinh scale for sorted values: linear about zero, or all but logarithmic when none is negative."""
    unit = float(np.median(np.abs(values[values != 0])))
    return Scale(unit if values[0] < 0 < values[-1] else _LOGARITHMIC * unit)


def _mode(ordered: Floats) -> tuple[float, float]:
    """The commonest of sorted values and its share; a heap of equal ones (zeros, a flat fee) has no spread to learn."""
    distinct, counts = np.unique(ordered, return_counts=True)
    if not len(counts):
        return 0.0, 0.0
    top = int(np.argmax(counts))
    return float(distinct[top]), float(counts[top]) / len(ordered)


def _fence(ordered: Floats, *, downwards: bool = False) -> float:
    """The upper fence of sorted values, with the presumed share of outliers that explains itself best.

    ``downwards`` says that the values were negated, to find a lower fence.
    """
    best, misfit = 0, math.inf
    presumable = len(ordered) >= _PRESUMABLE and len(np.unique(ordered)) >= _PRESUMABLE // 5
    for share in _PRESUMED if presumable else ():
        left_out = round(len(ordered) * share)
        if left_out < 3:
            continue
        kept = ordered[:-left_out]
        # What is left of a cut tail looks light: test it on a logarithmic scale, with a growth set beforehand.
        linear = downwards and kept[-1] <= 0
        wide = _drawn(kept, Scale() if linear else _asinh_scale(kept), _PRESUMED_GAMMA)
        seen = len(ordered) - int(np.searchsorted(ordered, wide, side="right"))
        if seen >= left_out * (0.5 if share <= _PLENTY else 0.8) and abs(seen - left_out) / left_out < misfit:
            best, misfit = seen, abs(seen - left_out) / left_out
    kept = ordered[: len(ordered) - best]
    return _drawn(kept, Scale() if downwards and kept[-1] <= 0 else scale_of(kept))


def _drawn(ordered: Floats, scale: Scale, growth: float | None = None) -> float:
    """The upper fence of sorted values without outliers; infinite when their upper half has no spread."""
    middle, quartile, octile = scale.of(np.quantile(ordered, (0.5, 0.75, 0.875)))
    if octile <= middle:
        return math.inf
    if growth is None:
        beta = _beta(quartile - middle, octile - middle) + _noise(len(ordered))
        growth = float(np.interp(beta, _BETAS, _GAMMAS)) if beta < _BETAS[-1] else beta
    return scale.back(float(middle + (octile - middle) * _REACH**growth))


def _beta(quartile: float, octile: float) -> float:
    return math.log2(octile / quartile) if quartile > 0 and octile > 0 else 1.0


def _noise(count: int) -> float:
    """About one and a half standard errors of β, so that small samples get the benefit of the doubt."""
    return 2.8 / math.sqrt(count)
