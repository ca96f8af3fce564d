from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synfinance.fraud import Roles, build_features, infer_roles
from synfinance.fraud.features import great_circle
from synfinance.generator import Generator, GeneratorConfig

NOON = datetime(2025, 3, 3, 12)  # noqa: DTZ001


@pytest.fixture(scope="module")
def generated() -> pl.DataFrame:
    return Generator(GeneratorConfig(customers=60, seed=8)).batch(3_000, fraud=90)


def _value(frame: pl.DataFrame, roles: Roles, name: str) -> list[float]:
    table = build_features(frame, roles)
    return [round(float(value), 4) for value in table.values[:, table.names.index(name)]]


@settings(max_examples=15)
@given(cut=st.integers(1, 2_999))
def test_features_do_not_know_the_future(generated: pl.DataFrame, cut: int) -> None:
    """Rows have the same features, to the last bit, when everything after them is taken away or changed."""
    roles = infer_roles(generated, exclude={"is_fraud": "label"})
    whole = build_features(generated, roles)
    part = build_features(generated.head(cut), roles)
    assert part.names == whole.names
    assert np.array_equal(part.values, whole.values[:cut], equal_nan=True)
    changed = generated.with_columns(
        pl.when(pl.int_range(pl.len()) < cut).then("amount").otherwise(pl.col("amount") * 7).alias("amount"),
        pl.when(pl.int_range(pl.len()) < cut).then("latitude").otherwise(0.0).alias("latitude"),
    )
    assert np.array_equal(build_features(changed, roles).values[:cut], whole.values[:cut], equal_nan=True)


def test_labels_are_not_features(generated: pl.DataFrame) -> None:
    roles = infer_roles(generated)
    assert {"is_fraud", "fraud_type", "severity"} <= set(roles.left_out)
    swapped = generated.with_columns(~pl.col("is_fraud"), fraud_type=pl.lit("x"), severity=pl.lit("y"))
    assert np.array_equal(
        build_features(generated, roles).values, build_features(swapped, roles).values, equal_nan=True
    )


def test_rows_out_of_order_have_the_features_of_their_time(generated: pl.DataFrame) -> None:
    roles = infer_roles(generated)
    shuffled = generated.sample(fraction=1.0, shuffle=True, seed=1)
    one, other = build_features(generated, roles), build_features(shuffled, roles)
    distinct = ~generated["timestamp"].is_duplicated().to_numpy()
    assert np.array_equal(other.time, one.time)
    assert np.array_equal(one.values[distinct], other.values[distinct], equal_nan=True)
    assert (
        shuffled["transaction_id"].to_numpy()[other.order][distinct].tolist() == np.flatnonzero(distinct + 0).tolist()
        or (
            shuffled["transaction_id"].to_numpy()[other.order][distinct]
            == generated["transaction_id"].to_numpy()[distinct]
        ).all()
    )


def test_a_burst_a_new_shop_and_an_odd_amount_show() -> None:
    times = [NOON, NOON + timedelta(days=2), NOON + timedelta(days=4), NOON + timedelta(days=4, minutes=5)]
    frame = pl.DataFrame(
        {"when": times, "card": ["a"] * 4, "shop": ["x", "x", "x", "y"], "amount": [10.0, 10.0, 10.0, 900.0]}
    )
    roles = Roles(time="when", entity="card", merchant="shop", amount="amount")
    assert _value(frame, roles, "entity_rows_1h") == [0, 0, 0, round(float(np.log1p(1)), 4)]
    assert _value(frame, roles, "entity_merchant_new") == [0, 0, 0, round(float(np.log1p(3)), 4)]
    odd = _value(frame, roles, "entity_amount_z")
    assert np.isnan(odd[0])
    assert odd[3] > 4 > abs(odd[2])
    assert _value(frame, roles, "entity_seconds_since")[3] == round(float(np.log1p(300)), 4)


def test_travel_faster_than_a_plane_shows() -> None:
    frame = pl.DataFrame(
        {
            "when": [NOON, NOON + timedelta(hours=1)],
            "card": ["a", "a"],
            "lat": [51.5, 40.7],
            "lon": [-0.13, -74.0],
        }
    )
    roles = Roles(time="when", entity="card", latitude="lat", longitude="lon")
    assert np.expm1(_value(frame, roles, "entity_km_per_hour")[1]) == pytest.approx(5570 / (1 + 1 / 60), rel=0.01)


@pytest.mark.parametrize(
    ("one", "other", "kilometres"),
    [
        ((0, 0), (0, 180), 20015.1),
        ((90, 0), (-90, 0), 20015.1),
        ((51.5, 0), (51.5, 0), 0),
        ((0, 179.5), (0, -179.5), 111.2),
    ],
)
def test_great_circles(one: tuple[float, float], other: tuple[float, float], kilometres: float) -> None:
    points = (np.array([value], dtype=float) for value in (*one, *other))
    assert great_circle(*points)[0] == pytest.approx(kilometres, abs=0.1)


def test_a_table_without_rows_or_with_nulls_only_has_features() -> None:
    roles = Roles(time="when", entity="card", merchant="shop", amount="amount", device="device", latitude="lat",
                  longitude="lon", varying=("kind",), categories=("kind",))  # fmt: skip
    schema = {"when": pl.Datetime, "card": pl.String, "shop": pl.String, "amount": pl.Float64, "device": pl.String,
              "lat": pl.Float64, "lon": pl.Float64, "kind": pl.String}  # fmt: skip
    empty = build_features(pl.DataFrame(schema=schema), roles)
    nulls = build_features(pl.DataFrame({name: [None] * 3 for name in schema}, schema=schema), roles)
    assert empty.values.shape == (0, len(empty.names))
    assert nulls.names == empty.names
    assert np.isnan(nulls.values[:, nulls.names.index("device_rows_before")]).all()
    assert not np.isinf(nulls.values).any()
