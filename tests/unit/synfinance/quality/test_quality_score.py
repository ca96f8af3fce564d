# ruff: noqa: DTZ001  # columns hold times without a zone
from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from datetime import datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synfinance.generator import Generator, GeneratorConfig
from synfinance.quality import RULES, Dimension, Fault, Report, profile
from synfinance.quality.found import found
from synfinance.quality.score import settle

Payments = Callable[..., pl.DataFrame]
Damage = Callable[[pl.DataFrame, pl.Expr], pl.DataFrame]


def put(column: str, value: pl.Expr, *, as_text: bool = False) -> Damage:
    def damage(frame: pl.DataFrame, hit: pl.Expr) -> pl.DataFrame:
        kept = pl.col(column).cast(pl.String) if as_text else pl.col(column)
        return frame.with_columns(pl.when(hit).then(value).otherwise(kept).alias(column))

    return damage


def copied(frame: pl.DataFrame, hit: pl.Expr) -> pl.DataFrame:
    return pl.concat([frame, frame.filter(hit)])


def emptied(frame: pl.DataFrame, hit: pl.Expr) -> pl.DataFrame:
    return frame.with_columns(pl.when(hit).then(None).otherwise(pl.all()).name.keep())


DAMAGES: dict[str, tuple[Damage, str]] = {
    "nulls": (put("amount", pl.lit(None)), "missing"),
    "nulls everywhere": (emptied, "missing"),
    "N/A": (put("category", pl.lit("N/A")), "disguised_missing"),
    "empty text": (put("category", pl.lit("")), "disguised_missing"),
    "-999": (put("amount", pl.lit(-999.0)), "disguised_missing"),
    "1900": (put("timestamp", pl.lit(datetime(1900, 1, 1))), "disguised_missing"),
    "text in numbers": (put("amount", pl.lit("abc"), as_text=True), "wrong_type"),
    "not a date": (put("timestamp", pl.lit("yesterday"), as_text=True), "wrong_type"),
    "another date format": (put("timestamp", pl.col("timestamp").dt.strftime("%d/%m/%Y %H:%M:%S"), as_text=True), "mixed_formats"),  # noqa: E501
    "future": (put("timestamp", pl.lit(datetime(2090, 1, 1))), "future_date"),
    "infinite": (put("amount", pl.lit(math.inf)), "not_finite"),
    "no currency": (put("currency", pl.lit("ZZ9")), "wrong_type"),
    "no country": (put("country", pl.lit("Narnia")), "wrong_type"),
    "outliers": (put("amount", pl.col("amount") * 1e6), "outlier"),
    "one huge number": (put("balance", pl.lit(1e9)), "outlier"),
    "upper case": (put("category", pl.col("category").str.to_uppercase()), "spelling"),
    "blanks": (put("category", pl.lit("  ") + pl.col("category")), "whitespace"),
    "mojibake": (put("category", pl.lit("CafÃ© Ã¼ber")), "mojibake"),
    "control characters": (put("category", pl.lit("bad\x00name")), "control_characters"),
    "copies": (copied, "duplicate_rows"),
    "repeated ids": (put("transaction_id", pl.lit("T0000001")), "duplicate_id"),
}  # fmt: skip


def ladder(frame: pl.DataFrame, damage: Damage, shares: list[float], now: datetime, seed: int) -> list[Report]:
    """Reports of ever more damage: whatever is hit at one share is hit at every larger one."""
    order = pl.Series(np.random.default_rng(seed).random(frame.height))
    return [profile(damage(frame, pl.lit(order < share)), now=now) for share in shares]


