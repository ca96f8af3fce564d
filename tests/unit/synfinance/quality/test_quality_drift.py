# ruff: noqa: DTZ001  # columns hold times without a zone
from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import numpy as np
import polars as pl
import pytest

from synfinance.quality import Fault, Report, profile
from synfinance.quality.drift import Comparison, binned_categories, binned_numbers, strength_of
from synfinance.quality.report import Drift

Payments = Callable[..., pl.DataFrame]
DRIFTS = {Fault.DRIFT, Fault.TREND, Fault.UNSEEN_VALUE}


def drifted(report: Report) -> set[str | None]:
    return {finding.column for finding in report.all_findings() if finding.fault in DRIFTS}


def sample(rng: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray]:
    return rng.lognormal(3, 1.2, rows), np.minimum(rng.zipf(1.6, rows), 60) - 1


@pytest.mark.parametrize("blocks", [False, True])
@pytest.mark.parametrize("sizes", [(100, 100), (1_000, 1_000), (20_000, 200)])
def test_a_clean_resample_of_any_size_stays_quiet(sizes: tuple[int, int], blocks: bool) -> None:
    rng = np.random.default_rng(sum(sizes))
    alarms = 0
    for seed in range(30):
        comparison = Comparison(2, seed, blocks=blocks)
        (old_numbers, old_codes), (new_numbers, new_codes) = sample(rng, sizes[0]), sample(rng, sizes[1])
        items = [
            *comparison.of(binned_numbers("amount", old_numbers, new_numbers)),
            *comparison.of(binned_categories("merchant", old_codes, new_codes, 60)),
        ]
        alarms += any(item.drifted for item in items)
    assert alarms <= 1


@pytest.mark.parametrize("sizes", [(200, 200), (2_000, 500), (500, 20_000), (200_000, 200_000)])
def test_a_table_against_another_of_its_kind_stays_quiet(payments: Payments, sizes: tuple[int, int]) -> None:
    seeds = range(1 if max(sizes) > 100_000 else 6)
    columns = ["amount", "currency", "category", "mcc", "online", "balance"]
    alarms = 0
    for seed in seeds:
        reference = payments(sizes[0], seed).select(columns)
        fresh = payments(sizes[1], 1_000 + seed).select(columns)
        redrawn = reference.sample(sizes[1], with_replacement=True, seed=seed)
        alarms += sum(bool(drifted(profile(frame, reference=reference))) for frame in (fresh, redrawn))
    assert alarms <= 1


@pytest.mark.parametrize("rows", [200, 2_000, 50_000])
def test_halves_of_a_stationary_file_stay_quiet(payments: Payments, rows: int) -> None:
    assert sum(bool(drifted(profile(payments(rows, seed)))) for seed in range(1 if rows > 10_000 else 8)) <= 1


@pytest.mark.parametrize("rows", [2_000, 20_000])
@pytest.mark.parametrize(
    ("column", "change"),
    [
        ("balance", pl.col("balance") + 100.0),
        ("balance", pl.lit(1_000.0) + (pl.col("balance") - 1_000.0) * 2),
        ("amount", pl.col("amount") * 2),
        ("category", pl.when(pl.col("amount") < 12).then(pl.lit("health")).otherwise(pl.col("category"))),
        ("currency", pl.when(pl.col("amount") < 8).then(pl.lit("CHF")).otherwise(pl.col("currency"))),
        ("mcc", pl.when(pl.col("amount") < 5).then(None).otherwise(pl.col("mcc"))),
        ("online", pl.col("online") | (pl.col("amount") > 30)),
    ],
)
def test_real_shifts_are_seen(payments: Payments, rows: int, column: str, change: pl.Expr) -> None:
    shifted = payments(rows, 1).with_columns(change.alias(column))
    assert drifted(profile(shifted, reference=payments(rows, 2))) == {column}


