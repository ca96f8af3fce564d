from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synfinance.generator import BLOCK_ROWS, FRAUD_TYPES, SEVERITIES, Generator, GeneratorConfig


@pytest.fixture(scope="module")
def many() -> pl.DataFrame:
    """A run of more than one block, with much fraud of every kind."""
    return pl.concat(Generator(GeneratorConfig(rows=BLOCK_ROWS + 40_000, fraud_rate=0.02, seed=4)).frames())


@settings(max_examples=25)
@given(
    rows=st.integers(1, 3_000),
    seed=st.integers(0, 2**31),
    share=st.floats(0, 0.5),
    chunk=st.integers(1, 4_000),
    kinds=st.sets(st.sampled_from(FRAUD_TYPES), min_size=1),
)
def test_a_run_has_exactly_the_rows_and_frauds_asked_for_in_order_of_time(
    rows: int, seed: int, share: float, chunk: int, kinds: set[str]
) -> None:
    fraud = int(share * rows)
    config = GeneratorConfig(rows=rows, seed=seed, fraud=fraud, fraud_types=tuple(kinds))
    frames = list(Generator(config).frames(chunk))
    assert [frame.height for frame in frames[:-1]] == [chunk] * (len(frames) - 1)
    run = pl.concat(frames)
    assert run.height == rows
    assert run["is_fraud"].sum() == fraud
    assert run["timestamp"].is_sorted()
    assert run["transaction_id"].to_list() == list(range(1, rows + 1))
    assert set(run.filter("is_fraud")["fraud_type"].cast(pl.String)) <= kinds


@pytest.mark.parametrize("chunk", [1, 977, 5_000, 100_000])
def test_equal_seeds_make_equal_rows_whatever_the_chunks(chunk: int) -> None:
    config = GeneratorConfig(rows=5_000, seed=9, fraud_rate=0.05)
    assert pl.concat(Generator(config).frames(chunk)).equals(pl.concat(Generator(config).frames()))


def test_rows_are_the_same_whatever_the_chunks_across_blocks(many: pl.DataFrame) -> None:
    config = GeneratorConfig(rows=many.height, fraud_rate=0.02, seed=4)
    assert pl.concat(Generator(config).frames(50_000)).equals(many)


def test_different_seeds_make_different_rows() -> None:
    one, other = (pl.concat(Generator(GeneratorConfig(rows=500, seed=seed)).frames()) for seed in (1, 2))
    assert not one["amount_minor"].equals(other["amount_minor"])


def test_every_kind_of_fraud_and_severity_occurs_and_honest_rows_have_none(many: pl.DataFrame) -> None:
    fraud, honest = many.filter("is_fraud"), many.filter(~pl.col("is_fraud"))
    assert len(FRAUD_TYPES) >= 8
    pairs = set(fraud.select(pl.col("fraud_type", "severity").cast(pl.String)).unique().rows())
    assert pairs == {(kind, severity) for kind in FRAUD_TYPES for severity in SEVERITIES}
    assert set(honest["fraud_type"].cast(pl.String)) == set(honest["severity"].cast(pl.String)) == {"none"}


def test_graver_fraud_takes_more(many: pl.DataFrame) -> None:
    taken = (
        many.filter(pl.col("fraud_type").cast(pl.String) == "account_takeover")
        .group_by(pl.col("severity").cast(pl.String))
        .agg(pl.col("amount_minor").median())
    )
    median = dict(taken.iter_rows())
    assert median["low"] < median["high"] < median["critical"]


def test_amounts_are_exact_and_refunds_alone_are_negative(many: pl.DataFrame) -> None:
    assert (many["amount"] * 100).cast(pl.Int64).equals(many["amount_minor"])
    assert many.schema["amount"] == pl.Decimal(18, 2)
    refund = many["transaction_type"].cast(pl.String) == "refund"
    assert ((many["amount_minor"] < 0) == refund).all()
    assert (many["amount_minor"].abs() >= 10).all()


