from __future__ import annotations

import numpy as np
import pytest

from synfinance.quality.outliers import fences_of

SHAPES = {
    "normal": lambda rng, n: rng.normal(100, 10, n),
    "centred": lambda rng, n: rng.normal(0, 1, n),
    "uniform": lambda rng, n: rng.uniform(0, 1_000, n),
    "exponential": lambda rng, n: rng.exponential(10, n),
    "gamma": lambda rng, n: rng.gamma(0.5, 10, n),
    "log-normal 1": lambda rng, n: rng.lognormal(3, 1, n),
    "log-normal 2": lambda rng, n: rng.lognormal(3, 2, n),
    "pareto": lambda rng, n: rng.pareto(1.5, n) + 1,
    "laplace": lambda rng, n: rng.laplace(0, 1, n),
    "cauchy": lambda rng, n: rng.standard_cauchy(n),
    "arcsine": lambda rng, n: rng.beta(0.5, 0.5, n),
    "two humps": lambda rng, n: np.where(rng.random(n) < 0.5, rng.normal(0, 1, n), rng.normal(20, 1, n)),
    "two tiers": lambda rng, n: np.where(rng.random(n) < 0.15, rng.lognormal(6, 0.6, n), rng.lognormal(3, 0.6, n)),
    "mostly zero": lambda rng, n: np.where(rng.random(n) < 0.7, 0.0, rng.lognormal(3, 1, n)),
    "counts": lambda rng, n: rng.geometric(0.05, n).astype(float),
    "purchases and refunds": lambda rng, n: rng.lognormal(3, 1, n) * np.where(rng.random(n) < 0.03, -1, 1),
}


def share_beyond(values: np.ndarray) -> float:
    fences = fences_of(values)
    return 0.0 if fences is None else float(fences.beyond(values).mean())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("rows", [1_000, 20_000])
def test_natural_distributions_have_hardly_any_outliers(shape: str, rows: int) -> None:
    shares = [share_beyond(SHAPES[shape](np.random.default_rng(seed), rows)) for seed in range(8)]
    assert np.mean(shares) < 0.001
    assert max(shares) < 0.01


@pytest.mark.parametrize("share", [0.002, 0.01, 0.05, 0.1, 0.2, 0.3])
@pytest.mark.parametrize(("shape", "factor"), [("normal", 10), ("log-normal 1", 1_000_000), ("exponential", 1_000)])
def test_values_of_another_size_are_seen_whatever_their_share(shape: str, factor: float, share: float) -> None:
    rng = np.random.default_rng(3)
    values = SHAPES[shape](rng, 5_000)
    wrong = rng.permutation(5_000) < share * 5_000
    values[wrong] *= factor
    fences = fences_of(values)
    assert fences is not None
    beyond = fences.beyond(values)
    # Small exponential values times a thousand are within the reach of the rest.
    assert beyond[wrong].mean() > 0.95
    assert beyond[~wrong].mean() < 0.005


@pytest.mark.parametrize("share", [0.02, 0.05, 0.1, 0.2, 0.3])
def test_amounts_in_thousandths_make_a_second_hump(share: float) -> None:
    rng = np.random.default_rng(4)
    values = rng.lognormal(3, 1, 10_000)
    wrong = rng.random(10_000) < share
    values[wrong] *= 1_000
    fences = fences_of(values)
    assert fences is not None
    assert fences.beyond(values)[wrong].mean() > 0.9


def test_one_value_far_from_all_others_is_an_outlier_even_of_a_heavy_tail() -> None:
    values = np.random.default_rng(5).pareto(1.2, 2_000) + 1
    values = np.append(values, -1.0 * np.random.default_rng(6).lognormal(1, 0.5, 200))
    values[7] = 100 * values.max()
    values[8] = -100.0 * abs(values.min())
    fences = fences_of(values)
    assert fences is not None
    assert fences.beyond(values[7:9]).all()


def test_too_few_values_and_equal_values_have_no_fences() -> None:
    assert fences_of(np.arange(29.0)) is None
    assert fences_of(np.full(500, 3.0)) is None
    assert fences_of(np.array([])) is None


def test_a_flat_fee_that_most_rows_pay_is_no_outlier() -> None:
    values = np.where(np.arange(1_000) < 700, 5.0, np.random.default_rng(1).normal(900, 10, 1_000))
    assert share_beyond(values) < 0.005
