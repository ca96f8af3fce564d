"""Ratios of a series of returns, one a period; as empyrical defines them, and equal to it within 1e-9.

All take a one-dimensional array of simple returns (0.01 is one per cent) and say None where there is no answer:
too few returns, or nothing to divide by.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Drawdown", "annual_return", "calmar", "downside_risk", "drawdown", "growth", "max_drawdown", "sharpe", "sortino",
    "total_return", "volatility",
]  # fmt: skip

Returns = NDArray[np.float64]

DAYS: Final = 252.0
#: A spread this small beside the returns is what rounding leaves of none.
_NONE: Final = 1e-15


def growth(returns: Returns) -> Returns:
    """Return what 1 has become after each period."""
    grown: Returns = np.asarray(np.cumprod(1.0 + returns), dtype=np.float64)
    return grown


def total_return(returns: Returns) -> float:
    """Return the return of all periods together."""
    return float(np.prod(1.0 + returns)) - 1.0


def annual_return(returns: Returns, periods: float = DAYS) -> float | None:
    """Return the constant yearly return that ends at the same.

    :param periods: how many a year has.
    """
    if not returns.size:
        return None
    end = float(np.prod(1.0 + returns))
    return None if end < 0 else _finite(end ** (periods / returns.size) - 1.0)


def volatility(returns: Returns, periods: float = DAYS) -> float | None:
    """Return the yearly standard deviation."""
    return None if returns.size < 2 else _finite(float(np.std(returns, ddof=1)) * math.sqrt(periods))


def sharpe(returns: Returns, periods: float = DAYS, risk_free: float = 0.0) -> float | None:
    """Return the mean excess over its standard deviation, a year (Sharpe, 1994).

    :param risk_free: of one period.
    """
    if returns.size < 2:
        return None
    excess = returns - risk_free
    spread = float(np.std(excess, ddof=1))
    if spread <= _NONE * max(1.0, float(np.max(np.abs(excess)))):
        return None
    return _finite(float(np.mean(excess)) / spread * math.sqrt(periods))


def downside_risk(returns: Returns, periods: float = DAYS, required: float = 0.0) -> float | None:
    """Return the yearly root mean square of what falls short of ``required``, over all periods."""
    if not returns.size:
        return None
    short = np.minimum(returns - required, 0.0)
    return float(np.sqrt(np.mean(short * short))) * math.sqrt(periods)


def sortino(returns: Returns, periods: float = DAYS, required: float = 0.0) -> float | None:
    """Return the yearly mean excess over the downside risk (Sortino & Price, 1994)."""
    if returns.size < 2:
        return None
    risk = downside_risk(returns, periods, required)
    return None if not risk else _finite(float(np.mean(returns - required)) * periods / risk)


class Drawdown(NamedTuple):
    """The deepest fall of a series: its depth as a negative share, and the periods from which to which it fell.

    :ivar peak: -1 for the start before the first period. :ivar recovered: None while it has not.
    """

    depth: float
    peak: int
    trough: int
    recovered: int | None


def drawdown(returns: Returns) -> Drawdown | None:
    """Return the deepest fall; None when it never fell."""
    if not returns.size:
        return None
    index = np.concatenate(([1.0], growth(returns)))
    peaks = np.maximum.accumulate(index)
    falls = (index - peaks) / peaks
    trough = int(np.argmin(falls))
    if falls[trough] >= 0.0:
        return None
    peak = int(np.argmax(index[: trough + 1]))
    later = np.nonzero(index[trough:] >= index[peak])[0]
    return Drawdown(float(falls[trough]), peak - 1, trough - 1, trough + int(later[0]) - 1 if later.size else None)


def max_drawdown(returns: Returns) -> float | None:
    """Return the depth of the deepest fall, negative, 0 when it never fell."""
    if not returns.size:
        return None
    deepest = drawdown(returns)
    return 0.0 if deepest is None else deepest.depth


def calmar(returns: Returns, periods: float = DAYS) -> float | None:
    """Return the yearly return over the depth of the deepest fall (Young, 1991)."""
    fall = max_drawdown(returns)
    yearly = annual_return(returns, periods)
    return None if not fall or yearly is None else _finite(yearly / -fall)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
