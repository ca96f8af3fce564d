# ruff: noqa: DTZ001  # columns hold times without a zone
from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

NOW = datetime(2026, 6, 1)
PLACES = ["groceries", "transport", "restaurants", "clothing", "health", "travel", "utilities", "books"]


@pytest.fixture
def now() -> datetime:
    return NOW


@pytest.fixture
def payments() -> Callable[..., pl.DataFrame]:
    """Clean payments: independent rows over sixty days, so that nothing in them is worth a finding."""

    def make(rows: int = 2_000, seed: int = 0) -> pl.DataFrame:
        rng = np.random.default_rng(seed)
        start = datetime(2026, 1, 1)
        seconds = np.sort(rng.integers(0, 60 * 86_400, rows))
        return pl.DataFrame(
            {
                "transaction_id": [f"T{number:07d}" for number in range(rows)],
                "timestamp": [start + timedelta(seconds=int(second)) for second in seconds],
                "customer_id": rng.integers(1_000, 9_999, rows),
                "amount": np.round(rng.lognormal(3.0, 1.0, rows), 2),
                "currency": rng.choice(["EUR", "GBP", "USD"], rows, p=[0.6, 0.3, 0.1]),
                "category": rng.choice(PLACES, rows),
                "mcc": rng.choice([5411, 4111, 5812, 5651, 8011], rows),
                "country": rng.choice(["DE", "GB", "FR"], rows),
                "online": rng.random(rows) < 0.4,
                "balance": rng.normal(1_000.0, 200.0, rows),
            }
        )

    return make