@pytest.mark.parametrize("name", DAMAGES)
def test_more_damage_never_raises_the_score(payments: Payments, now: datetime, name: str) -> None:
    damage, fault = DAMAGES[name]
    shares = [0.0, 0.01, 0.03, 0.08, 0.15, 0.25, 0.4]
    reports = ladder(payments(1_500), damage, shares, now, seed=3)
    scores = [report.score for report in reports]
    assert all(later <= earlier + 1e-9 for earlier, later in itertools.pairwise(scores)), scores
    assert scores[0] - scores[-1] > 0.25
    assert fault in {finding.fault.value for finding in reports[2].all_findings()}


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    name=st.sampled_from(sorted(DAMAGES)),
    shares=st.lists(st.floats(0, 0.4), min_size=2, max_size=2).map(sorted),
    seed=st.integers(0, 1_000),
)
def test_more_damage_never_raises_the_score_of_generated_files(name: str, shares: list[float], seed: int) -> None:
    columns = ["transaction_id", "timestamp", "amount", "currency", "category", "merchant_country", "latitude"]
    frame = Generator(GeneratorConfig(seed=seed % 7)).batch(400).select(columns)
    frame = frame.select(
        "transaction_id",
        "timestamp",
        pl.col("amount").cast(pl.Float64).abs(),
        pl.col("currency").cast(pl.String),
        pl.col("category").cast(pl.String),
        country=pl.col("merchant_country").cast(pl.String),
        balance=pl.col("latitude"),
    ).with_columns(pl.col("transaction_id").cast(pl.String))
    less, more = ladder(frame, DAMAGES[name][0], shares, datetime(2026, 6, 1), seed)
    assert more.score <= less.score + 1e-9


@pytest.mark.parametrize(("rows", "seed"), [(300, 1), (1_000, 2), (10_000, 3), (50_000, 4)])
def test_a_clean_generated_file_scores_at_least_95(rows: int, seed: int) -> None:
    report = profile(Generator(GeneratorConfig(seed=seed)).batch(rows))
    assert report.score >= 98
    assert report.band == "good"


def test_the_loss_is_in_proportion_to_the_damage(payments: Payments, now: datetime) -> None:
    tenth, half = ladder(payments(4_000), emptied, [0.1, 0.5], now, seed=1)
    assert 80 < tenth.score < 90
    assert 30 < half.score < 45


def test_every_lost_point_belongs_to_a_finding(payments: Payments, now: datetime) -> None:
    frame = payments(1_000)
    for index, name in enumerate(["N/A", "nulls", "outliers", "repeated ids", "upper case"]):
        frame = DAMAGES[name][0](frame, pl.lit(pl.Series(np.random.default_rng(index).random(1_000) < 0.1)))
    report = profile(pl.concat([frame, frame.head(80)]), now=now)
    assert sum(finding.overall_points for finding in report.all_findings()) == pytest.approx(100 - report.score)
    for column in report.columns:
        assert sum(finding.points for finding in column.findings) == pytest.approx(100 - column.score)
    assert sum(100 - score for score in report.dimensions.values()) == pytest.approx(100 - report.score)
    assert set(report.dimensions) == set(Dimension)


def test_every_fault_has_a_rule_whose_loss_grows_from_nothing_to_its_weight() -> None:
    assert set(RULES) == set(Fault)
    for rule in RULES.values():
        losses = [rule.loss(share) for share in np.linspace(0, 1, 21)]
        assert losses[0] == 0
        assert losses == sorted(losses)
        assert losses[-1] <= rule.weight <= 1


def test_settling_does_not_depend_on_the_order_of_findings() -> None:
    findings = [
        found(Fault.MISSING, "a", 30, 100, ""),
        found(Fault.WRONG_TYPE, "a", 10, 100, ""),
        found(Fault.SPELLING, "a", 5, 100, ""),
    ]
    one, other = settle(findings), settle(findings[::-1])
    assert one[0] == pytest.approx(other[0])
    points = lambda settled: {finding.fault: round(finding.points, 9) for finding in settled}  # noqa: E731
    assert points(one[1]) == points(other[1])


def test_a_column_that_is_lost_altogether_scores_zero_and_explains_all_of_it() -> None:
    score, (finding, _) = settle([found(Fault.MISSING, "a", 100, 100, ""), found(Fault.TRUNCATED, "a", 1, 100, "")])
    assert score == 0
    assert finding.points == pytest.approx(100, abs=0.1)
