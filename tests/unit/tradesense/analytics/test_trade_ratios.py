"""Ratios beside empyrical-reloaded, and the money-weighted return beside a solver of somebody else's."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from scipy.optimize import brentq

from tradesense.analytics import ratios
from tradesense.analytics.xirr import xirr

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import empyrical


def _series(seed: int) -> np.ndarray:
    dice = np.random.default_rng(seed)
    length = int(dice.integers(2, 600))
    spread = 10.0 ** dice.uniform(-4, -1.3)
    returns = dice.standard_t(4, length) * spread + dice.normal(0, spread / 3)
    returns = np.clip(returns, -0.95, 3.0)
    if seed % 7 == 0:
        returns[dice.random(length) < 0.5] = 0.0
    if seed % 11 == 0:
        returns = np.abs(returns)
    return returns


OURS = (
    lambda r: ratios.sharpe(r, risk_free=0.0001),
    lambda r: ratios.sortino(r, required=0.0001),
    ratios.calmar,
    ratios.max_drawdown,
    ratios.annual_return,
    ratios.volatility,
    ratios.total_return,
    ratios.downside_risk,
)
THEIRS = (
    lambda r: empyrical.sharpe_ratio(r, risk_free=0.0001),
    lambda r: empyrical.sortino_ratio(r, required_return=0.0001),
    empyrical.calmar_ratio,
    empyrical.max_drawdown,
    empyrical.annual_return,
    empyrical.annual_volatility,
    empyrical.cum_returns_final,
    empyrical.downside_risk,
)


def test_a_thousand_series_have_the_ratios_that_empyrical_gives() -> None:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for seed in range(1_000):
            returns = _series(seed)
            for ours, theirs in zip(OURS, THEIRS, strict=True):
                mine, other = ours(returns), float(theirs(returns))
                if mine is None:
                    assert not math.isfinite(other), (seed, theirs, other)
                else:
                    assert mine == pytest.approx(other, rel=1e-9, abs=1e-12), (seed, theirs)


@pytest.mark.parametrize("returns", [np.zeros(0), np.array([0.01]), np.full(30, 0.001), np.zeros(20)])
def test_where_nothing_can_be_said_nothing_is(returns: np.ndarray) -> None:
    assert ratios.sharpe(returns) is None
    assert ratios.calmar(returns) is None
    assert ratios.sortino(returns) is None


def test_a_drawdown_says_from_when_to_when() -> None:
    fall = ratios.drawdown(np.array([0.1, -0.2, -0.1, 0.5, 0.1]))
    assert fall is not None
    assert fall.depth == pytest.approx(-0.28)
    assert (fall.peak, fall.trough, fall.recovered) == (0, 2, 3)
    from_the_start = ratios.drawdown(np.array([-0.5, 0.1]))
    assert from_the_start is not None
    assert (from_the_start.peak, from_the_start.recovered) == (-1, None)
    assert ratios.drawdown(np.array([0.1, 0.0])) is None
    assert ratios.max_drawdown(np.array([0.1, 0.0])) == 0


def test_the_money_weighted_return_is_the_one_of_spreadsheets() -> None:
    # The example in the documentation of XIRR.
    days = np.array([39448, 39508, 39751, 39859, 39904])
    flows = np.array([-10_000.0, 2_750, 4_250, 3_250, 2_750])
    assert xirr(days, flows) == pytest.approx(0.373362535, abs=1e-8)


def test_the_money_weighted_return_solves_its_equation() -> None:
    dice = np.random.default_rng(5)
    for _ in range(200):
        days = np.cumsum(dice.integers(1, 200, 6))
        flows = np.append(-dice.uniform(10, 1_000, 5), 0.0)
        flows[-1] = -flows.sum() * dice.uniform(0.3, 3)
        years = (days - days[0]) / 365
        expected = brentq(lambda rate, y=years, f=flows: np.sum(f * (1 + rate) ** -y), -0.9999, 1e6, xtol=1e-13)
        assert xirr(days, flows) == pytest.approx(expected, rel=1e-9, abs=1e-10)


def test_flows_of_one_sign_or_one_day_have_no_rate() -> None:
    assert xirr(np.array([1, 2]), np.array([-1.0, -2.0])) is None
    assert xirr(np.array([3, 3]), np.array([-1.0, 2.0])) is None
    assert xirr(np.array([1]), np.array([1.0])) is None


def test_a_total_loss_and_a_hundredfold_gain_are_found() -> None:
    assert xirr(np.array([0, 365]), np.array([-100.0, 0.01])) == pytest.approx(-0.9999)
    assert xirr(np.array([0, 365]), np.array([-1.0, 100.0])) == pytest.approx(99.0)
