# ruff: noqa: DTZ001  # columns hold times without a zone
from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from synfinance.quality import Fault, Finding, Kind, Report, Severity, band_of, profile

Payments = Callable[..., pl.DataFrame]


def findings(report: Report, column: str | None = None) -> dict[Fault, Finding]:
    source = report.findings if column is None else report.column(column).findings
    return {finding.fault: finding for finding in source}


def of(values: list[object], name: str = "x", now: datetime | None = None) -> dict[Fault, Finding]:
    return findings(profile(pl.DataFrame({name: values}, strict=False), now=now), name)


def test_a_clean_table_has_nothing_worse_than_a_note(payments: Payments, now: datetime) -> None:
    report = profile(payments(), now=now)
    assert report.score == pytest.approx(100)
    assert all(finding.severity is Severity.NOTE for finding in report.all_findings())


def test_missing_values_are_counted_once_whatever_they_look_like() -> None:
    report = profile(pl.DataFrame({"shop": ["baker", "butcher"] * 40 + [None] * 10 + ["n/a"] * 6 + [" "] * 4}))
    assert report.missing_rate["shop"] == pytest.approx(0.2)
    shop = findings(report, "shop")
    assert shop[Fault.MISSING].count == 10
    assert shop[Fault.DISGUISED_MISSING].count == 10
    assert shop[Fault.DISGUISED_MISSING].examples == ("n/a", " ")


def test_values_that_only_exist_for_some_rows_are_missing_by_design(payments: Payments, now: datetime) -> None:
    frame = payments(1_000).with_columns(device=pl.when(pl.col("online")).then(pl.lit("D") + pl.col("transaction_id")))
    report = profile(frame, now=now)
    assert set(findings(report, "device")) == {Fault.STRUCTURAL_MISSING}
    assert report.column("device").score == 100
    lost = pl.int_range(pl.len()) % 10 == 0
    damaged = profile(frame.with_columns(device=pl.when(lost).then(None).otherwise(pl.col("device"))), now=now)
    assert findings(damaged, "device")[Fault.MISSING].count == frame.filter(lost & pl.col("online")).height


def test_values_missing_together_do_not_excuse_each_other() -> None:
    rng = np.random.default_rng(1)
    gone = rng.random(600) < 0.3
    frame = pl.DataFrame({"city": rng.choice(["Bonn", "Köln"], 600), "city_code": rng.choice(["BN", "K"], 600)})
    report = profile(frame.with_columns(pl.when(pl.lit(pl.Series(gone))).then(None).otherwise(pl.all()).name.keep()))
    assert all(Fault.MISSING in findings(report, column) for column in frame.columns)


def test_numbers_and_dates_stored_as_text_say_so() -> None:
    assert of([f"{i}.5" for i in range(60)], "amount")[Fault.NUMBER_AS_TEXT].loss == pytest.approx(0.02)
    days = [f"2026-01-{1 + i % 28:02d}" for i in range(60)]
    assert of(list(days), "day", datetime(2026, 6, 1))[Fault.DATE_AS_TEXT].severity is Severity.WARNING


def test_words_among_numbers_are_wrong() -> None:
    amount = of([f"{i}.5" for i in range(60)] + ["free", "free", "n/a"], "amount")
    assert amount[Fault.WRONG_TYPE].count == 2
    assert amount[Fault.WRONG_TYPE].examples == ("free",)


def test_dates_of_tomorrow_are_fine_and_of_next_year_not(now: datetime) -> None:
    days = [now - timedelta(days=i) for i in range(60)]
    assert Fault.FUTURE_DATE not in of([*days, now + timedelta(hours=20)], "posted", now)
    assert of([*days, now + timedelta(days=400)], "posted", now)[Fault.FUTURE_DATE].count == 1
    assert Fault.FUTURE_DATE not in of([*days, now + timedelta(days=400)], "card_expiry", now)


def test_refunds_are_a_note_and_no_outliers() -> None:
    rng = np.random.default_rng(1)
    amounts = rng.lognormal(3, 1, 3_000) * np.where(rng.random(3_000) < 0.04, -1, 1)
    found = of(list(np.round(amounts, 2)), "amount")
    assert found[Fault.MINORITY_SIGN].severity is Severity.NOTE
    assert Fault.OUTLIER not in found


