# ruff: noqa: DTZ001  # columns hold times without a zone
from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from synfinance.quality import Fault, Finding, Severity, profile

Payments = Callable[..., pl.DataFrame]
START = datetime(2024, 1, 1)


def of_rows(frame: pl.DataFrame) -> dict[Fault, Finding]:
    return {finding.fault: finding for finding in profile(frame).findings}


def statement(rows: int = 12_000, days: int = 700) -> pl.DataFrame:
    """Card spending by day without any id, as councils publish it; tolls and tickets make genuine twins."""
    rng = np.random.default_rng(1)
    dates = [(START + timedelta(days=int(day))).date() for day in np.sort(rng.integers(0, days, rows))]
    amounts = np.where(rng.random(rows) < 0.1, 5.5, np.round(rng.lognormal(3, 1, rows), 2))
    return pl.DataFrame({"date": dates, "merchant": rng.choice(["toll", "baker", "books"], rows), "amount": amounts})


def test_twins_are_a_note_where_nothing_tells_rows_apart() -> None:
    found = of_rows(statement())
    assert set(found) == {Fault.TWIN_ROWS}
    assert found[Fault.TWIN_ROWS].severity is Severity.NOTE
    assert found[Fault.TWIN_ROWS].loss == 0


def test_copies_are_errors_where_a_key_or_a_time_tells_rows_apart(payments: Payments) -> None:
    frame = payments(1_000)
    copied = pl.concat([frame, frame.gather_every(33)])
    assert of_rows(copied)[Fault.DUPLICATE_ROWS].count == 31
    assert of_rows(copied.drop("transaction_id"))[Fault.DUPLICATE_ROWS].count == 31


def test_very_many_twins_are_more_than_chance() -> None:
    frame = statement().drop("date").with_columns(note=pl.int_range(pl.len()) % 5_000)
    doubled = pl.concat([frame, frame.head(9_000)])
    assert of_rows(doubled)[Fault.DUPLICATE_ROWS].severity is not Severity.NOTE


def test_a_table_with_few_possible_rows_repeats_them_by_nature() -> None:
    rng = np.random.default_rng(1)
    frame = pl.DataFrame({"size": rng.choice(["s", "m"], 500), "colour": rng.choice(["red", "blue"], 500)})
    assert set(of_rows(frame)) == {Fault.TWIN_ROWS}


def test_a_period_that_was_loaded_twice_is_named() -> None:
    frame = statement()
    twice = frame.filter(
        pl.col("date").is_between(START.date() + timedelta(days=150), START.date() + timedelta(days=180))
    )
    found = of_rows(pl.concat([frame, twice]).sort("date"))
    assert "31 days from 2024-05-30 to 2024-06-29 seem loaded twice" in found[Fault.LOADED_TWICE].message
    assert abs(found[Fault.LOADED_TWICE].count - twice.height) <= 0.1 * twice.height
    assert found[Fault.LOADED_TWICE].severity is Severity.ERROR
    assert found[Fault.TWIN_ROWS].count > 0


def test_months_that_are_missing_are_named_and_quiet_ones_not() -> None:
    frame = statement()
    month = pl.col("date").dt.strftime("%Y-%m")
    assert Fault.TIME_GAP not in of_rows(frame.filter((month != "2024-08") | (pl.int_range(pl.len()) % 2 == 0)))
    gap = of_rows(frame.filter((month != "2024-08") | (pl.int_range(pl.len()) % 40 == 0)))[Fault.TIME_GAP]
    assert "1 month with hardly any rows (2024-08)" in gap.message
    assert 350 < gap.count < 700


def test_weeks_that_are_missing_are_named_in_shorter_files() -> None:
    frame = statement(9_000, 140)
    day = pl.col("date").dt.ordinal_day()
    gap = of_rows(frame.filter(~day.is_between(60, 75)))[Fault.TIME_GAP]
    assert "week" in gap.message
    assert Fault.TIME_GAP not in of_rows(frame)


def test_rows_without_any_value_are_missing_and_not_copies(payments: Payments) -> None:
    frame = payments(500)
    blank = frame.clear(50)
    assert Fault.DUPLICATE_ROWS not in of_rows(pl.concat([frame, blank]))
