"""Fraud must be found in what cards do over time: no raw column may give it away by itself."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from sklearn.tree import DecisionTreeClassifier

from synfinance.generator import Generator, GeneratorConfig

LIMIT = 0.9
LABELS = ("is_fraud", "fraud_type", "severity")


@pytest.fixture(scope="module")
def run() -> pl.DataFrame:
    return pl.concat(Generator(GeneratorConfig(rows=60_000, fraud_rate=0.01, seed=21)).frames())


def _by_value(values: NDArray[np.float64], fraud: NDArray[np.bool_]) -> float:
    """How well the greater, or the smaller, values are the fraudulent ones."""
    area = float(roc_auc_score(fraud, values))
    return max(area, 1 - area)


def _by_rate(column: pl.Series, fraud: NDArray[np.bool_]) -> float:
    """How well a value's rate of fraud in four fifths of the rows tells the rest of them."""
    fold = np.random.default_rng(0).integers(0, 5, len(fraud))
    told = np.zeros(len(fraud))
    table = pl.DataFrame({"value": column, "fraud": fraud.astype(np.float64), "fold": fold})
    for held in range(5):
        rate = table.filter(pl.col("fold") != held).group_by("value").agg(
            (pl.col("fraud").sum() + fraud.mean() * 5) / (pl.len() + 5)
        )  # fmt: skip
        rows = table.filter(pl.col("fold") == held).join(rate.rename({"fraud": "rate"}), on="value", how="left",
                                                         maintain_order="left", nulls_equal=True)  # fmt: skip
        told[fold == held] = rows["rate"].fill_null(fraud.mean()).to_numpy()
    return float(roc_auc_score(fraud, told))


def _by_tree(values: NDArray[np.float64], fraud: NDArray[np.bool_]) -> float:
    """How well ranges of values tell: a tree fitted to every other row."""
    tree = DecisionTreeClassifier(max_leaf_nodes=64, min_samples_leaf=20, random_state=0)
    tree.fit(values[::2, None], fraud[::2])
    return float(roc_auc_score(fraud[1::2], tree.predict_proba(values[1::2, None])[:, 1]))


def test_no_raw_column_separates_fraud(run: pl.DataFrame) -> None:
    fraud = run["is_fraud"].to_numpy()
    areas: dict[str, float] = {}
    for name in run.columns:
        if name in LABELS:
            continue
        column = run[name]
        if column.dtype == pl.Enum:
            areas[name] = _by_rate(column, fraud)
        else:
            values = column.to_physical().cast(pl.Float64).to_numpy()
            areas[name] = max(_by_value(values, fraud), _by_tree(values, fraud))
    assert len(areas) == len(run.columns) - len(LABELS)
    assert {name: area for name, area in areas.items() if area > LIMIT} == {}