def test_outliers_are_counted_and_shown_largest_first() -> None:
    report = profile(pl.DataFrame({"amount": [*np.random.default_rng(1).normal(50, 5, 995), 1e5, 2e5, 3e5, 4e5, 5e5]}))
    assert report.outlier_rate["amount"] == pytest.approx(0.005)
    assert findings(report, "amount")[Fault.OUTLIER].examples[0] == "500000"


def test_coordinates_are_limited_and_cluster_as_they_like() -> None:
    rng = np.random.default_rng(1)
    cities = np.repeat([52.5, 48.8, -33.9, 1.3], [900, 60, 30, 10])
    report = profile(pl.DataFrame({"latitude": [*(cities + rng.normal(0, 0.05, 1_000)), 91.0]}))
    assert findings(report, "latitude")[Fault.OUT_OF_RANGE].count == 1
    assert Fault.OUTLIER not in findings(report, "latitude")


def test_spellings_name_the_forms_and_count_the_rarer() -> None:
    shop = of(["Corner Shop"] * 50 + ["CORNER SHOP"] * 3 + ["corner-shop"] * 2 + ["Baker"] * 20 + ["baker"], "shop")
    assert shop[Fault.SPELLING].count == 6
    assert shop[Fault.SPELLING].examples[0] == "Corner Shop = CORNER SHOP = corner-shop"


@pytest.mark.parametrize(
    ("typo", "told"),
    [
        ("Grocereis", True),
        ("Groceriess", True),
        ("Grceries", True),
        ("Gxoceries", True),
        ("Grocers", False),
        ("Station B", False),
        ("Station 9", False),
    ],
)
def test_a_typing_error_is_one_letter_in_a_word(typo: str, told: bool) -> None:
    shop = of([*["Groceries", "Station A", "Station 8"] * 200, typo], "shop")
    assert (Fault.TYPO in shop) is told


def test_whitespace_mojibake_and_control_characters_are_seen() -> None:
    shop = of(["Café Müller", "Bäckerei"] * 30 + ["Baker "] * 3 + ["CafÃ© MÃ¼ller"] * 2 + ["Ba\x07ker"], "shop")
    assert shop[Fault.WHITESPACE].count == 3
    assert shop[Fault.MOJIBAKE].count == 2
    assert shop[Fault.CONTROL_CHARACTERS].examples == ("Ba\\x07ker",)


@pytest.mark.parametrize("text", ["Ärzte ÖPNV Übung", "naïve façade", "São João", "Škoda Žižkov", "Ñandú", "Łódź"])
def test_honest_accents_are_no_mojibake(text: str) -> None:
    assert Fault.MOJIBAKE not in of([text, "plain"] * 30, "shop")


def merchants(rng: np.random.Generator, count: int) -> list[str]:
    syllables = ["ba", "ker", "mo", "ti", "ran", "sol", "ven", "lu", "pra", "den", "gu", "ston"]
    words = lambda: " ".join("".join(rng.choice(syllables, rng.integers(1, 4))) for _ in range(rng.integers(1, 6)))  # noqa: E731
    return [words() for _ in range(count)]


def test_names_cut_by_a_field_are_seen_and_whole_ones_not() -> None:
    names = merchants(np.random.default_rng(1), 3_000)
    assert Fault.TRUNCATED not in of(list(names), "merchant")
    cut = of([name[:18].rstrip() for name in names], "merchant")[Fault.TRUNCATED]
    assert "at 18 characters" in cut.message
    real = sum(len(name) >= 18 for name in names)
    assert 0.5 * real < cut.count < 1.5 * real


def test_two_fields_that_cut_at_different_lengths_are_both_named() -> None:
    names = merchants(np.random.default_rng(2), 6_000)
    mixed = [name[: 15 if index % 2 else 24].rstrip() for index, name in enumerate(names)]
    assert "15 and 24 characters" in of(mixed, "merchant")[Fault.TRUNCATED].message


def test_codes_of_one_length_and_numbered_names_are_not_cut() -> None:
    assert Fault.TRUNCATED not in of([f"REFERENCE-{i:06d}" for i in range(2_000)], "note")
    assert Fault.TRUNCATED not in of([f"merchant number {i}" for i in range(2_000)], "merchant")


def test_a_constant_is_a_note(payments: Payments) -> None:
    report = profile(payments(200).with_columns(source=pl.lit("import")))
    assert findings(report, "source")[Fault.CONSTANT].loss == 0