def test_a_shift_in_the_middle_of_a_file_is_seen_without_a_reference(payments: Payments) -> None:
    frame = payments(4_000)
    late = pl.int_range(pl.len()) >= 2_000
    frame = frame.with_columns(pl.when(late).then(pl.col("amount") * 2.5).otherwise(pl.col("amount")))
    report = profile(frame)
    assert drifted(report) == {"amount"}
    assert report.compared == "the earlier and the later half by 'timestamp'"
    assert report.drift_by_field["amount"]["psi"] > 0.25 > report.drift_by_field["balance"]["psi"]


def test_order_in_the_file_does_not_matter_only_time_does(payments: Payments) -> None:
    frame = payments(3_000)
    late = pl.int_range(pl.len()) >= 1_500
    frame = frame.with_columns(pl.when(late).then(pl.col("amount") * 3).otherwise(pl.col("amount")))
    assert drifted(profile(frame.sample(fraction=1, shuffle=True, seed=1))) == {"amount"}


def test_a_weekly_rhythm_is_no_drift(payments: Payments) -> None:
    frame = payments(6_000).with_columns(
        pl.when(pl.col("timestamp").dt.weekday() >= 6).then(pl.col("amount") * 3).otherwise(pl.col("amount"))
    )
    assert drifted(profile(frame)) == set()


def test_mornings_against_evenings_are_told_and_cost_nothing(payments: Payments) -> None:
    frame = payments(1_000).with_columns(
        timestamp=pl.lit(datetime(2026, 1, 1)) + pl.duration(seconds=pl.int_range(pl.len()) * 60),
        amount=pl.when(pl.int_range(pl.len()) < 500).then(pl.col("amount")).otherwise(pl.col("amount") * 3),
    )
    report = profile(frame)
    assert drifted(report) == {"amount"}
    assert report.score == pytest.approx(100)


def test_what_counts_up_with_time_is_not_compared(payments: Payments) -> None:
    frame = payments(1_000).with_columns(meter=pl.int_range(pl.len()) * 3.7 + 5)
    assert "meter" not in {item.column for item in profile(frame).drift}


def test_new_values_of_a_closed_list_are_named_and_those_of_an_open_one_expected(payments: Payments) -> None:
    rng = np.random.default_rng(1)
    shops = [f"shop {chr(97 + i % 26)}{chr(97 + i // 26)}" for i in range(600)]
    weights = 1.0 / np.arange(1, 601)
    draw = lambda: rng.choice(shops, 3_000, p=weights / weights.sum())  # noqa: E731
    old = payments(3_000, 1).with_columns(shop=draw())
    new = payments(3_000, 2).with_columns(
        shop=draw(), country=pl.when(pl.col("amount") < 6).then(pl.lit("JP")).otherwise(pl.col("country"))
    )
    unseen = [finding for finding in profile(new, reference=old).all_findings() if finding.fault is Fault.UNSEEN_VALUE]
    assert [(finding.column, finding.examples) for finding in unseen] == [("country", ("JP",))]


def test_drift_ignores_how_a_value_is_stored() -> None:
    rng = np.random.default_rng(2)
    old = pl.DataFrame({"status_code": rng.choice([1, 2, 3], 2_000)})
    new = pl.DataFrame({"status_code": rng.choice([1.0, 2.0, 3.0], 2_000)})
    assert not drifted(profile(new, reference=old))


def test_the_same_seed_gives_the_same_bounds(payments: Payments, now: datetime) -> None:
    first, second = (profile(payments(500), seed=5, now=now) for _ in range(2))
    assert first.to_dict() == second.to_dict()
    assert first.drift != profile(payments(500), seed=6, now=now).drift


def test_strength_grows_with_the_distance_and_counts_only_what_drifted() -> None:
    items = [Drift("a", "psi", value, 0.1) for value in (0.05, 0.2, 0.5, 2.0)]
    strengths = [strength_of([item]) for item in items]
    assert strengths[0] == 0
    assert strengths == sorted(strengths)
    assert strengths[-1] < 1


def test_too_few_values_are_not_compared() -> None:
    comparison = Comparison(1, 0)
    items = list(comparison.of(binned_numbers("x", np.arange(40.0), np.arange(1_000.0))))
    assert [item.kind for item in items] == ["missing"]
