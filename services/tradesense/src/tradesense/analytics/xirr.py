"""The money-weighted return of dated cash flows."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["xirr"]

#: The logarithm of one plus the yearly rate is looked for in here: from -99.9999 % to 10^12.
_LOWEST: Final = math.log(1e-6)
_HIGHEST: Final = math.log(1e12)
_STEPS: Final = 200


def xirr(days: NDArray[np.int64], flows: NDArray[np.float64]) -> float | None:
    """Return the yearly rate at which all flows are worth nothing together, as spreadsheets' XIRR (actual/365).

    :param days: ordinals. :param flows: what the investor gets, negative for what he puts in; the last has the worth of
        what is left. None when no rate does it, as when all flows have one sign.
    """
    if flows.size < 2 or not (flows.min() < 0 < flows.max()) or days.min() == days.max():
        return None
    years = (days - days.min()) / 365.0

    def worth(x: float) -> float:
        return float(np.sum(flows * np.exp(np.clip(-x * years, -700.0, 700.0))))

    bracket = _bracket(worth)
    if bracket is None:
        return None
    low, high = bracket
    at_low = worth(low)
    for _ in range(_STEPS):
        middle = 0.5 * (low + high)
        at_middle = worth(middle)
        if at_middle == 0.0 or high - low < 1e-14:
            break
        if (at_middle < 0) == (at_low < 0):
            low, at_low = middle, at_middle
        else:
            high = middle
    return math.expm1(0.5 * (low + high))


def _bracket(worth: Callable[[float], float]) -> tuple[float, float] | None:
    """Return two rates between which the sign changes, those nearest to nothing: several may solve it."""
    at_zero = worth(0.0)
    step = 0.05
    lower = upper = 0.0
    below = above = at_zero
    while lower > _LOWEST or upper < _HIGHEST:
        if upper < _HIGHEST:
            further = min(upper + step, _HIGHEST)
            value = worth(further)
            if (value < 0) != (above < 0):
                return upper, further
            upper, above = further, value
        if lower > _LOWEST:
            further = max(lower - step, _LOWEST)
            value = worth(further)
            if (value < 0) != (below < 0):
                return further, lower
            lower, below = further, value
        step *= 1.3
    return None