def test_card_numbers_and_addresses_are_never_shown() -> None:
    report = profile(
        pl.DataFrame(
            {
                "pan": ["4111 1111 1111 1111", "5500000000000004"] * 40,
                "mail": [f"jane.doe{i}@example.org" for i in range(79)] + ["jane at example"],
                "shop": ["Baker  4111111111111111", "jane.doe@example.org "] * 40,
            }
        )
    )
    text = json.dumps(report.to_dict())
    assert Fault.SENSITIVE in findings(report, "pan")
    assert "4111111111111111" not in text.replace(" ", "")
    assert "jane.doe" not in text


def test_repeated_ids_count_unless_they_name_something_else() -> None:
    ids = [f"T{i:05d}" for i in range(200)]
    assert of([*ids, *ids[:5]], "transaction_id")[Fault.DUPLICATE_ID].count == 5
    assert Fault.DUPLICATE_ID not in of([*ids, *ids[:5]], "customer_id")
    assert Fault.DUPLICATE_ID not in of([*ids, *ids[:5]], "card_id")


def test_a_table_in_a_mess_is_still_profiled() -> None:
    frame = pl.DataFrame(
        {
            "empty": [None] * 60,
            "lists": [[1], None] * 30,
            "structs": [{"a": 1}] * 60,
            "bytes": [b"x"] * 60,
            "infinite": [float("inf"), float("nan")] * 30,
            "huge": [1e308, -1e308] * 30,
            "tiny": [5e-324] * 60,
            "wait": [timedelta(seconds=i) for i in range(60)],
            "": ["x"] * 60,
            "[bold]": ["\x1b[31m"] * 60,
        }
    )
    report = profile(frame)
    assert 0 <= report.score <= 100
    json.dumps(report.to_dict(), allow_nan=False)


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_a_few_rows_are_enough(payments: Payments, rows: int) -> None:
    assert profile(payments(50).head(rows)).score == pytest.approx(100, abs=1.5)


def test_nothing_has_no_quality() -> None:
    for nothing in (pl.DataFrame(), pl.DataFrame({"a": []})):
        with pytest.raises(ValueError, match="without rows or without columns"):
            profile(nothing)


def test_what_the_report_gives_to_programs(payments: Payments, now: datetime) -> None:
    frame = payments(800).with_columns(amount=pl.when(pl.col("amount") < 5).then(None).otherwise(pl.col("amount")))
    report = profile(frame, schema={"balance": {"min": 900}}, now=now)
    assert list(report.missing_rate) == list(report.outlier_rate) == frame.columns
    assert report.missing_rate["amount"] == frame["amount"].null_count() / 800
    assert report.violations["balance"] == int((frame["balance"] < 900).sum())
    assert report.violation_rate["balance"] == report.violations["balance"] / 800
    assert set(report.drift_by_field["amount"]) == {"missing", "psi", "wasserstein"}
    document = report.to_dict()
    assert next(iter(document)) == "score"
    assert {"name", "score", "findings"} <= set(document["columns"][0])
    assert document["time_column"] == "timestamp"
    json.dumps(document, allow_nan=False)
    with pytest.raises(KeyError):
        report.column("nowhere")
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.score = 100.0  # type: ignore[misc]


def test_a_large_table_is_sampled_and_says_so(monkeypatch: pytest.MonkeyPatch, payments: Payments) -> None:
    monkeypatch.setattr("synfinance.quality.profiling.EXAMINED_ROWS", 500)
    frame = payments(2_000).with_columns(amount=pl.when(pl.col("online")).then(None).otherwise(pl.col("amount")))
    report = profile(frame)
    assert (report.rows, report.examined_rows) == (2_000, 500)
    assert "500 of 2,000 rows were examined" in report.notes[0]
    assert report.missing_rate["amount"] == pytest.approx(0.4, abs=0.1)


@pytest.mark.parametrize(("score", "band"), [(100, "good"), (90, "good"), (89.99, "fair"), (70, "fair"), (69, "poor")])
def test_bands(score: float, band: str) -> None:
    assert band_of(score) == band


def test_kinds_are_told_by_name_where_values_do_not_say(payments: Payments) -> None:
    kinds = {column.name: column.kind for column in profile(payments()).columns}
    assert kinds == {
        "transaction_id": Kind.ID,
        "timestamp": Kind.TIMESTAMP,
        "customer_id": Kind.ID,
        "amount": Kind.AMOUNT,
        "currency": Kind.CURRENCY,
        "category": Kind.CATEGORY,
        "mcc": Kind.CODE,
        "country": Kind.COUNTRY,
        "online": Kind.BOOLEAN,
        "balance": Kind.AMOUNT,
    }