def test_no_card_number_is_shown_in_full(many: pl.DataFrame) -> None:
    assert many["card_number"].cast(pl.String).str.contains(r"^\*{4} \d{4}$").all()
    for dtype in many.schema.values():
        if isinstance(dtype, pl.Enum):
            assert not any(re.search(r"\d{9,}", value) for value in dtype.categories)


def test_columns_agree_with_each_other(many: pl.DataFrame) -> None:
    channel, device = many["channel"].cast(pl.String), many["device_id"]
    assert device.is_not_null().eq(channel.is_in(["online", "in_app"])).all()
    for one, other in (
        ("card_id", "customer_id"),
        ("customer_id", "home_city"),
        ("merchant_id", "category"),
        ("merchant_id", "merchant_city"),
        ("card_id", "currency"),
    ):
        assert many.select(one, other).n_unique() == many[one].n_unique(), f"{one} has one {other}"
    assert many.select("merchant_id", "merchant_name").n_unique() == many["merchant_name"].n_unique()
    atm = many.filter(channel == "atm")
    assert set(atm["category"].cast(pl.String)) == {"cash"}


def test_days_and_hours_have_their_seasons() -> None:
    rows = pl.concat(Generator(GeneratorConfig(rows=60_000, days=364, seed=2, fraud=0)).frames())
    by_hour = dict(rows.group_by(pl.col("timestamp").dt.hour()).len().iter_rows())
    assert by_hour[12] > 4 * by_hour[3]
    by_day = dict(rows.group_by(pl.col("timestamp").dt.weekday()).len().iter_rows())
    assert by_day[5] > 1.2 * by_day[7]
    by_month = dict(rows.group_by(pl.col("timestamp").dt.month()).len().iter_rows())
    assert by_month[12] > 1.1 * by_month[11]


def test_batches_follow_each_other_with_the_fraud_asked_for() -> None:
    generator = Generator(GeneratorConfig(customers=300, seed=5))
    batches = [generator.batch(rows, fraud) for rows, fraud in ((1_000, 30), (5_000, 0), (1, 0), (1_000, None))]
    assert [batch.height for batch in batches] == [1_000, 5_000, 1, 1_000]
    assert [batch["is_fraud"].sum() for batch in batches] == [30, 0, 0, 5]
    together = pl.concat(batches)
    assert together["timestamp"].is_sorted()
    assert together["transaction_id"].to_list() == list(range(1, 7_002))
    assert set(batches[0]["card_id"]) & set(batches[1]["card_id"])
    again = Generator(GeneratorConfig(customers=300, seed=5))
    assert again.batch(1_000, 30).equals(batches[0])


def test_a_time_without_zone_is_utc_and_begins_the_run() -> None:
    naive = datetime(2024, 2, 29)  # noqa: DTZ001
    zoned = naive.replace(tzinfo=UTC)
    one = pl.concat(Generator(GeneratorConfig(rows=200, start=naive, days=2)).frames())
    assert one.equals(pl.concat(Generator(GeneratorConfig(rows=200, start=zoned, days=2)).frames()))
    assert naive <= one["timestamp"].min() <= one["timestamp"].max() < naive + timedelta(days=2)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"rows": 0}, "rows"),
        ({"seed": -1}, "seed"),
        ({"fraud_rate": 0.6}, "fraud_rate"),
        ({"rows": 10, "fraud": 6}, "fraud must be 0 to 5"),
        ({"fraud_types": ("card_testing", "nonsense")}, "nonsense"),
        ({"fraud_types": ()}, "fraud_types"),
        ({"customers": 0}, "customers"),
        ({"merchants": -1}, "merchants"),
        ({"days": 0.0}, "days"),
    ],
)
def test_a_wrong_configuration_says_what_is_wrong(change: dict[str, object], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        GeneratorConfig(**change)  # type: ignore[arg-type]


def test_wrong_batches_and_chunks_are_refused() -> None:
    generator = Generator(GeneratorConfig(rows=100))
    with pytest.raises(ValueError, match="rows must be at least 1"):
        generator.batch(0)
    with pytest.raises(ValueError, match="fraud must be 0 to 5"):
        generator.batch(10, 6)
    with pytest.raises(ValueError, match="chunk_rows"):
        next(generator.frames(0))
